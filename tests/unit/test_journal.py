"""The journal gets fields to filter by, and loses nothing where it cannot be had."""

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctisync.console import Console, journal
from ctisync.errors import FeedUnreachable
from tests.support.clock import FakeClock

Fields = dict[str, str]


class Listener:
    """The other end: what journald would be sent."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(place))
        self._socket.settimeout(5)

    def receive(self) -> Fields:
        return decoded(self._socket.recv(1 << 20))

    def close(self) -> None:
        self._socket.close()


def decoded(message: bytes) -> Fields:
    """By the protocol's text: a line without `=` is a name, then come a length and so many bytes."""
    fields: Fields = {}
    while message:
        line, _, rest = message.partition(b"\n")
        name, separator, value = line.partition(b"=")
        if not separator:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        message = rest
    return fields


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    opened = Listener(tmp_path / "socket")
    yield opened
    opened.close()


@pytest.fixture
def console(listener: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Console]:
    """One whose stream systemd has connected to the journal."""
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(journal.send, "__defaults__", (listener.place,))
        made = Console(stream, FakeClock())
        made.configure(least="info", log_format="journal")
        yield made
    assert (tmp_path / "stream").read_text() == "", "what was sent is not written as well"


def test_each_field_of_an_event_is_one_to_filter_by(console: Console, listener: Listener) -> None:
    with console.in_pass("abc", str):
        console.event("warning", "range-applied", consumer="a/b", records=3, done=True, none=None)
    assert listener.receive() == {
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "ctisync",
        "MESSAGE": "range-applied pass_id=abc consumer=a/b records=3 done=true",
        "CTISYNC_EVENT": "range-applied",
        "CTISYNC_PASS_ID": "abc",
        "CTISYNC_CONSUMER": "a/b",
        "CTISYNC_RECORDS": "3",
        "CTISYNC_DONE": "true",
    }


def test_an_error_and_its_hint_carry_the_id_of_the_pass(console: Console, listener: Listener) -> None:
    with console.in_pass("abc", str):
        console.error(FeedUnreachable("not reachable", hint="ctisync sync"))
    error, hint = listener.receive(), listener.receive()
    assert (error["PRIORITY"], error["MESSAGE"]) == ("3", "ctisync: not reachable")
    assert (error["CTISYNC_EVENT"], error["CTISYNC_HINT"]) == ("failed", "ctisync sync")
    assert hint["MESSAGE"] == "  try: ctisync sync"
    assert error["CTISYNC_PASS_ID"] == hint["CTISYNC_PASS_ID"] == "abc"


def test_a_secret_is_masked_in_each_field(console: Console, listener: Listener) -> None:
    console.mask(["canary-7"])
    console.event("info", "asked", url="https://h/canary-7")
    assert "canary" not in str(listener.receive())


def test_a_value_cannot_begin_a_field_of_its_own(console: Console, listener: Listener) -> None:
    console.event("info", "odd", why="a\nPRIORITY=0\nCTISYNC_EVENT=faked")
    message = listener.receive()
    assert (message["PRIORITY"], message["CTISYNC_EVENT"]) == ("6", "odd")
    assert message["CTISYNC_WHY"] == "a\nPRIORITY=0\nCTISYNC_EVENT=faked"


def test_a_journal_that_is_gone_leaves_the_line_on_the_stream(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(journal.send, "__defaults__", (tmp_path / "nobody",))
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        console = Console(stream, FakeClock())
        console.configure(least="info", log_format="journal")
        console.event("info", "feed-asked", offset=3)
    assert (tmp_path / "stream").read_text() == "<6>feed-asked offset=3\n"


def test_a_message_too_long_for_a_datagram_is_not_lost(tmp_path: Path, listener: Listener) -> None:
    assert not journal.send({"MESSAGE": "x" * 50_000_000}, listener.place)


@pytest.mark.parametrize("value", [None, "", "1:2"])
def test_a_stream_that_leads_elsewhere_gets_its_lines(
    value: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ctisync sync --log-format journal 2> file`, in a unit, too."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if value is not None:
        monkeypatch.setenv("JOURNAL_STREAM", value)
    with (tmp_path / "stream").open("w") as stream:
        assert not journal.is_connected(stream)
    assert not journal.is_connected(io.StringIO())
