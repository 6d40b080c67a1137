"""Whether a path lies on a network disk, from what Linux tells of its mounts."""

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
"""As mountinfo names them. A FUSE file system as such may be a local one (that of a container, say)."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


def network_kind(path: str, mountinfo: str) -> str | None:
    """The kind of the network file system that an absolute path, free of links, lies on; None: on none that
    is known. `mountinfo` is the text of `/proc/self/mountinfo` (proc(5)): a line a mount, a later one over an
    earlier one of the same place.
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
