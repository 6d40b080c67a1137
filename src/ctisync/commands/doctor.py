"""`ctisync doctor`: check everything that a pass needs, and print what to type."""

import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from ctisync import __version__, hints, host_files, wiring
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, command, json_fields, print_document
from ctisync.commands.status import judge
from ctisync.commands.status.read import ConsumerStatus, consumer_status
from ctisync.console import Console, rfc3339
from ctisync.core.health import CheckResult, failed, guarded, judge_disk_space, judge_end, ok, warning, worst
from ctisync.core.model import Consumer
from ctisync.errors import CtisyncError
from ctisync.escaping import escape, one_line
from ctisync.ports import Clock
from ctisync.settings import LoadedSettings, Settings
from ctisync.settings.checks import SeveralMistakes, setting_warnings
from ctisync.system.folders import diagnose_folder, free_in, nearest
from ctisync.system.locks import diagnose as diagnose_lock
from ctisync.system.process import print_result

LONGEST_CHECK: Final = 20.0
"""Seconds for the feed, and for the Command Manager; the store has its own limit."""

_CODES: Final = {"ok": judge.OK, "warning": judge.WARNING, "failed": judge.CRITICAL}


@command()
def doctor(options: CommonOptions, as_json: JsonOption = False) -> int:
    """Check everything that a pass needs, and print what to type. Changes nothing."""
    console = options.console
    try:
        loaded = options.read_settings()
        consumers = options.consumers(loaded.settings)
    except CtisyncError as error:
        results, code = _without_settings(error, console), judge.UNKNOWN
    else:
        results = diagnose(loaded, consumers, CLOCK, console)
        code = _CODES[worst(results)]
    if as_json:
        print_document(_as_document(results))
    elif text := _as_text(results, quiet=options.quiet):
        print_result(text)
    return code


def diagnose(
    loaded: LoadedSettings, consumers: Sequence[Consumer], clock: Clock, console: Console
) -> list[CheckResult]:
    """Check everything that passes over these consumers need. Writes nothing.

    The results contain no secrets and no control characters; hints repeat the options of the call.
    """
    settings = _hurried(loaded.settings)
    feeds, snapshot_bytes = _feeds(settings, consumers, clock, console)
    stores, readable = _store(settings, consumers, clock)
    results = [
        *_host(loaded, consumers),
        *guarded("disk", lambda: _disk(settings, snapshot_bytes, readable)),
        *feeds,
        *_ends("feed-certificate", wiring.feed_certificates(settings), clock),
        *stores,
        *(each for one in readable for each in _content(one, clock)),
        *guarded("command-manager", lambda: _command_manager(settings, clock)),
    ]
    return [_fit_to_show(each, console) for each in results]


def _without_settings(error: CtisyncError, console: Console) -> list[CheckResult]:
    """Without valid settings, doctor cannot check anything else."""
    errors = error.errors if isinstance(error, SeveralMistakes) else (error,)
    results = [failed("settings", each.message, each.hint) for each in errors]
    return [_versions(), *(_fit_to_show(each, console) for each in results)]


def _as_document(results: Sequence[CheckResult]) -> dict[str, Any]:
    """The contract of `doctor --json`."""
    checks = [
        json_fields(each, check="what", consumer="about", health="health", said="text", to_do="hint")
        for each in results
    ]
    return {"health": worst(results), "checks": checks}


def _as_text(results: Sequence[CheckResult], *, quiet: bool) -> str:
    """One line per check, then its hint; `quiet`: only checks that are not ok."""
    lines = []
    for each in results:
        if quiet and each.health == "ok":
            continue
        about = "" if each.about is None else f"{each.about}: "
        lines.append(f"{each.health:<8} {each.what:<16} {about}{each.text}")
        if each.hint is not None:
            lines.append(f"{'':<8} {'try:':>16} {each.hint}")
    return "\n".join(lines)


def _hurried(settings: Settings) -> Settings:
    """Settings with shorter timeouts: doctor must not take as long as a pass."""
    replace, limits, manager = msgspec.structs.replace, settings.limits, settings.command_manager
    limits = replace(limits, pass_seconds=min(limits.pass_seconds or LONGEST_CHECK, LONGEST_CHECK))
    manager = replace(manager, timeout=min(manager.timeout, LONGEST_CHECK))
    return replace(settings, limits=limits, command_manager=manager)


def _fit_to_show(result: CheckResult, console: Console) -> CheckResult:
    hint = None if result.hint is None else escape(console.masked(result.hint))
    return msgspec.structs.replace(result, text=one_line(console.masked(result.text)), hint=hint)


