"""systemd's journal, where it can be had: messages with fields of their own, by which journalctl filters.

The native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a message, `NAME=value` lines;
a value with a newline in it stands behind its length.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

SOCKET: Final = Path("/run/systemd/journal/socket")


class Journal:
    """Never a reason to fail, and never waited for: `send` says whether the message was taken."""

    def __init__(self, place: Path) -> None:
        self._place = str(place)

    def send(self, fields: Mapping[str, str]) -> bool:
        message = b"".join(_line(name, value.encode(errors="replace")) for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(0)
                sender.sendto(message, self._place)
        except OSError:  # nobody is there, has time, or takes one of that size
            return False
        return True


def journal_of(stream: TextIO, place: Path = SOCKET) -> Journal | None:
    """The journal, when it is where the stream leads to: what is sent is then not missed there.

    systemd tells so in $JOURNAL_STREAM, by device and inode (systemd.exec(5)).
    """
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    if os.environ.get("JOURNAL_STREAM") != f"{found.st_dev}:{found.st_ino}":
        return None
    return Journal(place)


def _line(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%s=%s\n" % (name.encode(), value)
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
