"""Whatever a machine is like, no command takes it for a bug in ctisync: the table of what each comes to."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from ctisync import __version__
from tests.cli.conftest import Ctisync, help_text_of
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator, unused_port
from tests.support.forked import shared_process
from tests.support.opensearch_node import OpenSearchNode

NOBODY: Final = 4_242
"""A user id without a name, and so without a home."""

CALLS: Final = (
    "sync", "sync --log-format json", "update", "init-snapshot", "init-snapshot --from {file}",
    "init-snapshot --from ~/none.zip", "status", "status --json", "status --check", "export",
    "export --output {out}", "show CVE-2003-10003", "history", "history --html {out}", "log", "verify",
    "verify --against {file}", "doctor", "doctor --json", "diff {file} {file}",
    "completion bash", "examples", "examples crontab", "config show",
    "config show store.url", "config show --json", "config check", "config init",
    "config init --output {out}", "--version", "--help", "demo --keep ~nobody-of-this-name/demo",
    "sync --dry-run", "init-snapshot --from {file} --dry-run", "forget --consumer vd_4.8.0 --yes",
    "forget --consumer vd_4.8.0 --dry-run", "log CVE-2003-10003", "help sync",
    "search overflow", "search --product product_1 --version 1.0 --json",
    "match {file} --os debian:12", "config get cti.url",
)  # fmt: skip

CHEAP: Final = ("diff ", "completion ", "examples ", "--version ", "--help ", "config ", "demo ", "help ")
"""Calls that look at no store: they end with 0, or as `OTHERS` says."""


class Paths(NamedTuple):
    """Where things are for one call."""

    state: Path
    settings: Path
    file: Path

    @property
    def database(self) -> Path:
        return self.state / "ctisync.db"


def replaced(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as other, other:
        other.execute("CREATE TABLE consumers (theirs TEXT)")


def altered(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as other, other:
        other.execute(statement)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def huge(database: Path) -> None:
    most = 2**63 - 1
    offsets = f"'$.offset', {most}, '$.last_offset', {most}"
    altered(database, f"UPDATE consumers SET state = json_set(state, {offsets})")  # noqa: S608  # a number


MANY: Final = 100_000


def many(database: Path) -> None:
    """As many records more, which an update must not read and a look must not hold at once."""
    line = (
        """json_object('name', name, 'offset', 5, 'version', 1, 'inserted_at', '', 'payload', json('{}'))"""
    )
    altered(
        database,
        f"WITH RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY}), "  # noqa: S608  # numbers of our own
        "names AS (SELECT generation, 'CVE-1990-' || n AS name FROM numbers, consumers) "
        f"INSERT INTO records (generation, name, offset, line) SELECT generation, name, 5, {line} FROM names",
    )


class Place(NamedTuple):
    """What a command finds. `codes`: how the calls that look at a store, or at what was given, may end there;
    `streams`: where input, output and errors lead; `nobody`: it runs as a user without a name; `of_data`: it
    differs only in files at which CHEAP calls do not look."""

    codes: frozenset[int]
    environ: Mapping[str, str] = {}
    streams: tuple[str, str, str] = ("/dev/null", "out", "err")
    nobody: bool = False
    of_data: bool = False
    prepare: Callable[[Paths], object] = lambda paths: None


def ends(*codes: int) -> frozenset[int]:
    return frozenset(codes)


HOMELESS: Final = {"HOME": "", "XDG_STATE_HOME": "", "XDG_CONFIG_HOME": "", "CTISYNC_STATE_DIR": ""}
STATE: Final = {"CTISYNC_STATE_DIR": "{state}"}
WELL: Final = ends(0, 2)
"""2: of `~/none.zip`, which there is not."""
ODD: Final = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "CTISYNC_STATE_DIR": "{odd}"}

PLACES: Final[Mapping[str, Place]] = {
    "as usual": Place(WELL),
    "no home, no name": Place(ends(2, 3), HOMELESS, nobody=True),
    "no home, no name, a state folder": Place(WELL, {**HOMELESS, **STATE}, nobody=True),
    "no home, no name, a database": Place(
        WELL, {**HOMELESS, "CTISYNC_STORE__URL": "sqlite:///{state}/ctisync.db"}, nobody=True
    ),
    "no home, no name, OpenSearch": Place(
        ends(2, 3), {**HOMELESS, "CTISYNC_STORE__URL": "{nowhere}"}, nobody=True
    ),
    "no home, no name, OpenSearch, a state folder": Place(
        ends(2, 3, 7), {**HOMELESS, **STATE, "CTISYNC_STORE__URL": "{nowhere}"}, nobody=True
    ),
    "LANG=C": Place(WELL, {"LC_ALL": "C", **ODD, **STATE}),
    "Latin-1": Place(WELL, {"LC_ALL": "xx_XX.ISO-8859-1", "LOCPATH": "{locales}", **ODD}),
    "no standard output": Place(WELL, streams=("/dev/null", "closed", "err")),
    "no standard error": Place(WELL, streams=("/dev/null", "out", "closed")),
    "no streams at all": Place(WELL, streams=("closed", "closed", "closed")),
    "a full standard output": Place(WELL, streams=("/dev/null", "/dev/full", "err")),
    "the same, unbuffered": Place(WELL, {"PYTHONUNBUFFERED": "1"}, ("/dev/null", "/dev/full", "err")),
    "a full standard error": Place(WELL, streams=("/dev/null", "out", "/dev/full")),
    "a state folder of mode 000": Place(
        ends(2, 3, 7), STATE, nobody=True, prepare=lambda paths: paths.state.chmod(0)
    ),
    "a database of mode 000": Place(
        ends(2, 3, 7), STATE, nobody=True, of_data=True, prepare=lambda paths: paths.database.chmod(0)
    ),
    "a folder for a database": Place(
        ends(2, 3, 7), STATE, of_data=True, prepare=lambda paths: a_folder(paths.database)
    ),
    "a text for a database": Place(
        ends(2, 3, 7),
        STATE,
        of_data=True,
        prepare=lambda paths: paths.database.write_text("no SQLite\n" * 900),
    ),
    "an empty database": Place(
        ends(0, 2, 10), STATE, of_data=True, prepare=lambda paths: paths.database.write_bytes(b"")
    ),
    "another program's database": Place(
        ends(2, 3, 7), STATE, of_data=True, prepare=lambda paths: replaced(paths.database)
    ),
    "a state that is no state": Place(
        ends(0, 2, 3, 7, 9),
        STATE,
        of_data=True,
        prepare=lambda paths: altered(paths.database, "UPDATE consumers SET state = '[]'"),
    ),
    "the highest offset": Place(
        ends(0, 2, 6, 9), STATE, of_data=True, prepare=lambda paths: huge(paths.database)
    ),
    "a hundred thousand records": Place(
        WELL, STATE, of_data=True, prepare=lambda paths: many(paths.database)
    ),
    "settings of mode 000": Place(
        ends(2, 3),
        {"XDG_CONFIG_HOME": "{settings}"},
        nobody=True,
        prepare=lambda paths: paths.settings.chmod(0),
    ),
    "settings that are a folder": Place(
        ends(2, 3), {"XDG_CONFIG_HOME": "{settings}"}, prepare=lambda paths: a_folder(paths.settings)
    ),
    "settings in Latin-1": Place(
        ends(2, 3),
        {"XDG_CONFIG_HOME": "{settings}"},
        prepare=lambda paths: paths.settings.write_bytes(b'ping_url = "http://h\xf6st"\n'),
    ),
    "a given file that is a folder": Place(WELL, STATE, prepare=lambda paths: a_folder(paths.file)),
    "a given file of mode 000": Place(WELL, STATE, nobody=True, prepare=lambda paths: paths.file.chmod(0)),
    "a given file of another kind": Place(
        ends(0, 2, 6),
        STATE,
        prepare=lambda paths: paths.file.write_bytes(bytes(range(256)) * 50),
    ),
}

FOREIGN: Final = (
    {"hello": "world"},
    {"name": 5},
    {"name": ["CVE-1", "CVE-2"], "offset": 7, "payload": {}},
    {"name": "CVE-2003-10003", "offset": -1, "payload": {}},
    {"name": "CVE-3", "offset": 1 << 62, "version": "no", "payload": None},
)
"""Documents of other programs, as an index with our mapping takes them."""

WRITERS: Final = ("sync", "update", "init-snapshot", "forget")


class Machine:
    """A folder with a filled store, copied for each call, and a feed."""

    def __init__(self, folder: Path, feed: FeedSimulator) -> None:
        self.folder = folder
        ctisync = Ctisync(folder / "home")
        ctisync.home.mkdir()
        ctisync.environ["CTISYNC_CTI__URL"] = feed.url
        self.environ = ctisync.environ
        assert ctisync.run("sync", "-q").returncode == 0
        self.filled = ctisync.database.parent
        self.file = folder / "given.ndjson"
        assert ctisync.run("export", "--output", str(self.file)).returncode == 0
        self.locales = folder / "locales"
        self.locales.mkdir()
        if shutil.which("localedef"):  # else the locale is C
            command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(self.locales / "xx_XX.ISO-8859-1")]
            subprocess.run(command, capture_output=True, check=False)

    def run(self, place: Place, folder: Path, calls: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Each call in a copy of the place: how it ended, and what it printed."""
        jobs: list[dict[str, Any]] = []
        for number, call in enumerate(calls):
            names = self._prepared(place, folder / str(number))
            environ = {"CTISYNC_STATE_DIR": names["state"], **self.environ}
            environ |= {key: text.format(**names) for key, text in place.environ.items()}
            jobs.append(
                {
                    "arguments": call.format(**names).split(),
                    "environ": {key: value for key, value in environ.items() if value},
                    "folder": names["folder"],
                    "user": NOBODY if place.nobody else None,
                    "streams": place.streams,
                }
            )
        codes = shared_process(jobs[0]["environ"]).run(jobs)
        for number, (call, code) in enumerate(zip(calls, codes, strict=True)):
            printed = (folder / str(number) / name for name in ("out", "err"))
            yield (
                call,
                code,
                "".join(path.read_bytes().decode("utf-8", "replace") for path in printed if path.exists()),
            )

    def _prepared(self, place: Place, folder: Path) -> dict[str, str]:
        folder.mkdir(parents=True)
        odd = folder / "st\xe4te"
        paths = Paths(
            folder / "state", folder / "settings" / "ctisync" / "config.toml", folder / "given.ndjson"
        )
        shutil.copytree(self.filled, paths.state)
        shutil.copytree(self.filled, odd)
        shutil.copy(self.file, paths.file)
        paths.settings.parent.mkdir(parents=True)
        paths.settings.write_text('on_feed_reset = "init"\n')
        if place.nobody:
            folder.parent.chmod(0o755)
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        place.prepare(paths)
        return {
            "folder": str(folder),
            "state": str(paths.state),
            "odd": str(odd),
            "settings": str(paths.settings.parents[1]),
            "file": str(paths.file),
            "out": str(folder / "written"),
            "locales": str(self.locales),
            "nowhere": f"http://127.0.0.1:{unused_port()}",
        }


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    for path in (folder, *folder.parents):  # for a user without a name to get there
        if os.geteuid() == 0 and path.stat().st_uid == 0:
            path.chmod(path.stat().st_mode | 0o011)
    with FeedSimulator() as feed:
        populate(feed.history, 20)
        feed.publish_snapshot()
        yield Machine(folder, feed)


