"""Output on standard error: one line per event, two per error, progress bars at a terminal.

    (a terminal) vd_1.0.0/vd_4.8.0: 2 changes applied in 3 s; up to date at offset 2.
    text     2026-11-24T07:30:00Z info  range-applied  consumer=vd_1.0.0/vd_4.8.0 range="(1, 2]"
    json     {"time":"2026-11-24T07:30:00Z","level":"info","event":"range-applied","consumer":...}
    journal  <6>range-applied consumer=vd_1.0.0/vd_4.8.0 range="(1, 2]"

At a terminal ctisync prints sentences (see `sentences`), unless you set a format. The field names are the
same in the three formats. In the journal you can also filter by each field: CTISYNC_EVENT=range-applied,
CTISYNC_CONSUMER=... (see `journal`). A pass never fails because of its output: errors of the stream are
ignored.
"""

import logging
import re
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from math import ceil
from threading import Lock, current_thread, main_thread
from typing import Any, Final, Literal, TextIO

from ctisync.console import journal
from ctisync.console.masking import Mask
from ctisync.errors import AnotherPass, CtisyncError
from ctisync.escaping import escape, escape_json, escape_lines, one_line, to_json
from ctisync.ports import Clock, Level, Progress

Format = Literal["text", "json", "journal"]
Form = Format | Literal["sentences"]
Unit = Literal["bytes", "records", "offsets", "seconds"]

_ORDER: Final[dict[Level, int]] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_JOURNAL_PRIORITY: Final[dict[Level, int]] = {"debug": 7, "info": 6, "warning": 4, "error": 3}
_NEEDS_QUOTES: Final = re.compile(r'[\s"=]|^$')

_LONGEST_PUBLIC: Final = 1000
"""Characters of a public text: replies of servers may be long."""


