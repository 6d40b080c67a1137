"""Every field that a server, a file, a database or the environment can set, with orders in it."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from zipfile import ZIP_STORED

from tests.feed.crafted_zip import MEMBER
from tests.secrets.orders import IN_HEADER, MARK, ORDER
from tests.secrets.stage import Stage
from tests.support.feed_simulator import File, zipped
from tests.support.http_proxy import Answer, Intercept, Received

Arrange = Callable[[Stage], None]


class Field(NamedTuple):
    """`shown`: somebody is told what stands there. `calls`: what else than the usual is called for it."""

    arrange: Arrange
    shown: bool = True
    calls: tuple[tuple[str, ...], ...] = ()


HIDING: Final = f"{MARK}\u202e\u2066\u200b\u00ad\U000e0041"
"""What may stand in a record's name: no store or feed refuses it."""


def _info(**fields: Any) -> Arrange:
    return lambda stage: stage.feed.info.update(fields)


def _link(link: str) -> Arrange:
    return _empty(_info(last_snapshot_link=link))


def _empty(arrange: Arrange) -> Arrange:
    """Nothing is stored yet, so that the snapshot is wanted."""

    def both(stage: Stage) -> None:
        (stage.home / "state" / "ctisync.db").unlink()
        arrange(stage)

    return both


def _snapshot(content: Callable[[bytes], bytes]) -> Arrange:
    """Another file in the place of the last snapshot's."""

    def arrange(stage: Stage) -> None:
        path, file = list(stage.feed.files.items())[-1]
        stage.feed.files[path] = File(content(file.body), file.etag)

    return _empty(arrange)


def _line(**fields: Any) -> Arrange:
    line = {"name": "CVE-1", "offset": 1001, "version": 1, "inserted_at": None, "payload": {}, **fields}
    return _snapshot(lambda _: zipped({MEMBER: json.dumps(line).encode() + b"\n"}))


def _with_a_wrong_checksum(member: str) -> bytes:
    line = b'{"name":"CVE-1","offset":1001,"version":1,"payload":{}}\n'
    return zipped({member: line}, ZIP_STORED).replace(b'"version":1', b'"version":2')


def _changed(**fields: Any) -> Arrange:
    def arrange(stage: Stage) -> None:
        stage.feed.history.edit(stage.feed.history.last_offset, **fields)

    return arrange


def _created(name: str, payload: dict[str, Any]) -> Arrange:
    def arrange(stage: Stage) -> None:
        stage.feed.history.create(name, payload)

    return arrange


def _updated(*operations: Any) -> Arrange:
    def arrange(stage: Stage) -> None:
        stage.feed.history.update(stage.feed.history.names()[0], operations)

    return arrange


def _answers(of: str, answer: Answer, part: str = "") -> Arrange:
    def arrange(stage: Stage) -> None:
        server = stage.closed_store() if of == "store" else stage.servers[of]
        server.intercept = _for(part, answer)

    return arrange


def _for(part: str, answer: Answer) -> Intercept:
    def spoil(request: Received) -> Answer | None:
        return answer if part in request.target else None

    return spoil


def _snapshot_answers(answer: Answer) -> Arrange:
    """By a link without a signature, which a server could repeat."""

    def arrange(stage: Stage) -> None:
        _answers("feed", answer, "/store/")(stage)
        stage.feed.info["last_snapshot_link"] = stage.feed.info["last_snapshot_link"].partition("?")[0]

    return _empty(arrange)


def _raw(head: str) -> Answer:
    return Answer(raw=f"HTTP/1.1 {head}\r\n\r\n".encode())


def _error(status: int) -> Answer:
    problem = {
        "type": ORDER,
        "reason": ORDER,
        "root_cause": [{"type": ORDER, "reason": ORDER, "index": ORDER}],
    }
    body = json.dumps({"error": problem, "status": status}, ensure_ascii=False).encode()
    return Answer(status, body, {"Content-Type": "application/json"})


def _plain(status: int, **headers: str) -> Answer:
    return Answer(status, ORDER.encode(), {"Content-Type": "text/plain", **headers})


