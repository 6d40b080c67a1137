"""A snapshot's ZIP while only its beginning is here: the directory, which says what is in it, comes last.

The first entry is inflated on its own word; the directory is held against what came of it in the end.
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
    """What the first entry says of itself: its name, where its packed bytes begin, the bytes of its content
    (0 when it doesn't say)."""

    name: str
    start: int
    declared_size: int


def read_head(file: BinaryIO) -> Head | None:
    """The first entry, when nothing else has to be known to inflate it: the content, in deflate, in the
    clear."""
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
    """As `Member.pieces`, as far as possible before the whole file is here; what the directory shows to be
    wrong is raised at the end: SnapshotChanged, when it names another entry than the first one."""
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
    """Raises SnapshotChanged when the first entry is not the one that the directory names, so that it doesn't
    matter what is wrong with it. Waits for the whole file."""
    if (head := read_head(file)) is None:
        return
    with suppress(SnapshotRefused):  # a directory that is no good either has no other entry to offer
        _check_begin(Member(file, limits), head)


def _check_begin(member: Member, head: Head) -> None:
    if not member.begins_at(head.start):
        raise SnapshotChanged("the ZIP's directory names another entry than the first one")
