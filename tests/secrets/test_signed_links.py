"""The token of a consumer that is not public goes to the console alone, a signed link nowhere but back."""

import json
from typing import Final

import pytest

from tests.secrets.canaries import leaks_in
from tests.secrets.conftest import MakeStage
from tests.secrets.echoing import SPELLINGS, echo, garbage, json_echo
from tests.secrets.settings import SECRETS
from tests.secrets.stage import LINK, SIGNATURE, TYPED, Stage
from tests.support import feed_failures as failures
from tests.support.http_proxy import Answer, HttpProxy, Intercept, Received

TOKEN: Final = SECRETS["cti.token"]
HEADER: Final = SECRETS["cti.headers"]


def strays(stage: Stage, console: HttpProxy) -> list[str]:
    """The console signs links, the feed gets them; the token goes to the console, in place of the feed."""
    del stage.servers["console"]
    leaks = stage.strays(feed=[SIGNATURE])
    stage.servers["console"] = console
    sent = {name: b"\n".join(map(bytes, each.received)) for name, each in stage.servers.items()}
    leaks += [f"feed: {what}" for what in leaks_in([TOKEN], sent["feed"])]
    others = [each for each in SECRETS.values() if each not in (TOKEN, HEADER)]
    return leaks + [f"console: {what}" for what in leaks_in([*others, SIGNATURE], sent["console"])]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_neither_token_nor_signed_link_is_left_or_sent_elsewhere(
    on_sqlite: MakeStage, log_format: str
) -> None:
    stage = on_sqlite()
    console = stage.private()
    stage.environ["CTISYNC_CTI__RETRY_BUDGET"] = "60"
    stage.publish()
    stage.feed.fail("snapshot", failures.cut_off(0.5))
    stage.feed.fail("changes", failures.status(503))
    for command in (
        ["init-snapshot", "-v"],
        ["sync", "-v"],
        ["sync", "--dry-run"],
        ["mirror", str(stage.home / "mirror"), "-v"],
        ["status", "--remote"],
        ["doctor"],
        ["config", "show"],
        ["history"],
        ["verify"],
    ):
        extra = ["--log-format", log_format] if "-v" in command else []
        ended = stage.run(*command, *extra)
        assert ended.code in (0, 1), ended.stderr.decode()
        assert ended.leaks() == [], command
        stage.feed.expire_links()
    assert leaks_in([SIGNATURE], b"\n".join(map(bytes, stage.servers["feed"].received)))
    assert len(leaks_in([TOKEN, HEADER], b"\n".join(map(bytes, console.received)))) > 1
    assert strays(stage, console) == []


def test_a_signed_link_is_in_no_index_nor_in_the_state(on_opensearch: MakeStage) -> None:
    stage = on_opensearch()
    console = stage.private()
    ended = stage.run("sync", "-v")
    assert ended.code == 0, ended.stderr.decode()
    assert ended.leaks() == []
    assert strays(stage, console) == []


def moved(request: Received) -> Answer | None:
    """To itself, with all that it was told."""
    if "verify" not in request.target:
        return None
    return Answer(302, b"", {"Location": f"https://elsewhere.example{request.target}"})


def status_line(part: str) -> Intercept:
    """An answer that begins with the request instead of a status."""

    def answer(request: Received) -> Answer | None:
        return Answer(raw=f"HTTP/1.1 {request.target} x\r\n\r\n".encode()) if part in request.target else None

    return answer


def in_data(request: Received) -> Answer | None:
    """A reply that cannot be read, whose fields are what it was told."""
    if "verify" not in request.target:
        return None
    return Answer(200, json.dumps({"data": {"last_offset": request.credentials}}).encode())


def described(spelling: str) -> Intercept:
    """A refusal in the form of OAuth, whose texts are what came."""

    def answer(request: Received) -> Answer:
        words = SPELLINGS[spelling](f"{request.credentials} {request.body.decode()}")
        body = json.dumps({"error": request.credentials, "error_description": words})
        return Answer(400, body.encode(), {"Content-Type": "application/json"})

    return answer


REPLIES: Final[dict[str, tuple[str, Intercept]]] = {
    **{
        f"feed {status}, {spelling}": ("feed", how(status, spelling=spelling, part="verify"))
        for status in (400, 401, 403, 422)
        for how in (echo, json_echo)
        for spelling in (SPELLINGS if status == 403 else ("as it came",))
    },
    "feed 500": ("feed", echo(500, part="verify")),
    "feed garbage": ("feed", garbage(part="verify")),
    "feed status line": ("feed", status_line("verify")),
    "feed redirect": ("feed", moved),
    "feed data": ("feed", in_data),
    "console 400": ("console", json_echo(400)),
    "console 401": ("console", echo(401)),
    "console 500": ("console", echo(500)),
    "console 200": ("console", echo(200)),
    "console garbage": ("console", garbage()),
    **{f"console described, {spelling}": ("console", described(spelling)) for spelling in SPELLINGS},
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_server_that_repeats_what_it_got_is_not_repeated(on_sqlite: MakeStage, name: str) -> None:
    stage = on_sqlite()
    stage.private()
    where, spoil = REPLIES[name]
    stage.publish()
    stage.servers[where].intercept = spoil
    ended = stage.run("sync", "-v")
    assert ended.code in (3, 5, 6), ended.stderr.decode()
    assert ended.leaks() == [], ended.stderr.decode()
    shown = stage.run("status", "--json")
    assert shown.leaks() == []


@pytest.mark.parametrize("log_format", ["text", "json", "journal"])
def test_a_traceback_does_not_show_the_signature_that_an_invalid_answer_repeats(
    on_sqlite: MakeStage, log_format: str
) -> None:
    stage = on_sqlite()
    stage.publish()
    stage.servers["feed"].intercept = stage.servers["elsewhere"].intercept = status_line("signature=")
    for command in (["init-snapshot"], ["verify", "--against", stage.snapshot_url]):
        ended = stage.run(*command, "-v", "--log-format", log_format)
        assert ended.code == 5
        assert b"sends an invalid HTTP response" in ended.stderr
        assert ended.leaks(but=[TYPED]) == [], ended.stderr.decode()
        assert leaks_in([TYPED], ended.stderr) == [], ended.stderr.decode()


def test_a_link_that_a_feed_has_signed_itself_is_exchanged_as_it_is(on_sqlite: MakeStage) -> None:
    """The console must sign the whole address: its own signature comes in addition."""
    stage = on_sqlite()
    console = stage.private()
    stage.publish()
    assert stage.run("init-snapshot").code == 0
    bodies = [request.body for request in console.received if b"signature" in request.body]
    assert leaks_in([LINK], b"".join(bodies))