def _state(**fields: Any) -> Arrange:
    """What a pass of before has remembered, or another program has put in its place."""

    def arrange(stage: Stage) -> None:
        with sqlite3.connect(stage.home / "state" / "ctisync.db") as database:
            [(state,)] = database.execute("SELECT state FROM consumers").fetchall()
            document = json.dumps({**json.loads(state), **fields}, ensure_ascii=False)
            database.execute("UPDATE consumers SET state = ?", (document,))
        database.close()

    return arrange


def _passes(**fields: Any) -> Arrange:
    def arrange(stage: Stage) -> None:
        with sqlite3.connect(stage.home / "state" / "ctisync.db") as database:
            [(account,)] = database.execute("SELECT account FROM passes LIMIT 1").fetchall()
            document = json.dumps({**json.loads(account), **fields}, ensure_ascii=False)
            touched = json.dumps([[1001, "updated", ORDER]], ensure_ascii=False)
            database.execute("UPDATE passes SET account = ?, touched = ?", (document, touched))
        database.close()

    return arrange


def _records(stage: Stage) -> None:
    with sqlite3.connect(stage.home / "state" / "ctisync.db") as database:
        database.execute("UPDATE records SET name = name || ?", (ORDER,))
    database.close()


def _schema(stage: Stage) -> None:
    """SQLite repeats names of its tables in what it says."""
    insert = f'INSERT INTO "{ORDER}" VALUES (NULL)'  # noqa: S608  # our own words
    with sqlite3.connect(stage.home / "state" / "ctisync.db") as database:
        database.execute(f'CREATE TABLE "{ORDER}" (x NOT NULL)')
        database.execute("DROP VIEW content")
        database.execute(f"CREATE TRIGGER t BEFORE UPDATE ON consumers BEGIN {insert}; END")
    database.close()


def _lock(stage: Stage) -> None:
    """Somebody holds it, and has written into it what he likes."""
    import fcntl

    path = stage.home / "state" / "ctisync.db.vd_1.0.0.vd_4.8.0.lock"
    path.write_text(json.dumps({"pid": 1, "since": ORDER, "command": ORDER}))
    file = stage.also(path.open("rb"))
    fcntl.flock(file, fcntl.LOCK_EX)


def _environ(**variables: str) -> Arrange:
    return lambda stage: stage.environ.update(variables)


def _file_of_settings(text: str) -> Arrange:
    def arrange(stage: Stage) -> None:
        (stage.folder / "given" / "ctisync" / "config.toml").write_text(text, encoding="utf-8")

    return arrange


def _folder(stage: Stage) -> None:
    """All of ours lies below a folder of that name."""
    folder = stage.home / ORDER
    folder.mkdir()
    stage.environ["CTISYNC_STORE__URL"] = f"sqlite:///{folder}/{ORDER}.db"


def _damaged(stage: Stage) -> None:
    _folder(stage)
    (stage.home / ORDER / f"{ORDER}.db").write_bytes(b"SQLite format 3\0" + b"x" * 4000)


def _toml(text: str) -> str:
    return '"' + "".join(char if char.isalnum() else f"\\U{ord(char):08x}" for char in text) + '"'


TOML: Final = _toml(ORDER)
PATH: Final = "/no/" + ORDER
NOT_UTF_8: Final = "/no/\udc9b2J\udcff"

_ADVISORY: Final = {"cveMetadata": {"state": ORDER}, "containers": {"cna": {"title": ORDER}}}

