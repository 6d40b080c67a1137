"""The journal of systemd: messages with fields, by which journalctl can filter.

The native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram per message, with `NAME=value`
lines; the length precedes a value that contains a newline.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

SOCKET: Final = Path("/run/systemd/journal/socket")


def is_connected(stream: TextIO) -> bool:
    """Whether the stream leads to the journal: messages sent directly then appear in the same place.

    systemd sets $JOURNAL_STREAM to the device and inode of the stream (systemd.exec(5)).
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def send(fields: Mapping[str, str], place: Path = SOCKET) -> bool:
    """Never fails and never waits; returns whether the journal took the message."""
    message = b"".join(_line(name, value.encode(errors="replace")) for name, value in fields.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0)
            sender.sendto(message, str(place))
    except OSError:  # no journal, a full queue, or a message too large
        return False
    return True


def _line(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
