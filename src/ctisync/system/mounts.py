"""Whether a folder is on a network disk, by Linux's list of mounts."""

import os
import re
from pathlib import Path
from typing import Final

from ctisync.core.health import Advice

MOUNTS: Final = Path("/proc/self/mountinfo")

_OVER_A_NETWORK: Final = re.compile(
    r"nfs4?|cifs|smb3|smbfs|9p|afs|beegfs|ceph|glusterfs|lustre|vboxsf"
    r"|fuse\.(ceph|gcsfuse|glusterfs|juicefs|rclone|s3fs|sshfs)"
)
"""The names in mountinfo. Other FUSE file systems may be local (for example that of a container)."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def network_disk_risk(folder: Path) -> Advice | None:
    """What can go wrong in a folder on a network disk; None if it is not on a known one."""
    try:
        kind = network_kind(folder.resolve(), os.fsdecode(MOUNTS.read_bytes()))
    except OSError:  # not Linux, or no /proc
        return None
    if kind is None:
        return None
    return Advice(
        f"{folder} is on a network disk ({kind}): locks may not work between hosts, and SQLite is "
        "not safe there",
        "set store.url (or state_dir) to a place on a local disk",
    )


def network_kind(path: Path, mountinfo: str) -> str | None:
    """The kind of the network file system that contains an absolute path without links; None if it is on no
    known one. `mountinfo`: the text of `/proc/self/mountinfo` (proc(5)), with one line per mount; a later
    mount covers an earlier one at the same place.
    """
    kinds: dict[Path, str] = {}
    for line in mountinfo.splitlines():
        place, _, system = line.partition(" - ")
        fields = place.split(" ")
        if len(fields) > 4:
            where = _ESCAPED.sub(lambda escape: chr(int(escape[1], 8)), fields[4])
            kinds[Path(where)] = system.partition(" ")[0]
    kind = next((kinds[each] for each in (path, *path.parents) if each in kinds), "")
    return kind if _OVER_A_NETWORK.fullmatch(kind) else None
