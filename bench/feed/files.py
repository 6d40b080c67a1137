"""The feed on the disk: a snapshot's ZIP and the changes after it, made once and used again while they fit.

    FOLDER/snapshot-40000-1-3f2a…/   snapshot.zip, facts.json
    FOLDER/changes-40000-1-1000x6-3f2a…/   served.json, facts.json, step-0.msgpack, …

The last part of a folder's name says which generator made it. `facts.json` is written last.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from bench.feed.advisories import Advisories
from bench.feed.changes import Life, Write
from bench.feed.records import FIRST_OFFSET, Records
from ctisync.demo import CONSUMER, CONTEXT

PUBLISHED: Final = 1746459961
"""Unix time in the names of snapshots."""

_MADE_BY: Final = ("text", "blocks", "records", "changes", "files")

KINDS: Final[dict[str, type[Records]]] = {"snapshot": Records, "advisories": Advisories}
"""What is in a feed, by the beginning of the name of its snapshot's folder."""
_LINES_A_PIECE: Final = 100


class SnapshotFacts(msgspec.Struct, frozen=True):
    records: int
    offset: int
    unzipped_bytes: int


class Snapshot(msgspec.Struct, frozen=True):
    path: Path
    facts: SnapshotFacts

    @property
    def zip_bytes(self) -> int:
        return self.path.stat().st_size

    def lines(self) -> Iterator[bytes]:
        """As they stand in it, with their newlines."""
        with zipfile.ZipFile(self.path) as archive, archive.open(archive.namelist()[0]) as member:
            yield from member


class RangeWork(msgspec.Struct, frozen=True, array_like=True):
    """What one range of changes comes to: names to read, and what is to be written then."""

    reads: list[str]
    writes: list[Write]


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """Where a change ends in `served.json`, behind the comma after it."""

    offset: int
    end: int


class ChangesFacts(msgspec.Struct, frozen=True):
    first_offset: int
    entries: list[Entry]
    steps: list[int]
    """The last offset of each step."""


class Changes(msgspec.Struct, frozen=True, dict=True):
    """Several steps of equally many changes; each run of an update applies one."""

    folder: Path

    @cached_property
    def facts(self) -> ChangesFacts:
        return msgspec.json.decode((self.folder / "facts.json").read_bytes(), type=ChangesFacts)

    def step(self, number: int) -> list[RangeWork]:
        content = (self.folder / f"step-{number}.msgpack").read_bytes()
        return msgspec.msgpack.decode(content, type=list[RangeWork])


def snapshot(folder: Path, records: int, seed: int, kind: str = "snapshot") -> Snapshot:
    def make(place: Path) -> None:
        made = KINDS[kind](records, seed)
        offset = FIRST_OFFSET + records
        member = zipfile.ZipInfo(f"{CONTEXT}_{CONSUMER}_{offset}_{PUBLISHED}.json")
        member.compress_type = zipfile.ZIP_DEFLATED
        size = 0
        with (
            zipfile.ZipFile(place / "snapshot.zip", "w") as archive,
            archive.open(member, "w", force_zip64=True) as target,
        ):
            for piece in _ahead(_pieces(made.lines())):
                size += target.write(piece)
        facts = SnapshotFacts(records=records, offset=offset, unzipped_bytes=size)
        (place / "facts.json").write_bytes(msgspec.json.encode(facts))

    place = _made_once(folder / f"{kind}-{records}-{seed}-{_generator(kind)}", make)
    facts = msgspec.json.decode((place / "facts.json").read_bytes(), type=SnapshotFacts)
    return Snapshot(place / "snapshot.zip", facts)


def changes(
    folder: Path, records: int, seed: int, steps: int, changes_a_step: int, kind: str = "snapshot"
) -> Changes:
    def make(place: Path) -> None:
        life = Life(KINDS[kind](records, seed), seed)
        first, end = life.last_offset, 0
        entries: list[Entry] = []
        ends: list[int] = []
        with (place / "served.json").open("wb") as served:
            for number in range(steps):
                work = []
                for each in life.ranges(changes_a_step):
                    for offset, text in enumerate(each.changes, start=each.after + 1):
                        end += served.write(text + b",")
                        entries.append(Entry(offset, end))
                    work.append(RangeWork(each.reads, each.writes))
                (place / f"step-{number}.msgpack").write_bytes(msgspec.msgpack.encode(work))
                ends.append(life.last_offset)
        (place / "facts.json").write_bytes(msgspec.json.encode(ChangesFacts(first, entries, ends)))

    of_kind = "" if kind == "snapshot" else f"{kind}-"
    name = f"changes-{of_kind}{records}-{seed}-{changes_a_step}x{steps}-{_generator(kind)}"
    return Changes(_made_once(folder / name, make))


def _made_once(place: Path, make: Callable[[Path], None]) -> Path:
    if not (place / "facts.json").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        make(place)
    return place


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """About a megabyte each, so that packing does it without the interpreter's lock."""
    rest = iter(lines)
    while some := list(islice(rest, _LINES_A_PIECE)):
        yield b"\n".join(some) + b"\n"


def _ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same; while one is used, a thread makes the next."""
    with ThreadPoolExecutor(1) as maker:
        made = maker.submit(next, pieces, b"")
        while piece := made.result():
            made = maker.submit(next, pieces, b"")
            yield piece


def _generator(kind: str) -> str:
    """What made the files: other code makes other ones."""
    made_by = _MADE_BY if kind == "snapshot" else (*_MADE_BY, kind)
    sources = [Path(__file__).with_name(f"{name}.py").read_bytes() for name in made_by]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:8]
