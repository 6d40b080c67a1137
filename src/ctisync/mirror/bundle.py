"""Packing a part of a mirror into one file."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Final

from ctisync.core.bundle import END, Member, header, part
from ctisync.core.manifest import (
    FORMAT,
    HEAD,
    SIGNATURE,
    Head,
    Manifest,
    MirrorFile,
    WrongMirror,
    encoded,
    safe_name,
)
from ctisync.core.model import Consumer
from ctisync.core.publication import publication, signature_of
from ctisync.ports import Log

_PIECE: Final = 1 << 20

OpenFile = Callable[[str], AbstractContextManager[BinaryIO]]
"""Opens a file of the consumer's folder."""


class Bundler:
    """Packs parts of what a mirror has of a consumer now. Raises WrongMirror, and what `opened` raises."""

    def __init__(self, opened: OpenFile, consumer: Consumer) -> None:
        self._opened = opened
        self._folder = f"{safe_name(consumer.context)}/{safe_name(consumer.name)}"
        self._publication = publication(self._read, str(consumer))
        self._signature = signature_of(self._read, self._publication.file)

    @property
    def manifest(self) -> Manifest:
        return self._publication.manifest

    def write(self, since: int | None, target: BinaryIO, log: Log) -> int:
        """Write a bundle, and return its size in bytes: as of `core.bundle.part`. The same mirror gives the
        same bytes."""
        files, size = part(self.manifest, since), 0
        with log.progress("bundle", sum(each.size for each in files), "bytes") as bar:
            for piece in self._pieces(files):
                target.write(piece)
                size += len(piece)
                bar.reached(size)
        return size

    def _pieces(self, files: Sequence[MirrorFile]) -> Iterator[bytes]:
        """The head is last: where the tar is extracted into a mirror, it names what is there already."""
        named, text = self._publication.file, self._publication.text
        yield from self._member(named.name, named.size, (text,))
        if self._signature is not None:
            yield from self._member(f"{named.name}{SIGNATURE}", len(self._signature), (self._signature,))
        for file in files:
            yield from self._member(file.name, file.size, self._content(file))
        head = encoded(Head(format=FORMAT, manifest=named))
        yield from self._member(HEAD, len(head), (head,))
        yield END

    def _member(self, name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
        member = Member(f"{self._folder}/{name}", size, int(self.manifest.made_at.timestamp()))
        yield header(member)
        yield from content
        yield bytes(member.blocks_size - size)

    def _content(self, file: MirrorFile) -> Iterator[bytes]:
        """Of a file that is the one that the manifest means."""
        digest, left = hashlib.sha256(), file.size
        with self._opened(file.name) as source:
            while piece := source.read(min(_PIECE, left + 1)):
                left -= len(piece)
                digest.update(piece)
                if left < 0:
                    break
                yield piece
        if left or digest.hexdigest() != file.sha256:
            raise WrongMirror(f"{file.name} is damaged: it has not the size and the digest that it should")

    def _read(self, name: str, most: int) -> bytes:
        with self._opened(name) as file:
            return file.read(most + 1)
