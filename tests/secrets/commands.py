"""Every command of ctisync, and every way in which a server that it talks to can fail it."""

from collections.abc import Callable
from typing import Final, NamedTuple

import trustme

from tests.secrets.echoing import echo, garbage, json_echo
from tests.secrets.stage import LOGIN, Stage
from tests.support.feed_simulator import unused_port
from tests.support.http_proxy import Answer, Intercept, Received, tls_proxy

FORMATS: Final = ("text", "json", "journal")


class Command(NamedTuple):
    """`asks` are the servers that it comes to, of feed, elsewhere, store and manager."""

    arguments: Callable[[Stage], list[str]]
    asks: frozenset[str]


def _command(*arguments: str, asks: str = "store") -> Command:
    return Command(lambda _: list(arguments), frozenset(asks.split()))


def _with(where: Callable[[Stage], str], *arguments: str, asks: str) -> Command:
    return Command(lambda stage: [*arguments, where(stage)], frozenset(asks.split()))


def _file(stage: Stage) -> str:
    return stage.snapshot_file


def _url(stage: Stage) -> str:
    return stage.snapshot_url


def _mirror(stage: Stage) -> str:
    return str(stage.home / "mirror")


def _bundle(stage: Stage) -> str:
    """One that is there."""
    file = stage.home / "bundle.tar"
    if not file.exists():
        assert stage.ctisync.run("mirror", _mirror(stage)).returncode == 0
        made = stage.ctisync.run("bundle", _mirror(stage), "--since", "none", "--output", str(file))
        assert made.returncode == 0
    return str(file)


COMMANDS: Final = {
    "sync": _command("sync", asks="store feed manager"),
    "update": _command("update", asks="store feed manager"),
    "init-snapshot": _command("init-snapshot", asks="store feed manager"),
    "status": _command("status"),
    "status --json": _command("status", "--json"),
    "status --check": _command("status", "--check"),
    "status --remote": _command("status", "--remote", asks="store feed"),
    "export": _command("export"),
    "verify": _command("verify"),
    "verify --deep": _command("verify", "--deep", "--json"),
    "verify --against FILE": _with(_file, "verify", "--against", asks="store"),
    "verify --against URL": _with(_url, "verify", "--against", asks="store elsewhere"),
    "doctor": _command("doctor", asks="store feed manager"),
    "doctor --json": _command("doctor", "--json", asks="store feed manager"),
    "init-snapshot --from FILE": _with(_file, "init-snapshot", "--from", asks="store manager"),
    "init-snapshot --from URL": _with(_url, "init-snapshot", "--from", asks="store manager elsewhere"),
    "sync --dry-run": _command("sync", "--dry-run", asks="store feed"),
    "mirror --dry-run": _with(_mirror, "mirror", "--dry-run", asks="feed"),
    "mirror": _with(_mirror, "mirror", asks="feed"),
    "import": _with(_bundle, "import", asks="store manager"),
    "forget --dry-run": _command("forget", "--consumer", "vd_4.8.0", "--dry-run"),
    "forget": _command("forget", "--consumer", "vd_4.8.0", "--yes"),
    "config show": _command("config", "show", asks=""),
    "config show --json": _command("config", "show", "--json", asks=""),
    "config check": _command("config", "check", asks=""),
    "demo": _command("demo", asks=""),
}

EACH_RECORD: Final = "store: each record is refused"


class Trouble(NamedTuple):
    """`code` is how a command ends that comes to the server `of`."""

    of: str
    code: int
    arrange: Callable[[Stage], None]


def _spoilt(of: str, code: int, spoil: Intercept) -> Trouble:
    def arrange(stage: Stage) -> None:
        stage.servers[of].intercept = spoil

    return Trouble(of, code, arrange)


def _elsewhere(of: str, code: int, *settings: str, url: Callable[[Stage], str]) -> Trouble:
    def arrange(stage: Stage) -> None:
        for setting in settings:
            stage.environ[setting] = url(stage)

    return Trouble(of, code, arrange)


def _nobody(stage: Stage) -> str:
    return f"http://127.0.0.1:{unused_port()}"


def _untrusted(stage: Stage) -> str:
    proxy = stage.also(tls_proxy(stage.feed.origin, trustme.CA().issue_cert("localhost")))
    return f"https://localhost:{proxy.port}"


def _redirect(part: str) -> Intercept:
    """To a host that is none of the feed's, by an address with a password and a signature."""
    location = f"http://me:{LOGIN.text}@elsewhere.invalid/x.zip?signature={LOGIN.text}"
    return lambda request: Answer(302, b"", {"Location": location}) if part in request.target else None


def _cut(request: Received) -> Answer | None:
    """A snapshot of which half arrives."""
    if "/store/" not in request.target:
        return None
    return Answer(raw=b'HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nETag: "x"\r\n\r\n' + b"x" * 2000)


def _odd_encoding(request: Received) -> Answer:
    return Answer(200, b"", {"Content-Encoding": request.headers["authorization"]})


def _odd_range(stage: Stage) -> None:
    """The rest of a snapshot that was cut off comes with what was sent for it."""

    def rest(request: Received) -> Answer | None:
        if "range" not in request.headers:
            return None
        headers = {"Content-Range": request.headers["authorization"], "ETag": request.headers["if-range"]}
        return Answer(206, b"", headers)

    stage.servers["feed"].intercept = _cut
    cooldown, stage.environ["CTISYNC_CTI__COOLDOWN"] = stage.environ["CTISYNC_CTI__COOLDOWN"], "0"
    stage.run("init-snapshot")
    stage.environ["CTISYNC_CTI__COOLDOWN"] = cooldown
    stage.servers["feed"].intercept = rest