class Console:
    """The `Log` of a call; it also prints errors."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._least: Level = "info"
        self._format: Form = "text"
        self._bars = False
        self._in_journal = False
        self._above_bar: Any = None
        self._masked = Mask()
        self._pass: dict[str, Any] = {}
        self._writing = Lock()
        self._why_again = ""
        self.after_stop: Callable[[], str] = lambda: ""
        """What happens next if a signal stops the command now."""

    def configure(self, *, least: Level, log_format: Form | None) -> None:
        """`least` is the lowest level that is shown. `log_format`: None means sentences at a terminal and
        text elsewhere. Progress bars appear only at a terminal."""
        at_terminal = self._stream.isatty()
        self._least = least
        self._format = log_format or ("sentences" if at_terminal else "text")
        self._in_journal = log_format == "journal" and journal.is_connected(self._stream)
        self._bars = self._format in ("sentences", "text") and least != "warning" and at_terminal

    def mask(self, secrets: Iterable[str], public: Iterable[str] = ()) -> None:
        """Replace the secrets by `***` in all output, but not within a text of `public`."""
        self._masked = Mask(secrets, public)

    def masked(self, text: str) -> str:
        """The text without secrets."""
        return self._masked(text)

    def public(self, text: str) -> str:
        """The text for others: masked, on one line, bounded, without control characters."""
        return one_line(self.masked(text), _LONGEST_PUBLIC)

    @contextmanager
    def in_pass(self, pass_id: str, after_stop: Callable[[], str]) -> Iterator[None]:
        """Within the block, lines for programs have the id of the pass; at a terminal only its begin has it.
        From now on the message after a signal ends with the text of `after_stop`."""
        self._pass, self.after_stop = {"pass_id": pass_id}, after_stop
        try:
            yield
        finally:
            self._pass = {}

    @property
    def verbose(self) -> bool:
        """Whether debug events are shown."""
        return self._least == "debug"

    def event(self, level: Level, event: str, **fields: Any) -> None:
        if _ORDER[level] < _ORDER[self._least]:
            return
        if self._format in ("json", "journal") or event == "pass-begun":
            fields = {**self._pass, **fields}
        time = rfc3339(self._clock.now())
        match self._format:
            case "sentences":
                self._write_sentence(level, event, fields)
            case "json":
                self._write(_as_json(time, level, event, fields))
            case "journal":
                self._to_journal(level, f"{event}{_as_pairs(fields, ' ')}", {"event": event, **fields})
            case "text":
                self._write(f"{time} {level:<7} {event}{_as_pairs(fields, '  ')}")

    def _write_sentence(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        from ctisync.console.sentences import sentence

        if event == "retry":
            again, self._why_again = self._why_again, fields["reason"]
            if fields["attempt"] > 1 and again == fields["reason"] and not self.verbose:
                return  # the count-down shows it
        if (text := sentence(level, event, fields, verbose=self.verbose)) is not None:
            self._write(text)
            if level == "warning" and fields.get("hint"):
                self._write(_try(fields["hint"]))

    def close_pass(self, line: str) -> None:
        """Print the last line of a good pass at a terminal; other formats have the event instead."""
        if self._format == "sentences" and self._least != "warning":
            self._write(line)

    def error(self, error: CtisyncError) -> None:
        """Print the error and its hint, with -v also a traceback. With -q, `AnotherPass` prints nothing: cron
        would mail each line, although its next call works."""
        if isinstance(error, AnotherPass) and self._least == "warning":
            return
        self.failure(error, error)

    def failure(self, error: CtisyncError, cause: BaseException) -> None:
        """The same for an error that stands for another one, `cause`; the traceback is that of `cause`."""
        message, hint = error.message, error.hint or None
        trace = "".join(traceback.format_exception(cause)).rstrip("\n") if self.verbose else None
        kind, code = error.kind, error.exit_code
        if self._format == "json":
            self.event(
                "error", "failed", message=message, hint=hint, error=kind, exit_code=code, traceback=trace
            )
            return
        words = [f"ctisync: {one_line(message)}", *([_try(hint)] if hint else [])]
        if self._format == "journal":
            fields = {"event": "failed", **self._pass, "error": kind, "exit_code": code, "hint": hint}
            self._to_journal("error", words[0], fields)
            for further in words[1:]:
                self._to_journal("error", further, {"event": "hint", **self._pass})
        else:
            for line in words:
                self._write(line)
        if trace:  # indented, so that no line of it looks like one of ctisync
            self._write(textwrap.indent(trace, "  ", lambda _: True))

    @contextmanager
    def progress(self, step: str, total: int | None, unit: Unit) -> Iterator[Progress]:
        if not self._bars or self._above_bar is not None:
            yield _NoBar()
            return
        from ctisync.console.progress import drawn

        with drawn(self._stream, step, total, unit) as bar:
            self._above_bar = bar
            try:
                yield bar
            finally:
                self._above_bar = None

    def pause(self, seconds: float, sleep: Callable[[float], None]) -> None:
        # The main thread may draw a bar of its own while another thread sleeps.
        if not self._bars or self._above_bar is not None or current_thread() is not main_thread():
            sleep(seconds)
            return
        whole = ceil(seconds)
        with self.progress("next try in", whole, "seconds") as bar:
            for passed in range(whole):
                bar.reached(passed)
                sleep(min(1.0, seconds - passed))

    def _to_journal(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        """Send to the journal itself, or print a line with the priority that the journal understands."""
        priority = _JOURNAL_PRIORITY[level]
        entry = {"PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "ctisync", "MESSAGE": message}
        entry |= {
            f"CTISYNC_{name.upper()}": _as_text(value) for name, value in fields.items() if value is not None
        }
        masked = {name: escape_lines(self._masked(value)) for name, value in entry.items()}
        if not (self._in_journal and journal.send(masked)):
            self._write(f"<{priority}>{message}")

    def _write(self, line: str) -> None:
        line = (escape_json if self._format == "json" else escape_lines)(self._masked(line))
        with self._writing, suppress(OSError, ValueError):  # ValueError: the stream is closed
            if (bar := self._above_bar) is not None:
                bar.print_above(line)
            else:
                self._stream.write(line + "\n")
                self._stream.flush()


class _NoBar:
    def reached(self, amount: int) -> None:
        pass


def rfc3339(time: datetime) -> str:
    """A time in UTC, with seconds: 2026-11-24T07:30:00Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _try(hint: str) -> str:
    return f"  try: {escape(hint)}"


def silence_libraries() -> None:
    """The logs of libraries contain URLs and bodies; ctisync reports their errors itself."""
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("httpx", "httpcore"):  # they log each address, which may be a secret
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _as_json(time: str, level: Level, event: str, fields: dict[str, Any]) -> str:
    values = {key: _plain(value) for key, value in fields.items() if value is not None}
    return to_json({"time": time, "level": level, "event": event, **values})


def _plain(value: Any) -> Any:
    """The value of a field for JSON: numbers and booleans unchanged, times by RFC 3339, the rest as text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return rfc3339(value)
        case timedelta():
            return value.total_seconds()
        case _:
            return str(value)


def _as_pairs(fields: dict[str, Any], before: str) -> str:
    pairs = [f"{key}={_quoted(value)}" for key, value in fields.items() if value is not None]
    return before + " ".join(pairs) if pairs else ""


def _as_text(value: Any) -> str:
    plain = _plain(value)
    return {True: "true", False: "false"}[plain] if isinstance(plain, bool) else str(plain)


def _quoted(value: Any) -> str:
    text = _as_text(value)
    return to_json(text) if _NEEDS_QUOTES.search(text) or not text.isprintable() else text
