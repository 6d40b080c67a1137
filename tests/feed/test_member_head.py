"""What a ZIP's first entry says of the records, before the directory is here: it decides about the room."""

import io
import zipfile
from typing import Any

import pytest

from ctisync.errors import SnapshotRefused
from ctisync.feed.snapshot.zip_stream import Archive, declared_size

CONTENT = b"x" * 100_000


def _zip(
    target: io.BytesIO, name: str = "records.json", packed: int = zipfile.ZIP_DEFLATED, **how: Any
) -> io.BytesIO:
    """Its first entry alone: the directory is still to come."""
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
def test_the_first_entry_declares_its_size_where_it_has_it(file: io.BytesIO, size: int) -> None:
    assert declared_size(file, whole=False) == size
    name, pieces = next(Archive(file, whole=False).contents())
    assert (name, b"".join(pieces)) == ("records.json", CONTENT)


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
def test_a_member_that_only_the_directory_describes_is_not_begun_before_it_is_here(file: io.BytesIO) -> None:
    assert declared_size(file, whole=False) == 0
    with pytest.raises(SnapshotRefused):
        next(Archive(file, whole=False).contents())
