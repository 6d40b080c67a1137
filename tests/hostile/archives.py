"""Hostile archives: each by its name in words, with what a refusal must say, or that it is to be loaded."""

import gzip
import io
import struct
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Final

from tests.feed.crafted_zip import MEMBER, Entry, assembled, deflated, patched, zip64_extra
from tests.hostile.assertions import Refused
from tests.support.feed_simulator import zipped
from tests.support.records import made_up

LINES: Final = tuple(each.line for each in made_up(40))
CONTENT: Final = b"".join(line + b"\n" for line in LINES)
"""Some 60 kB: the pass loads it in several transactions before it comes to the CRC."""

OTHER: Final = b"".join(each.line + b"\n" for each in made_up(7))
ARCHIVE: Final = zipped({MEMBER: CONTENT})


def refused(words: str, *entries: Entry, comment: bytes = b"", **end: int) -> Refused:
    return Refused(words, assembled(entries, comment, **end))


def _with_zip64_end(start: int) -> bytes:
    directory, end = ARCHIVE.index(b"PK\x01\x02"), ARCHIVE.index(b"PK\x05\x06")
    record64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, end - directory, start)
    wrapped = bytearray(
        ARCHIVE[:end] + record64 + b"PK\x06\x07" + struct.pack("<IQI", 0, end, 1) + ARCHIVE[end:]
    )
    struct.pack_into("<I", wrapped, len(wrapped) - 6, 0xFFFFFFFF)
    return bytes(wrapped)


def _tar() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(MEMBER)
        entry.size = len(CONTENT)
        archive.addfile(entry, io.BytesIO(CONTENT))
    return target.getvalue()


PACKED: Final = deflated(CONTENT)
JSON: Final = Entry(CONTENT)
SAME: Final = Entry(CONTENT, absent=True, at=0)
"""Another entry for what lies at the archive's beginning."""
EMPTY: Final = Entry(name=b"empty.json", method=0, absent=True, at=0)