def _bulk_of_errors(request: Received) -> Answer | None:
    """Each record is refused with the reason that it was sent by so and so."""
    if "_bulk" not in request.target:
        return None
    spoil = json_echo(400)(request)
    assert spoil is not None
    reason = spoil.body.partition(b'"error": ')[2].rpartition(b', "status"')[0]
    names = [line for line in request.body.split(b"\n") if line.startswith(b'{"index"')]
    item = b'{"index":{"_id":"x","status":400,"error":' + reason + b"}}"
    body = b'{"took":1,"errors":true,"items":[' + b",".join([item] * len(names)) + b"]}"
    return Answer(200, body, {"Content-Type": "application/json"})


def _link_with_password(stage: Stage) -> None:
    link = stage.feed.info["last_snapshot_link"].replace("http://", f"http://me:{LOGIN.text}@")
    stage.feed.info["last_snapshot_link"] = link


def _link_without_offset(stage: Stage) -> None:
    stage.feed.info |= {
        "last_snapshot_link": f"{stage.servers['feed'].url}/latest.zip?signature={LOGIN.text}",
        "last_snapshot_offset": None,
    }


def _poison(stage: Stage) -> None:
    stage.feed.history.poison(stage.feed.history.names()[0])


TROUBLES: Final = {
    "feed: 401": _spoilt("feed", 3, echo(401)),
    "feed: 403": _spoilt("feed", 3, echo(403, www_authenticate="Bearer")),
    "feed: 400": _spoilt("feed", 6, echo(400)),
    "feed: 404": _spoilt("feed", 3, echo(404)),
    "feed: 429": _spoilt("feed", 5, echo(429, retry_after="600")),
    "feed: 500": _spoilt("feed", 5, echo(500)),
    "feed: no HTTP": _spoilt("feed", 5, garbage()),
    "feed: no JSON": _spoilt("feed", 6, echo(200)),
    "feed: a redirect": _spoilt("feed", 3, _redirect("")),
    "feed: an odd encoding": _spoilt("feed", 6, _odd_encoding),
    "feed: nobody there": _elsewhere("feed", 5, "CTISYNC_CTI__URL", url=_nobody),
    "feed: TLS": _elsewhere("feed", 3, "CTISYNC_CTI__URL", url=_untrusted),
    "snapshot: 403": _spoilt("feed", 3, echo(403, part="/store/")),
    "snapshot: 500": _spoilt("feed", 5, echo(500, part="/store/")),
    "snapshot: is none": _spoilt("feed", 6, echo(200, part="/store/")),
    "snapshot: a redirect": _spoilt("feed", 6, _redirect("/store/")),
    "snapshot: cut off": _spoilt("feed", 5, _cut),
    "snapshot: an odd range": Trouble("feed", 5, _odd_range),
    "snapshot: a password in its link": Trouble("feed", 6, _link_with_password),
    "snapshot: no offset in its link": Trouble("feed", 6, _link_without_offset),
    "changes: 403": _spoilt("feed", 3, echo(403, part="/changes")),
    "changes: no JSON": _spoilt("feed", 6, echo(200, part="/changes")),
    "changes: poison": Trouble("feed", 6, _poison),
    "address: 403": _spoilt("elsewhere", 3, echo(403)),
    "address: 500": _spoilt("elsewhere", 5, echo(500)),
    "address: no HTTP": _spoilt("elsewhere", 5, garbage()),
    "address: is none": _spoilt("elsewhere", 6, echo(200)),
    "address: cut off": _spoilt("elsewhere", 5, _cut),
    "address: a redirect": _spoilt("elsewhere", 6, _redirect("")),
    "store: 401": _spoilt("store", 3, json_echo(401)),
    "store: 403": _spoilt("store", 3, json_echo(403)),
    "store: 404": _spoilt("store", 3, json_echo(404)),
    "store: 500": _spoilt("store", 7, json_echo(500)),
    "store: 500 as text": _spoilt("store", 7, echo(500)),
    "store: a redirect": _spoilt("store", 3, _redirect("")),
    "store: no JSON": _spoilt("store", 7, echo(200)),
    EACH_RECORD: _spoilt("store", 7, _bulk_of_errors),
    "store: no HTTP": _spoilt("store", 7, garbage()),
    "store: nobody there": _elsewhere("store", 7, "CTISYNC_STORE__URL", url=_nobody),
    "store: TLS": _elsewhere("store", 3, "CTISYNC_STORE__URL", url=_untrusted),
    "manager: 401": _spoilt("manager", 8, json_echo(401)),
    "manager: 403": _spoilt("manager", 8, echo(403)),
    "manager: 500": _spoilt("manager", 8, json_echo(500)),
    "manager: 200, but an error": _spoilt("manager", 8, json_echo(200)),
    "manager: no HTTP": _spoilt("manager", 8, garbage()),
    "manager: a redirect": _spoilt("manager", 8, _redirect("")),
    "manager: nobody there": _elsewhere("manager", 8, "CTISYNC_COMMAND_MANAGER__URL", url=_nobody),
    "manager: TLS": _elsewhere("manager", 8, "CTISYNC_COMMAND_MANAGER__URL", url=_untrusted),
}  # fmt: skip
