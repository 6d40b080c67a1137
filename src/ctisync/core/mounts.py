"""Whether a path is on a network disk, by Linux's list of mounts."""

import re
from typing import Final

_OVER_A_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "beegfs", "ceph", "glusterfs", "lustre", "vboxsf"}
    | {
        "fuse.ceph",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.juicefs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
    }
)
"""The names in mountinfo. Other FUSE file systems may be local (for example that of a container)."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def network_kind(path: str, mountinfo: str) -> str | None:
    """The kind of the network file system that contains an absolute path without links; None if it is on no
    known one. `mountinfo`: the text of `/proc/self/mountinfo` (proc(5)), with one line per mount; a later
    mount covers an earlier one at the same place.
    """
    kind, depth = None, -1
    for line in mountinfo.splitlines():
        place, _, system = line.partition(" - ")
        fields, about = place.split(" "), system.split(" ")
        if len(fields) < 5 or not about[0]:
            continue
        where = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]).rstrip("/")
        if (path == where or path.startswith(where + "/")) and len(where) >= depth:
            kind, depth = about[0], len(where)
    return kind if kind in _OVER_A_NETWORK else None
