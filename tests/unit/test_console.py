"""What standard error shows: lines, levels, formats, masking, and bars only where a person sits."""

import io
import json
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from ctisync.console import Console, Form, Format
from ctisync.core.model import OffsetRange
from ctisync.errors import CtisyncError, FeedUnreachable, UsageError
from ctisync.ports import Level
from tests.support.clock import FakeClock

TIME = "2026-03-01T12:00:00Z"


def console_on(
    log_format: Form | None = "text", least: Level = "info", secrets: tuple[str, ...] = ()
) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    console = Console(stream, FakeClock())
    console.configure(least=least, log_format=log_format)
    console.mask(secrets)
    return console, stream


def raised(error: CtisyncError) -> CtisyncError:
    """The error as it is when it was raised: with a traceback."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_off_a_terminal_no_closing_text_is_shown() -> None:
    console, stream = console_on(None)
    console.event("info", "pass-ended", outcome="up-to-date")
    console.close_pass("nothing new")
    assert stream.getvalue() == f"{TIME} info    pass-ended  outcome=up-to-date\n"


def test_a_text_line_holds_time_level_event_and_fields() -> None:
    console, stream = console_on()

    console.event(
        "info", "range-applied", consumer="a/b", range=OffsetRange(1, 2), records=3, done=True, none=None
    )

    assert (
        stream.getvalue()
        == f'{TIME} info    range-applied  consumer=a/b range="(1, 2]" records=3 done=true\n'
    )


def test_a_json_line_has_the_same_field_names_and_keeps_numbers() -> None:
    console, stream = console_on("json")

    console.event(
        "warning",
        "range-applied",
        range=OffsetRange(1, 2),
        records=3,
        at=datetime(2026, 1, 2, tzinfo=UTC),
        waited=timedelta(seconds=1.5),
    )

    assert json.loads(stream.getvalue()) == {
        "time": TIME,
        "level": "warning",
        "event": "range-applied",
        "range": "(1, 2]",
        "records": 3,
        "at": "2026-01-02T00:00:00Z",
        "waited": 1.5,
    }


@pytest.mark.parametrize("log_format", ["json", "journal"])
def test_lines_for_programs_say_which_pass_they_belong_to(log_format: Format) -> None:
    console, stream = console_on(log_format)

    with console.in_pass("abc", str):
        console.event("info", "feed-asked")
        if log_format == "json":
            console.error(FeedUnreachable("no"))
    console.event("info", "hook-done")

    *within, after = stream.getvalue().splitlines()
    assert within
    assert all("pass_id" in line and "abc" in line for line in within)
    assert "pass_id" not in after


def test_a_person_sees_the_pass_where_it_begins() -> None:
    console, stream = console_on(least="debug")

    with console.in_pass("abc", str):
        console.event("debug", "pass-begun", offset=3)
        console.event("info", "feed-asked", offset=3)

    begun, second = stream.getvalue().splitlines()
    assert begun.endswith("pass-begun  pass_id=abc offset=3")
    assert second.endswith("feed-asked  offset=3")


@pytest.mark.parametrize(("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3)])
def test_a_journal_line_begins_with_the_priority_and_has_no_time(level: Level, priority: int) -> None:
    console, stream = console_on("journal", "debug")

    console.event(level, "feed-asked", offset=3)

    assert stream.getvalue() == f"<{priority}>feed-asked offset=3\n"


@pytest.mark.parametrize("log_format", ["sentences", "text", "json", "journal"])
def test_a_field_cannot_begin_a_line_of_its_own(log_format: Form) -> None:
    console, stream = console_on(log_format)

    console.event("info", "odd", why='a "b"\nERROR faked=1\u2028\x1b[31m', empty="")

    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("least", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
    ],
)
def test_only_events_of_the_chosen_level_are_shown(least: Level, shown: list[str]) -> None:
    console, stream = console_on("json", least)
    levels: list[Level] = ["debug", "info", "warning", "error"]

    for level in levels:
        console.event(level, "x")

    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == shown


def test_an_error_is_two_lines() -> None:
    console, stream = console_on()

    console.error(FeedUnreachable("the feed is\nnot reachable", hint="ctisync sync"))

    assert stream.getvalue() == "ctisync: the feed is not reachable\n  try: ctisync sync\n"


def test_an_error_cannot_send_orders_to_the_terminal() -> None:
    console, stream = console_on()

    console.error(FeedUnreachable("the feed says \x1b[2J\x9b31m"))

    assert stream.getvalue() == "ctisync: the feed says \\u001b[2J\\u009b31m\n"


def test_an_error_in_json_is_one_json_line() -> None:
    console, stream = console_on("json", "warning")

    console.error(FeedUnreachable("not reachable", hint="ctisync sync"))

    line = json.loads(stream.getvalue())
    assert (line["event"], line["message"], line["hint"]) == ("failed", "not reachable", "ctisync sync")
    assert (line["error"], line["exit_code"]) == ("feed-unreachable", 5)


@pytest.mark.parametrize("log_format", ["sentences", "text", "json", "journal"])
def test_a_file_name_that_is_no_text_is_printed_all_the_same(log_format: Form) -> None:
    console, stream = console_on(log_format)
    console.event("warning", "met", why="/x/\udcff y")
    console.error(UsageError("cannot read /x/\udcff"))
    assert len(stream.getvalue().encode(errors="backslashreplace").splitlines()) == 2


def test_a_traceback_is_shown_only_when_details_are() -> None:
    for least in ("debug", "info"):
        console, stream = console_on(least=least)
        console.error(raised(FeedUnreachable("no")))
        assert ("Traceback" in stream.getvalue()) == (least == "debug")


@pytest.mark.parametrize("log_format", ["sentences", "text", "json", "journal"])
def test_a_secret_is_masked_wherever_it_comes_from(log_format: Form) -> None:
    console, stream = console_on(log_format, "debug", secrets=("canary-7",))

    console.event("info", "asked", url="https://h/canary-7")
    console.error(raised(FeedUnreachable("token canary-7 refused", hint="canary-7")))

    assert "canary" not in stream.getvalue()
    assert "***" in stream.getvalue()


class _Torn(io.StringIO):
    """A stream on which another thread writes whenever one has written."""

    def __init__(self) -> None:
        super().__init__()
        self.other: Thread | None = None

    def write(self, text: str) -> int:
        written = super().write(text[:5])
        if self.other is not None:
            other, self.other = self.other, None
            other.start()
            other.join(0.2)
        return written + super().write(text[5:])


def test_lines_of_two_threads_are_printed_one_after_the_other() -> None:
    stream = _Torn()
    console = Console(stream, FakeClock())
    stream.other = other = Thread(target=console.event, args=("info", "retry"))
    console.event("info", "range-applied")
    other.join()
    assert [line.split()[2] for line in stream.getvalue().splitlines()] == ["range-applied", "retry"]


def test_a_stream_that_is_gone_is_no_reason_to_fail() -> None:
    console, stream = console_on()
    stream.close()

    console.event("error", "x")
    console.error(FeedUnreachable("no"))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _progressed(stream: io.StringIO, least: Level = "info", log_format: Format = "text") -> str:
    console = Console(stream, FakeClock())
    console.configure(least=least, log_format=log_format)
    with console.progress("load", 1000, "records") as bar:
        bar.reached(500)
        console.event("warning", "between")
    return stream.getvalue()


def test_a_bar_is_drawn_at_a_terminal_and_lines_stay_whole_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    shown = _progressed(_Terminal())

    assert "500 of 1,000 records" in shown
    assert f"{TIME} warning between" in shown


@pytest.mark.parametrize(
    ("stream", "least", "log_format"),
    [(io.StringIO(), "info", "text"), (_Terminal(), "warning", "text"), (_Terminal(), "info", "json")],
    ids=["off a terminal", "with -q", "with another format"],
)
def test_elsewhere_there_is_no_trace_of_a_bar(stream: io.StringIO, least: Level, log_format: Format) -> None:
    assert _progressed(stream, least, log_format).count("\n") == 1
    assert "records" not in stream.getvalue()