OF_FEED: Final = {
    "info: last_offset": Field(_info(last_offset=ORDER), shown=False),
    "info: all of data": Field(
        _answers("feed", Answer(200, json.dumps({"data": ORDER}).encode())), shown=False
    ),
    "info: a link": Field(_link(f"https://{ORDER}/{ORDER}/x.zip")),
    "info: a link's path": Field(_link(f"/store/{ORDER}/x.zip")),
    "info: a link without offset": Field(
        _empty(_info(last_snapshot_link=f"/store/{ORDER}.zip", last_snapshot_offset=None))
    ),
    "info: a link's login": Field(_link(f"http://{ORDER}@h/x.zip"), shown=False),
    "info: a long link": Field(_link("https://h/" + ORDER * 500)),
    "info: a host of the link": Field(_link(f"https://{HIDING}.example/x.zip")),
    "snapshot: a member's name": Field(_snapshot(lambda _: zipped({f"{ORDER}.txt": b""}))),
    "snapshot: the member's name": Field(_snapshot(lambda _: _with_a_wrong_checksum(f"{ORDER}.json"))),
    "snapshot: a line's name": Field(_line(name=ORDER)),
    "snapshot: a line's name that hides": Field(_line(name=HIDING), calls=(("show", HIDING),)),
    "snapshot: a line's offset": Field(_line(offset=ORDER), shown=False),
    "snapshot: an offset beyond, of a name that hides": Field(_line(name=HIDING, offset=10**9)),
    "snapshot: a payload": Field(
        _line(payload={ORDER: ORDER, **_ADVISORY}),
        calls=(("show", "CVE-1"), ("show", "CVE-1", "--json")),
    ),
    "snapshot: inserted_at": Field(_line(inserted_at=ORDER), calls=(("show", "CVE-1"),)),
    "snapshot: no JSON": Field(_snapshot(lambda _: zipped({MEMBER: ORDER.encode()})), shown=False),
    "snapshot: its ETag": Field(_snapshot_answers(_plain(200, ETag=f'"{IN_HEADER}"')), shown=False),
    "snapshot: its range": Field(
        _snapshot_answers(_plain(206, **{"Content-Range": IN_HEADER})), shown=False
    ),
    "snapshot: refused": Field(_snapshot_answers(_plain(400))),
    "snapshot: a redirect": Field(
        _snapshot_answers(_plain(302, Location="https://" + HIDING.encode().decode("latin-1") + "/x"))
    ),
    "change: its type": Field(_changed(type=ORDER)),
    "change: its resource": Field(_changed(resource=ORDER)),
    "change: a resource that hides": Field(_created(HIDING, {}), calls=(("show", HIDING), ("log", HIDING))),
    "change: its version": Field(_changed(version=ORDER), shown=False),
    "change: its operation": Field(_updated({"op": ORDER, "path": "/x", "value": ORDER})),
    "change: its path": Field(_updated({"op": "remove", "path": f"/{ORDER}"})),
    "change: its value": Field(_updated({"op": "test", "path": "", "value": ORDER}), shown=False),
    "reply: the reason of 500": Field(_answers("feed", _raw(f"500 {IN_HEADER}")), shown=False),
    "reply: no status": Field(_answers("feed", _raw(IN_HEADER)), shown=False),
    "reply: a header": Field(_answers("feed", _raw(f"200 OK\r\n{IN_HEADER}")), shown=False),
    "reply: 400": Field(_answers("feed", _plain(400))),
    "reply: 403": Field(_answers("feed", _plain(403))),
    "reply: a Retry-After": Field(
        _answers("feed", _plain(429, **{"Retry-After": IN_HEADER})), shown=False
    ),
    "reply: an encoding": Field(_answers("feed", _plain(200, **{"Content-Encoding": IN_HEADER}))),
    "reply: a redirect": Field(_answers("feed", _plain(302, Location=f"https://h/{IN_HEADER}"))),
    "reply: a Date": Field(_answers("feed", _plain(200, Date=IN_HEADER)), shown=False),
}  # fmt: skip

OF_MANAGER: Final = {
    "manager: 500": Field(_answers("manager", _plain(500))),
    "manager: an error": Field(_answers("manager", _error(400))),
    "manager: its reason": Field(_answers("manager", _raw(f"500 {IN_HEADER}")), shown=False),
    "manager: no HTTP": Field(_answers("manager", _raw(IN_HEADER))),
}

OF_OPENSEARCH: Final = {
    **{f"store: {status}": Field(_answers("store", _error(status))) for status in (400, 403, 500)},
    "store: 404": Field(_answers("store", _error(404)), shown=False),
    "store: text": Field(_answers("store", _plain(400)), shown=False),
    "store: a redirect": Field(
        _answers("store", _plain(302, Location=f"https://h/{IN_HEADER}")), shown=False
    ),
    "store: what it calls itself": Field(
        _answers(
            "store", Answer(200, json.dumps({"version": {"distribution": ORDER, "number": ORDER}}).encode())
        ),
        shown=False,
    ),
}

