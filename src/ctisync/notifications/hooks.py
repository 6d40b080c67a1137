"""What a pass tells others when it has ended: a hook, and a ping.

A hook is a program with its arguments. It runs without a shell, and with a timeout. A ping is a request to a
monitoring service such as healthchecks, at the start and the end of a call; the service alerts if none comes:

    POST {url}/start, {url}, {url}/fail (with one line: the reason)
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

import msgspec

from ctisync import __version__, hints
from ctisync.console import rfc3339
from ctisync.core.incidents import Incident
from ctisync.core.model import Consumer
from ctisync.core.pass_report import PassReport, Reason
from ctisync.errors import HookFailed
from ctisync.escaping import escape, quoted
from ctisync.system.files import file_name
from ctisync.system.threads import run_within, start_thread

_PART: Final = 5.0
"""Seconds after which a running hook is looked at again."""

_LAST_WORDS: Final = 1.0
"""Seconds between SIGTERM and SIGKILL for a hook."""


def run_hook(
    argv: Sequence[str], reason: Reason, report: PassReport, timeout: float, incident: Incident | None = None
) -> None:
    """Run `argv` as `_run` does, with `variables`. After "recovered" it reads the incident from standard
    input, as JSON."""
    hint = None if incident is None else "run the hook by hand; the next pass alerts again"
    ended = None if incident is None or reason != "recovered" else described(incident, report)
    values = variables(reason, report, incident)
    _run(argv, f"{report.consumer}: hooks.on_{reason}", values, ended, timeout, hint)


def run_match_hook(
    argv: Sequence[str],
    watch: str,
    consumer: Consumer,
    notices: bytes,
    timeout: float,
    meanwhile: Callable[[], None],
) -> None:
    """The same for the notices of a watch, which the hook reads from standard input, as JSON. Calls
    `meanwhile` every few seconds."""
    name = f"{consumer}: hooks.on_match of the watch {watch}"
    values = {"REASON": "match", "WATCH": watch, "CONSUMER": consumer, "INDEX": consumer.index}
    test = hints.command("watch test", quoted(watch), f"--consumer {quoted(consumer)}", "--json")
    hook = " ".join(map(quoted, argv))
    hint = f"{test} | {hook} (runs the hook; the next pass reports the same again)"
    _run(argv, name, _variables(values), notices, timeout, hint, meanwhile)


def _run(
    argv: Sequence[str],
    name: str,
    values: Mapping[str, str],
    text: bytes | None,
    timeout: float,
    hint: str | None,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Run `argv` to its end, with the environment of ctisync and `values`, and `text` as standard input; its
    output goes to standard error. Raises HookFailed if it cannot be started, fails, or takes more than
    `timeout` s.

    After the timeout, or if ctisync is stopped, the hook is stopped with all processes that it has started.
    """
    try:
        process = subprocess.Popen(
            [file_name(each) for each in argv],
            env={**os.environ, **values},
            stdin=subprocess.PIPE if text else subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise HookFailed(f"{name}: {argv[0]} cannot be started: {error.strerror}", hint=hint) from error
    left = timeout
    try:
        if text:
            _write(process, text)
        while process.poll() is None:
            part = min(left, _PART)
            try:
                process.wait(part)
            except subprocess.TimeoutExpired:
                if (left := left - part) <= 0:
                    raise
                meanwhile()
        code = process.returncode
    except BaseException as error:
        _end_group(process)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        late = f"{name}: {argv[0]} took longer than hooks.timeout, {timeout:.0f} s"
        raise HookFailed(late, hint=hint) from None
    if code != 0:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise HookFailed(f"{name}: {argv[0]} ended with {how}", hint=hint)


def _write(process: "subprocess.Popen[bytes]", text: bytes) -> None:
    """Write `text` to the standard input of the process, on a thread: it may read late, or nothing."""

    def write() -> None:
        assert process.stdin is not None
        with suppress(OSError), process.stdin as stdin:
            stdin.write(text)

    if start_thread(write, "hook") is None:
        write()


def described(incident: Incident, report: PassReport) -> bytes:
    """An incident that a pass has ended, as JSON."""
    until = report.ended_at
    return msgspec.json.encode(
        {
            "consumer": report.consumer,
            "reason": incident.reason,
            "exit_code": incident.exit_code or None,
            "why": incident.why,
            "since": rfc3339(incident.since),
            "until": rfc3339(until),
            "seconds": round(max(0.0, (until - incident.since).total_seconds())),
        }
    )


def variables(reason: Reason, report: PassReport, incident: Incident | None = None) -> Mapping[str, str]:
    """The variables of a hook. Not CTISYNC_*: those are settings, and a hook may run ctisync itself."""
    values = {
        "REASON": reason,
        "PASS": report.pass_id,
        "COMMAND": report.command,
        "CONSUMER": report.consumer,
        "INDEX": report.index,
        "EXIT_CODE": report.exit_code,
        "OUTCOME": report.outcome,
        "WHY": report.why,
        "FROM_OFFSET": report.from_offset,
        "OFFSET": report.offset,
        "LAST_OFFSET": report.last_offset,
        "CHANGES": report.changes,
        "RECORDS": report.records,
        "SINCE": None if incident is None else rfc3339(incident.since),
    }
    return _variables(values)


def _variables(values: Mapping[str, object]) -> dict[str, str]:
    return {f"HOOK_{name}": "" if value is None else escape(str(value)) for name, value in values.items()}


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


LONGEST_PING: Final = 10.0
"""Seconds from the name lookup to the headers of the reply. ctisync does not read its body."""

_PATHS: Final = {"start": "/start", "success": "", "fail": "/fail"}


def ping(
    url: str, what: Literal["start", "success", "fail"], text: str, longest: float = LONGEST_PING
) -> str | None:
    """None, or why the ping failed. ctisync does not follow redirects."""
    import httpx

    def post() -> int:
        with httpx.stream(
            "POST",
            url.rstrip("/") + _PATHS[what],
            content=text.encode(errors="replace"),
            headers={"User-Agent": f"ctisync/{__version__}", "Content-Type": "text/plain; charset=utf-8"},
            timeout=longest,
        ) as reply:
            return reply.status_code

    try:
        status = run_within(longest, post, "ping")
    except TimeoutError:
        return f"no answer within {longest:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        return str(error) or type(error).__name__
    return None if 200 <= status < 300 else f"it answers {status}"
