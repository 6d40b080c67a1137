"""A bundle: a part of a mirror as one tar.

Each header is exactly what `header` writes for a regular file of that name, size and time. So a bundle has no
links, no other kinds of files, and nothing that another program would extract elsewhere.
"""

import re
import tarfile
from typing import Final, NamedTuple

from ctisync.core.manifest import Manifest, MirrorFile, WrongMirror, base

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)

_FOLDER: Final = r"[a-z0-9_=-][a-z0-9._=-]*"
_PATH: Final = re.compile(rf"{_FOLDER}/{_FOLDER}/[a-z0-9][a-z0-9._=-]*")


class Member(NamedTuple):
    """`path`: of a file in the folder of the mirror. `written_at`: whole seconds of Unix time."""

    path: str
    size: int
    written_at: int

    @property
    def blocks_size(self) -> int:
        """Bytes of the content in the tar, with what fills its last block."""
        return -(-self.size // BLOCK) * BLOCK


def header(member: Member) -> bytes:
    """Raises WrongMirror for a member that a tar cannot have."""
    info = tarfile.TarInfo(member.path)
    info.size, info.mtime = member.size, member.written_at
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError as error:
        raise WrongMirror(f"{member.path}: a tar cannot have this file: {error}") from None


def member_of(block: bytes) -> Member | None:
    """The member of this header; None at the end of the tar. Raises WrongMirror."""
    if block == bytes(BLOCK):
        return None
    if len(block) < BLOCK:
        raise WrongMirror("it is cut off")
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        member = Member(info.name, info.size, int(info.mtime))
        if _PATH.fullmatch(member.path) and header(member) == block:
            return member
    except (tarfile.HeaderError, ValueError):
        pass
    raise WrongMirror("it is not written as ctisync writes a bundle")


def part(manifest: Manifest, since: int | None) -> tuple[MirrorFile, ...]:
    """The files of the changes after offset `since`, and of the one at that offset, which tells one history
    from another. With None: the newest snapshot, and the changes that its readers need."""
    if since is not None:
        return tuple(each for each in manifest.segments if each.to >= since)
    newest = manifest.snapshots[-1]
    begin = base((newest,))
    return newest, *(each for each in manifest.segments if each.to > begin)