OF_SQLITE: Final = {
    "state: why a snapshot was refused": Field(
        _state(refused={"link": ORDER, "etag": ORDER, "size": 1, "reason": ORDER})
    ),
    "state: why the feed is left alone": Field(
        _state(cooldown={"until": "2999-01-01T00:00:00Z", "reason": ORDER}), shown=False
    ),
    "state: what blocks": Field(
        _state(
            failed={
                "offset": 1,
                "resource": ORDER,
                "operation": 1,
                "reason": ORDER,
                "digest": "",
                "blocked": True,
            },
            last_snapshot_link=ORDER,
        )
    ),
    "state: what it was stored for": Field(
        _state(stored_for={"context": ORDER, "name": ORDER, "index": ORDER, "resources": [ORDER]})
    ),
    "state: what is no state": Field(_state(offset=ORDER), shown=False),
    "history: passes": Field(_passes(why=ORDER, outcome=ORDER, exit_code=5, index=ORDER)),
    "history: what is no pass": Field(_passes(command=ORDER)),
    "records: names": Field(_records),
    "SQLite: its names": Field(_schema),
    "SQLite: a folder's name": Field(_folder),
    "SQLite: the name of what is damaged": Field(_damaged),
    "the lock's holder": Field(_lock),
}

OF_PERSON: Final = {
    "settings: an unknown key": Field(_file_of_settings(f"[cti]\n{TOML} = 1\n")),
    "settings: a value": Field(_file_of_settings(f"[cti]\nurl = {TOML}\n"), shown=False),
    "settings: what is no number": Field(_file_of_settings(f"[cti]\nretry_budget = {TOML}\n"), shown=False),
    "settings: allowed hosts": Field(_file_of_settings(f"[cti]\nallowed_hosts = [{TOML}]\n")),
    "settings: resources": Field(_file_of_settings(f"[[consumers]]\nresources = [{TOML}]\n")),
    "settings: an index": Field(_file_of_settings(f"[[consumers]]\nindex = {TOML}\n")),
    "settings: an index that hides": Field(
        _file_of_settings(f'[[consumers]]\nindex = "i{HIDING[3:]}"\n'), shown=False
    ),
    "settings: no TOML": Field(_file_of_settings(ORDER), shown=False),
    "settings: a file": Field(_file_of_settings(f"[cti]\nca_file = {_toml(PATH)}\n")),
    "settings: a hook": Field(_file_of_settings(f"[hooks]\non_error = [{TOML}]\non_update = [{TOML}]\n")),
    "environment: an unknown name": Field(_environ(**{f"CTISYNC_{ORDER.replace('=', '')}": "1"})),
    "environment: a value": Field(_environ(CTISYNC_LIMITS__OFFSETS_AHEAD=ORDER), shown=False),
    "environment: consumers": Field(_environ(CTISYNC_CONSUMERS=ORDER), shown=False),
    "environment: a store": Field(_environ(CTISYNC_STORE__URL=f"http://{ORDER}:1")),
    "environment: a state's folder": Field(_environ(CTISYNC_STATE_DIR=PATH)),
    "environment: what is no text": Field(_environ(CTISYNC_STATE_DIR=NOT_UTF_8), shown=False),
    "environment: a proxy": Field(_environ(HTTP_PROXY=f"http://{ORDER}/", NO_PROXY=ORDER)),
    "command line: a file": Field(
        lambda _: None,
        calls=tuple(
            (*words, name)
            for name in (PATH, NOT_UTF_8, f"https://{ORDER}/", f"http://h/{ORDER}")
            for words in (
                ("init-snapshot", "--from"),
                ("verify", "--against"),
                ("status", "--config"),
                ("status", "--consumer"),
                ("sync", "--metrics"),
                ("export", "--output"),
                ("history", "--html"),
                ("examples", "--output"),
                ("demo", "--keep"),
                ("config", "init", "--output"),
                ("config", "show"),
                ("show",),
                ("log",),
                ("diff", "/dev/null"),
                ("status", "--check", "--warn-age"),
                ("examples",),
                (),
            )
            if (words, name) != (("demo", "--keep"), NOT_UTF_8)
        ),
    ),
}

FIELDS: Final = {**OF_FEED, **OF_MANAGER, **OF_OPENSEARCH, **OF_SQLITE, **OF_PERSON}