REFUSED: Final = {
    # Sizes and sums that lie.
    "a CRC that is wrong": Refused("is damaged: vd_.*json has CRC", patched(CONTENT, crc=7)),
    "a CRC that is wrong, of a stored member": refused(
        "has CRC", Entry(CONTENT, method=0, central={"crc": 7})
    ),
    "a size that is declared too large": Refused(
        "the size of vd_.* is", patched(CONTENT, size=len(CONTENT) + 9)
    ),
    "a size that is declared too small": Refused(
        "the size of vd_.* is", patched(CONTENT, size=len(CONTENT) - 9)
    ),
    "a packed size that is declared too large": Refused(
        "the packed size of vd_", patched(CONTENT, packed=1 << 20)
    ),
    "a packed size that is declared too small": Refused("the packed size of vd_", patched(CONTENT, packed=7)),
    "a size of 4 GiB more, in a zip64 field": refused(
        "the size of vd_.* declared is 4295",
        Entry(CONTENT, central={"size": 0xFFFFFFFF}, extra=zip64_extra((1 << 32) + len(CONTENT))),
    ),
    "a packed size of 4 GiB more, in a zip64 field": refused(
        "the packed size of vd_.* declared is 4294970373",
        Entry(
            CONTENT,
            central={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF},
            extra=zip64_extra(len(CONTENT), (1 << 32) + len(PACKED)),
        ),
    ),
    "a zip64 field that ends too early": refused(
        "no usable directory", Entry(CONTENT, central={"size": 0xFFFFFFFF}, extra=b"\x01\x00\x08\x00\x01")
    ),
    "a stored member declared shorter than it is": refused(
        "has CRC", Entry(CONTENT, method=0, central={"size": 99, "packed": 99})
    ),
    "a stored member declared longer than the file": refused(
        "truncated: vd_.* ends in the middle",
        Entry(CONTENT, method=0, central={"size": 1 << 20, "packed": 1 << 20}),
    ),
    # Packed bytes that are none.
    "a deflate stream with a block of no known kind": refused(
        "damaged: vd_.*block", Entry(CONTENT, packed=b"\x07")
    ),
    "a deflate stream without an end": refused("line 40 .*not a record", Entry(CONTENT, packed=PACKED[:-40])),
    "a deflate stream that ends before its packed size": refused(
        "the packed size", Entry(CONTENT, packed=PACKED + b"more")
    ),
    "a deflate stream of nothing": refused("damaged|truncated", Entry(CONTENT, packed=b"")),
    "a member packed by zlib instead of deflate": refused(
        "damaged", Entry(CONTENT, packed=zlib.compress(CONTENT))
    ),
    # Packed as it is not understood.
    "a member that is encrypted": refused("member vd_.* is encrypted", Entry(CONTENT, flags=0x1)),
    "a member with strong encryption": refused("is encrypted", Entry(CONTENT, flags=0x41)),
    **{
        f"a member packed by method {method}, {name}": refused(
            f"uses compression method {method}", Entry(CONTENT, method=method)
        )
        for method, name in (
            (9, "deflate64"),
            (12, "bzip2"),
            (14, "LZMA"),
            (93, "zstd"),
            (95, "xz"),
            (97, "wavpack"),
            (99, "AES"),
        )
    },
    "an archive for a newer unpacker": refused(
        "no usable directory.*zip file version", Entry(CONTENT, central={"version": 99})
    ),
    # No member, or more than there are.
    "an archive of nothing": refused("has 0.*nothing"),
    "an archive of folders": refused(
        "has 0.*folder", Entry(name=b"folder/", method=0), Entry(name=b"x.json/", method=0)
    ),
    "an archive of a readme": refused("has 0.*'readme.txt'", Entry(b"Hello", name=b"readme.txt")),
    "two entries for one and the same member": refused("overlap", JSON, SAME),
    "fifty entries for one and the same member": refused("overlap", JSON, *[SAME] * 49),
    "two entries for one and the same member, and an empty one between": refused(
        "overlap", JSON, EMPTY, SAME
    ),
    "a member within another one of records": refused(
        "overlap|not a record|has CRC",
        Entry(assembled([JSON]), b"outer.json", method=0),
        Entry(CONTENT, absent=True, at=40),
    ),
    "a second member with a wrong CRC": refused(
        "other.json has CRC", JSON, Entry(OTHER, b"other.json", central={"crc": 7})
    ),
    "a second member that is no record": refused(
        "line 1 of other.json of the snapshot .*not JSON", JSON, Entry(b"Hello\n", b"other.json")
    ),
    "a second member that is encrypted": refused(
        "member other.json is encrypted", JSON, Entry(OTHER, b"other.json", flags=1)
    ),
    "a second member that is a web page": refused("web page", JSON, Entry(b"<html>", b"other.json")),
    "a second member that ends too early": refused(
        "truncated|damaged|line", JSON, Entry(OTHER, b"other.json", packed=b"")
    ),
    "an archive within an archive": refused("has 0.*inner.zip", Entry(ARCHIVE, name=b"inner.zip")),
    "an archive that calls itself a snapshot within an archive": refused("line 1 .*not JSON", Entry(ARCHIVE)),
    "more entries than limits.members": refused(
        r"limits\.members", JSON, *(Entry(name=b"%d" % number) for number in range(1000))
    ),
    "names so long that the directory fills the memory": refused(
        r"limits\.members", JSON, *(Entry(name=b"%05d" % number + b"n" * 60_000) for number in range(30))
    ),
    # A member with nothing in it.
    "a member of 0 bytes": refused("the snapshot is empty", Entry()),
    "a member of blanks": refused("the snapshot is empty", Entry(b"\n \r\n\t\n")),
    "a member of a byte order mark": refused("the snapshot is empty", Entry(b"\xef\xbb\xbf")),
    "a member that is a web page": refused("web page", Entry(b"<!DOCTYPE html><html></html>")),
    # A directory that leads nowhere.
    "a directory that says the member lies elsewhere": refused(
        "is not where the ZIP's directory says", Entry(CONTENT, at=77)
    ),
    "a directory that says the member lies behind the end": refused(
        "is not where", Entry(CONTENT, at=1 << 30)
    ),
    "a member whose own header is overwritten": Refused("is not where", b"PKxx" + ARCHIVE[4:]),
    "a directory of no size": refused("has 0", JSON, size=0),
    "a directory larger than the file": refused("no usable directory", JSON, size=1 << 30),
    "a directory that begins in the middle of the member": refused(
        "no usable directory|not where", JSON, start=77
    ),
    "a name that is no UTF-8 although it says so": refused(
        "no usable directory", Entry(CONTENT, b"\xff\xfe.json", flags=0x800)
    ),
    "a comment that begins like the end of an archive": refused(
        "no usable directory", JSON, comment=b"PK\x05\x06" + b"\0" * 9
    ),
    "a comment that is the end of an empty archive": refused("has 0", JSON, comment=zipped({})),
    "a zip64 directory at the end of all numbers": Refused("is not where", _with_zip64_end((1 << 64) - 1)),
    # Not a ZIP at all.
    "0 bytes": Refused("the snapshot is empty", b""),
    "a web page": Refused("web page", b"<!DOCTYPE html><html><body>Please sign in</body></html>"),
    "the two letters PK": Refused("no usable directory", b"PK"),
    "a download of zeros": Refused("line 1 .*not JSON", b"\0" * 5000),
    "a gzip file that is cut off": Refused("gzip is incomplete", gzip.compress(CONTENT, mtime=0)[:-4]),
    "a gzip file of an archive": Refused("line 1 .*not JSON", gzip.compress(ARCHIVE, mtime=0)),
    "a tar file": Refused("line 1 .*not JSON", _tar()),
    "a 7z file": Refused("line 1 .*not an object", b"7z\xbc\xaf\x27\x1c\0\4" + b"\0" * 500),
    "a script in front of an archive": Refused("line 1 .*not JSON", b"#!/bin/sh\n" + ARCHIVE),
}