def wrong(place: Place, call: str, code: int, printed: str) -> bool:
    judged = "--check" in call or call.startswith("doctor")
    help_text = help_text_of(call.split())
    promised = set(help_text.codes)
    if "--check" in call:
        promised |= help_text.with_option.get("--check", {}).keys()
    may_be = place.codes | {0, 2} if f"{call} ".startswith(CHEAP) else place.codes
    is_bug = f"a bug in ctisync {__version__}" in printed or ("Traceback" in printed and "-v" not in call)
    return is_bug or code not in promised or not (judged or code in may_be)


@pytest.mark.parametrize("name", PLACES)
def test_no_command_takes_it_for_a_bug(machine: Machine, name: str) -> None:
    place = PLACES[name]
    if place.nobody and os.geteuid() != 0:
        pytest.skip("only root can be another user")
    folder = machine.folder / str(list(PLACES).index(name))
    calls = [call for call in CALLS if not (place.of_data and f"{call} ".startswith(CHEAP))]
    bugs = [
        f"{call}: {code}\n{printed[-700:]}"
        for call, code, printed in machine.run(place, folder, calls)
        if wrong(place, call, code, printed)
    ]
    assert not bugs, "\n\n".join(bugs)


def test_nor_does_one_take_documents_of_another_program_in_the_index_for_a_bug(
    machine: Machine, opensearch_2: OpenSearchNode
) -> None:
    opensearch_2.wipe()
    index = "no-bug-cve"
    environ = {
        "CTISYNC_STORE__URL": opensearch_2.url,
        "CTISYNC_CONSUMERS": json.dumps([{"index": index}]),
        "CTISYNC_COMMAND_MANAGER__ENABLED": "false",
    }
    ctisync = Ctisync(machine.folder / "home")
    ctisync.environ = machine.environ | environ
    ctisync.environ["CTISYNC_STATE_DIR"] = str(machine.folder / "beside")
    literal = {name: value.replace("{", "{{").replace("}", "}}") for name, value in environ.items()}
    place = Place(ends(0, 2, 6, 7, 9), {**literal, **STATE})
    writers = [call for call in CALLS if call.startswith(WRITERS) and "dry-run" not in call]
    readers = [call for call in CALLS if call not in writers]
    bugs: list[str] = []
    for number, calls in enumerate((readers, *([each] for each in writers))):
        assert ctisync.run("init-snapshot", "-q").returncode == 0
        for name, document in enumerate(FOREIGN):
            opensearch_2.request("PUT", f"/{index}/_doc/{name}?refresh=true", document)
        bugs += [
            f"{call}: {code}\n{printed[-700:]}"
            for call, code, printed in machine.run(place, machine.folder / f"foreign-{number}", calls)
            if wrong(place, call, code, printed)
        ]
    opensearch_2.wipe()
    assert not bugs, "\n\n".join(bugs)
