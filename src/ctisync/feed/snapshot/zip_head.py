"""A snapshot's ZIP while it is downloaded: its directory, which names the members, comes last.

The first entry is inflated by its own header; the result is compared with the directory at the end.
"""

import struct
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final, NamedTuple

from ctisync.core.limits import Limits
from ctisync.errors import SnapshotChanged, SnapshotRefused
from ctisync.feed.snapshot.inflate import BEST, Codec
from ctisync.feed.snapshot.zip_stream import ENCRYPTED, Content, Member, is_content, zip64_field

_HEADER: Final = struct.Struct("<4s2xHH12xLHH")
"""A local header: signature, flags, method, size of the content, lengths of name and extra fields."""
_SIZE_FOLLOWS: Final = 0x8
_SIZE_ELSEWHERE: Final = 0xFFFFFFFF


class Head(NamedTuple):
    """The header of the first entry: its name, the position of its compressed bytes, and the bytes of its
    content (0 if unknown)."""

    name: str
    start: int
    declared_size: int


def read_head(file: BinaryIO) -> Head | None:
    """The header of the first entry, if it is enough to inflate it: the content in deflate, not encrypted.
    Else None."""
    file.seek(0)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    signature, flags, method, size, name_length, extra_length = _HEADER.unpack(header)
    if signature != b"PK\x03\x04" or flags & ENCRYPTED or method != zipfile.ZIP_DEFLATED:
        return None
    name = file.read(name_length).decode("utf-8", "replace")
    if not is_content(name):
        return None
    extra = file.read(extra_length)
    if flags & _SIZE_FOLLOWS:
        size = 0
    elif size == _SIZE_ELSEWHERE:
        size = int.from_bytes((zip64_field(extra) or b"")[:8], "little")
    return Head(name, _HEADER.size + name_length + extra_length, size)


def pieces_by_head(file: BinaryIO, limits: Limits, codec: Codec = BEST) -> Iterator[bytes]:
    """As `Member.pieces`, if possible before the download has ended. Errors that only the directory shows are
    raised at the end: SnapshotChanged if it names another entry than the first one."""
    head = read_head(file)
    if head is None:
        yield from Member(file, limits, codec).pieces()
        return
    content = Content(file, head.name, head.start, limits.ratio, codec)
    yield from content.inflated()
    member = Member(file, limits, codec)
    _check_begin(member, head)
    member.confirm(content)


def check_head(file: BinaryIO, limits: Limits) -> None:
    """Raises SnapshotChanged if the directory names another entry than the first one: then errors of the
    latter do not matter. Waits for the end of the download."""
    if (head := read_head(file)) is None:
        return
    with suppress(SnapshotRefused):  # an unusable directory names no other entry
        _check_begin(Member(file, limits), head)


def _check_begin(member: Member, head: Head) -> None:
    if not member.begins_at(head.start):
        raise SnapshotChanged("the ZIP's directory names another entry than the first one")