ESCAPED: Final = str(Path(tempfile.gettempdir(), "ctisync-escaped.json"))
LYING: Final = {"crc": 7, "packed": 5, "size": 5}
DESCRIPTOR: Final = struct.pack("<III", zlib.crc32(CONTENT), len(PACKED), len(CONTENT))

LOADED: Final[dict[str, bytes]] = {
    "a member with a path out of the folder": assembled([Entry(CONTENT, b"../../escaped.json")]),
    "a member with an absolute path": assembled([Entry(CONTENT, ESCAPED.encode())]),
    "a member with a path of Windows": assembled([Entry(CONTENT, b"C:\\windows\\escaped.json")]),
    "a member with control characters in its name": assembled([Entry(CONTENT, b"a\x1b[2J\n.json")]),
    "a member beside folders and a readme": assembled(
        [Entry(name=b"folder/", method=0), Entry(b"Hello", b"readme.txt"), JSON, Entry(b"{}", b"more.txt")]
    ),
    "a member that other entries overlap": assembled(
        [JSON, *(Entry(CONTENT, b"%d.txt" % number, absent=True, at=0) for number in range(49))]
    ),
    "a member within another one": assembled(
        [Entry(assembled([JSON]), b"outer.txt", method=0), Entry(CONTENT, absent=True, at=39)]
    ),
    "a stored member": assembled([Entry(CONTENT, method=0)]),
    "a local header with another name": assembled([Entry(CONTENT, local_name=b"other.txt")]),
    "a local header with other sizes and CRC": assembled([Entry(CONTENT, local=LYING)]),
    "a local header with another method": assembled([Entry(CONTENT, local={"method": 0})]),
    "a local header that says encrypted": assembled([Entry(CONTENT, local={"flags": 1})]),
    "sizes behind the member, as a stream has them": assembled(
        [Entry(CONTENT, flags=8, local=dict.fromkeys(LYING, 0), behind=b"PK\x07\x08" + DESCRIPTOR)]
    ),
    "sizes behind the member without their signature": assembled(
        [Entry(CONTENT, flags=8, local=dict.fromkeys(LYING, 0), behind=DESCRIPTOR)]
    ),
    "sizes in zip64 fields although they are small": assembled(
        [
            Entry(
                CONTENT,
                central={"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF},
                extra=zip64_extra(len(CONTENT), len(PACKED)),
            )
        ]
    ),
    "a directory that counts its entries wrongly": assembled([JSON], count=7),
    "a comment": assembled([JSON], comment=b"made by hand"),
    "junk in front that begins like an archive": b"PK, and then something else" + ARCHIVE,
    "junk behind": ARCHIVE + b"\0" * 1000,
    "a whole other archive in front": zipped({MEMBER: OTHER}) + ARCHIVE,
    "a date that does not exist": assembled([JSON]).replace(b"\x00\x00\x21\x00", b"\xff\xff\xff\xff"),
}
