"""A store of JSON lines in a folder: what a new kind of store needs besides `ctisync.ports.Store`.

Its rules are those of `MemoryStore`. Each consumer is a file, which a write replaces: a line with the state,
then one for each record. A test adds `KIND` to `ctisync.backends.KINDS`, with no other change to the program.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from ctisync.backends import Access, Kind, StoreSettings
from ctisync.core.model import Record
from ctisync.core.pass_report import PassReport
from ctisync.core.state import ConsumerState
from ctisync.errors import ConfigurationError, StoreUnavailable
from ctisync.ports import Clock, Store
from ctisync.system.files import absolute, atomic_write
from ctisync.system.folders import free_in
from tests.support.memory_store import Content, Kept, MemoryStorage, MemoryStore

BEGINNING: Final = "jsonl:///"
KIND: Final = Kind(__name__, f"{BEGINNING}folder")


def parse(url: str, where: str) -> "FolderBackend":
    """See `ctisync.backends.parse_store_url`."""
    path = url.removeprefix(BEGINNING)
    if not path:
        raise ConfigurationError(f"{where}: {url} names no folder", hint=f"write {BEGINNING}folder")
    return FolderBackend(absolute(Path(path), where))


class FolderBackend(msgspec.Struct, frozen=True):
    """`ctisync.backends.Backend`, and the `LocalFiles` of it."""

    path: Path

    @property
    def kind(self) -> str:
        return "folder"

    @property
    def urls(self) -> tuple[str, ...]:
        return ()

    @property
    def local(self) -> "FolderBackend":
        return self

    def open(self, options: StoreSettings, clock: Clock, access: Access) -> Store:
        return MemoryStore(FolderStorage(self.path))

    def free_space(self, *, read_only: bool = False) -> int:
        return free_in(self.path.parent)

    def bytes_per_byte(self, options: StoreSettings) -> float:
        return 1.0


class FolderStorage(MemoryStorage):
    """The storage of a `MemoryStore` in a folder, which the first write creates."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{BEGINNING}{folder}")
        self._kept = _Files(folder)
        self._history = folder / "history.jsonl"

    @property
    def passes(self) -> list[PassReport]:
        with _named_errors(self._history):
            lines = self._history.read_bytes().splitlines() if self._history.exists() else []
            return [msgspec.json.decode(line, type=PassReport) for line in lines]

    @passes.setter
    def passes(self, passes: list[PassReport]) -> None:
        if passes or self._history.exists():
            with _named_errors(self._history):
                self._history.parent.mkdir(exist_ok=True)
                with atomic_write(self._history) as file:
                    file.writelines(msgspec.json.encode(each) + b"\n" for each in passes)


class _Head(msgspec.Struct, frozen=True):
    """The first line of a file; `role` of the records in the others."""

    state: ConsumerState
    writer: str | None
    role: str | None


class _Line(msgspec.Struct, frozen=True):
    name: str
    offset: int
    record: msgspec.Raw


class _Files(MutableMapping[tuple[str, str], Kept]):
    """The file `CONTEXT NAME.jsonl` of each consumer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, consumer: tuple[str, str]) -> Kept:
        path = self._path(consumer)
        with _named_errors(path):
            if not path.exists():
                raise KeyError(consumer)
            first, *others = path.read_bytes().splitlines()
            head = msgspec.json.decode(first, type=_Head)
            lines = [msgspec.json.decode(line, type=_Line) for line in others]
        records: Content = {line.name: Record(line.name, line.offset, bytes(line.record)) for line in lines}
        return Kept(
            head.state,
            content=records if head.role == "content" else None,
            writer=head.writer,
            aside=records if head.role == "aside" else None,
        )

    def __setitem__(self, consumer: tuple[str, str], kept: Kept) -> None:
        role = "content" if kept.content is not None else None if kept.aside is None else "aside"
        records = (kept.content or kept.aside or {}).values()
        path = self._path(consumer)
        with _named_errors(path):
            self._folder.mkdir(exist_ok=True)
            with atomic_write(path) as file:
                file.write(msgspec.json.encode(_Head(kept.state, kept.writer, role)) + b"\n")
                for each in records:
                    line = _Line(each.name, each.offset, msgspec.Raw(each.line))
                    file.write(msgspec.json.encode(line) + b"\n")

    def __delitem__(self, consumer: tuple[str, str]) -> None:
        with _named_errors(self._folder):
            self._path(consumer).unlink()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for path in self._folder.glob("* *.jsonl"):
            context, _, name = path.stem.partition(" ")
            yield context, name

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _path(self, consumer: tuple[str, str]) -> Path:
        return self._folder / f"{' '.join(consumer)}.jsonl"


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, msgspec.DecodeError) as error:
        raise StoreUnavailable(f"{path} cannot be used: {error}") from error
