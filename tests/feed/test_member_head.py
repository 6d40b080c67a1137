"""What a ZIP's first entry says of the records, before the directory is here: it decides about the room."""

import io
import zipfile
import zlib
from typing import Any

import pytest

from ctisync.core.limits import USUAL_LIMITS
from ctisync.errors import SnapshotChanged
from ctisync.feed.snapshot.zip_head import Arriving, read_head
from tests.feed.crafted_zip import Entry, assembled, joined

CONTENT = b"x" * 100_000


def _zip(
    target: io.BytesIO, name: str = "records.json", packed: int = zipfile.ZIP_DEFLATED, **how: Any
) -> Any:
    with zipfile.ZipFile(target, "w", packed) as archive, archive.open(name, "w", **how) as member:
        member.write(CONTENT)
    body = target.getvalue()
    return io.BytesIO(body[: body.index(b"PK\x01\x02")])


class _Stream(io.BytesIO):
    """What `zipfile` cannot go back in: sizes follow the content."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


@pytest.mark.parametrize(
    ("file", "size"),
    [
        (_zip(io.BytesIO()), 100_000),
        (_zip(io.BytesIO(), force_zip64=True), 100_000),
        (_zip(_Stream()), 0),
    ],
    ids=["in 32 bits", "in 64 bits", "behind the content"],
)
def test_the_first_entry_says_its_size_where_it_has_it(file: io.BytesIO, size: int) -> None:
    head = read_head(file)
    assert head is not None
    assert (head.name, head.declared_size) == ("records.json", size)
    file.seek(head.start)
    assert zlib.decompressobj(-15).decompress(file.read(), 1000) == CONTENT[:1000]


@pytest.mark.parametrize(
    "file",
    [
        _zip(io.BytesIO(), "README"),
        _zip(io.BytesIO(), packed=zipfile.ZIP_STORED),
        io.BytesIO(b"PK\x03\x04"),
        io.BytesIO(b"PK\x05\x06" + bytes(18)),
    ],
    ids=["a readme", "stored", "its first bytes alone", "none"],
)
def test_what_only_the_directory_says_is_not_begun_before_it_is_here(file: io.BytesIO) -> None:
    assert read_head(file) is None


def test_what_the_directory_alone_calls_encrypted_is_not_read_as_the_content() -> None:
    """Else the same file is loaded while it comes in, and refused when all of it is here."""
    file = io.BytesIO(assembled([Entry(CONTENT, central={"flags": 1})]))
    with pytest.raises(SnapshotChanged):
        list(joined(Arriving(file, USUAL_LIMITS).contents()))
