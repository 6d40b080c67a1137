"""Searches as real processes in a content on SQLite, each begun from a copy of the same start."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ctisync.core.conditions import Answer, Conditions
from ctisync.core.facts import facts_of
from ctisync.core.model import Consumer, Delete
from ctisync.ports import Writer
from ctisync.search.index import Index
from ctisync.search.query import search
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.contract.test_searching import conditions
from tests.crash.passes import Ended, Forks
from tests.support.advisories import advisory
from tests.support.faults import Fault

SEED: Final = 23
RECORDS: Final = 40
QUERIES: Final = 25
CONSUMER: Final = Consumer()

ARGUMENTS: Final = (
    "search",
    "--product",
    "openssl",
    "--product",
    "libssl3",
    "--version",
    "1.1.1",
    "--ndjson",
)
QUERY: Final = Conditions(products=frozenset({"openssl", "libssl3"}), version="1.1.1")
"""The same."""

Matching = Mapping[str, Answer]
"""The names of the records that match, and whether that is sure."""


class Story(NamedTuple):
    """What happens to the content after its first search; `then` is None if the spoilt search is the first
    one. `spoil` does something to the index."""

    name: str
    then: Callable[[Writer, random.Random], None] | None
    spoil: Callable[[Path], None] = lambda _path: None


def _few_changes(writer: Writer, chance: random.Random) -> None:
    deleted = [Delete(f"CVE-2024-{number}", 110 + number) for number in (1, 2)]
    changed = [advisory(chance, f"CVE-2024-{number}", 110 + number) for number in (3, 4, 99)]
    passes.apply(writer, [*deleted, *changed], to=300)


def _many_changes(writer: Writer, chance: random.Random) -> None:
    changed = [advisory(chance, f"CVE-2024-{number}", 110 + number) for number in range(25)]
    passes.apply(writer, changed, to=300)


def _overwrite(path: Path) -> None:
    """All but its header."""
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(len(whole) - 100))


STORIES: Final = (
    Story("built", None),
    Story("updated", _few_changes),
    Story("built anew, as too much of it is dead", _many_changes),
    Story("built anew after damage", _few_changes, _overwrite),
)


class Searches:
    """One story: `begin` anew, `run` a search, look at what it leaves."""

    def __init__(self, story: Story, folder: Path, forks: Forks) -> None:
        chance = random.Random(SEED)
        print(f"seed {SEED}")  # noqa: T201  # to play it again
        self.folder = folder / "run"
        self._start, self._copy = folder / "start", folder / "copy"
        self._forks = forks
        self.folder.mkdir(parents=True)
        store = self._store(self.folder)
        records = [advisory(chance, f"CVE-2024-{number}", number + 1) for number in range(RECORDS)]
        passes.initialise(store, CONSUMER, records, 100)
        if story.then is not None:
            self.answer()
            with store.writer(CONSUMER) as writer:
                story.then(writer, chance)
            story.spoil(self.index)
        self._facts = [facts_of(line) for line in store.export(CONSUMER)]
        store.close()
        self.folder.rename(self._start)
        self._content = self._read(self._start)

    @property
    def index(self) -> Path:
        return self.folder / "ctisync.db.vd_1.0.0.vd_4.8.0.search"

    def begin(self) -> None:
        """As before the search that is spoilt."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self._start, self.folder)

    def run(self, fault: Fault | None = None, most_bytes: int | None = None) -> Ended:
        environ = {
            "HOME": str(self.folder),
            "CTISYNC_STORE__URL": f"sqlite:///{self.folder}/ctisync.db",
            "CTISYNC_STATE_DIR": str(self.folder),
        }
        return self._forks.run(
            *ARGUMENTS, folder=self.folder, environ=environ, fault=fault, most_bytes=most_bytes
        )

    def answer(self) -> Matching:
        """Of a search that nothing spoils."""
        ended = self.run()
        assert (ended.code, ended.stderr) == (0, ""), ended
        return matching_of(ended)

    def files(self) -> frozenset[str]:
        return frozenset(path.name for path in self.folder.iterdir())

    def expected(self, chosen: Conditions = QUERY) -> Matching:
        """What a plain scan finds."""
        return {each.name: answer for each in self._facts if (answer := chosen.match(each)) != "no"}

    def wrong(self, files: frozenset[str]) -> list[str]:
        """What is not as it should be after the next search. `files`: those that a search leaves."""
        wrong = []
        try:
            if (answer := self.answer()) != (expected := self.expected()):
                wrong.append(f"the next search answers {answer} instead of {expected}")
            if self.files() != files:
                wrong.append(f"there is {sorted(self.files() ^ files)} afterwards")
            wrong += self._wrong_in_index()
        except (AssertionError, sqlite3.Error) as error:
            wrong.append(f"the next search: {error!r}")
        if self._read(self.folder) != self._content:
            wrong.append("the content is another one")
        return wrong

    def _wrong_in_index(self) -> Iterator[str]:
        """Random queries to the index as it lies there, which heals nothing."""
        chance = random.Random(SEED)
        with closing(sqlite3.connect(f"{self.index.as_uri()}?mode=ro", uri=True)) as connection:
            index = Index(connection)
            for _ in range(QUERIES):
                chosen = conditions(chance)
                hits = search(index, chosen)
                answer = {name: "perhaps" if name in hits.unsure else "yes" for name in hits.names}
                if answer != (expected := self.expected(chosen)):
                    yield f"the index answers {chosen} with {answer} instead of {expected}"
            for (line,) in connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    yield f"the index: {line}"

    def _read(self, folder: Path) -> tuple[object, list[bytes]]:
        """State and content; of a copy, so that the look itself mends nothing."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(folder, self._copy)
        with closing(self._store(self._copy)) as store:
            return store.read_state(CONSUMER), list(store.export(CONSUMER))

    @staticmethod
    def _store(folder: Path) -> SqliteStore:
        return SqliteStore(folder / "ctisync.db", SystemClock())


def matching_of(ended: Ended) -> Matching:
    """The hits that a search has printed."""
    hits = [msgspec.json.decode(line) for line in ended.stdout.splitlines()]
    return {hit["name"]: "yes" if hit["sure"] else "perhaps" for hit in hits}


@contextmanager
def searches(story: Story, folder: Path) -> Iterator[Searches]:
    folder.mkdir()
    with Forks(folder) as forks:
        yield Searches(story, folder, forks)