def _versions() -> CheckResult:
    return ok("versions", f"ctisync {__version__}, Python {platform.python_version()}, {platform.platform()}")


def _host(loaded: LoadedSettings, consumers: Sequence[Consumer]) -> Iterator[CheckResult]:
    settings = loaded.settings
    yield _versions()
    warnings = [warning("settings", each.text, each.hint) for each in setting_warnings(loaded)]
    read = [str(file) for file in loaded.files if file.exists()]
    yield from warnings or [ok("settings", f"{len(loaded.sources)} set; files: {', '.join(read) or 'none'}")]
    folder = settings.spool_folder
    yield diagnose_folder(folder, is_made=folder == settings.state_dir)
    for each in consumers:
        yield msgspec.structs.replace(diagnose_lock(host_files.lock_path(settings, each)), about=str(each))


def _disk(
    settings: Settings, snapshot_bytes: int | None, readable: Sequence[ConsumerStatus]
) -> Iterator[CheckResult]:
    filled = bool(readable) and all(one.state.content for one in readable)
    folder, share = settings.spool_folder, wiring.share_of_records(settings)
    on_disk = free_in(nearest(folder))
    yield judge_disk_space(
        str(folder), wiring.free_disk_space(settings), snapshot_bytes, share, filled=filled, on_disk=on_disk
    )


def _feeds(
    settings: Settings, consumers: Sequence[Consumer], clock: Clock, console: Console
) -> tuple[list[CheckResult], int | None]:
    """The results for the feed of each consumer, and the size of the largest snapshot. A result for all
    consumers, such as that of the clock, only once."""
    results: list[CheckResult] = []
    sizes: list[int] = []
    for consumer in consumers:
        size = None
        try:
            with wiring.opened_feed(settings, consumer, clock, console) as feed:
                checks, size = feed.diagnose()
        except CtisyncError as error:
            checks = [failed("feed", error.message, error.hint, about=consumer)]
        for_all = {each.what for each in results if each.about is None}
        results += [each for each in checks if each.what not in for_all]
        sizes += [] if size is None else [size]
    return results, max(sizes, default=None)


def _store(
    settings: Settings, consumers: Sequence[Consumer], clock: Clock
) -> tuple[list[CheckResult], list[ConsumerStatus]]:
    """The results for the store, and the state of each consumer that can be read."""
    readable: list[ConsumerStatus] = []

    def checks() -> Iterator[CheckResult]:
        with wiring.opened_store(settings, clock, read_only=True) as store:
            results = list(store.diagnose(consumers))
            yield from results
            yield from _ends("store-certificate", store.certificates(), clock)
            if any(each.what == "store" and each.health == "failed" for each in results):
                return
            for consumer in consumers:
                try:
                    readable.append(consumer_status(consumer, store.summary(consumer), settings, clock))
                except CtisyncError as error:
                    yield failed("content", error.message, error.hint, about=consumer)

    return list(guarded("store", checks)), readable


def _content(one: ConsumerStatus, clock: Clock) -> Iterator[CheckResult]:
    now, state = clock.now(), one.state
    code, why = judge.judge(one, judge.USUAL_THRESHOLDS, now)
    hint = judge.next_command(one, now) or judge.run(state, now)
    if code == judge.OK:
        yield ok("content", why, about=one.consumer)
    elif code == judge.CRITICAL and (state.content or state.phase == "blocked"):
        yield failed("content", why, hint, about=one.consumer)
    else:
        yield warning("content", why, hint, about=one.consumer)
    if (cooldown := state.cooldown_at(now)) is not None:
        text = f"cool-down of the feed until {rfc3339(cooldown.until)}: {cooldown.reason}"
        yield warning(
            "cooldown", text, f"wait until then, or: {hints.command('sync', '--now')}", about=one.consumer
        )


def _command_manager(settings: Settings, clock: Clock) -> Iterator[CheckResult]:
    manager = wiring.command_manager(settings, clock)
    if manager is None:
        yield ok("command-manager", "no Command Manager is configured: ctisync sends no update commands")
    else:
        yield from manager.diagnose()
        yield from _ends("command-manager-certificate", manager.certificates(), clock)


def _ends(what: str, certificates: Iterable[tuple[str, datetime]], clock: Clock) -> Iterator[CheckResult]:
    for name, ends in certificates:
        yield judge_end(what, name, ends, clock.now())
