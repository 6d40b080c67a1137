"""The command line: options → settings → one call → exit code, and how everything that fails is told.

Results go to standard output, events, errors and progress to standard error. The pass itself begins
in `sync.run_pass`.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ctisync import __version__, process
from ctisync.clock import SystemClock
from ctisync.console import Console, Format, silence_libraries
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode
from ctisync.errors import BUG, DONE, CtisyncError, Stopped, UsageError
from ctisync.settings import Settings, load
from ctisync.settings.proxies import proxy_secrets

app = typer.Typer(
    name="ctisync",
    help="Keeps a local copy of Wazuh's CTI vulnerability feed in step, on SQLite or OpenSearch.",
    epilog="Exit codes: 0 done, 1 a bug, 2 usage, 3 settings or access, 4 another pass is running, "
    "5 feed not reachable, 6 feed refused or blocked, 7 store not reachable or full, "
    "8 command not accepted, 9 audit, 10 no content, 130/143 stopped.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_CLOCK: Final = SystemClock()

# typer's own click, or the one beside it: the class from which all errors of a command line come.
_CommandLineError: Final[type[Exception]] = typer.BadParameter.__mro__[1]

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings, instead of the user's own file.")
]
ConsumerOption = Annotated[
    str | None, typer.Option("--consumer", metavar="NAME", help="Only this one of the configured consumers.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show details, and tracebacks of errors.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show warnings and errors only, no progress.")
]
TolerateCooldownOption = Annotated[
    bool, typer.Option("--tolerate-cooldown", help="Exit 0 while the feed is left alone; for cron.")
]
LogFormatOption = Annotated[Format, typer.Option("--log-format", help="How events are written.")]


class _Call(msgspec.Struct, frozen=True):
    """What the options common to all commands come to."""

    settings: Settings
    consumers: tuple[Consumer, ...]
    console: Console

    def only_consumer(self, why: str) -> Consumer:
        if len(self.consumers) > 1:
            names = ", ".join(str(each) for each in self.consumers)
            raise UsageError(
                f"{why} one consumer, and several are configured: {names}", hint="add --consumer NAME"
            )
        return self.consumers[0]


def _call(
    context: typer.Context,
    config: Path | None,
    consumer: str | None,
    verbose: bool,
    quiet: bool,
    log_format: Format,
) -> _Call:
    console = _console(context, verbose, quiet, log_format)
    settings = load(config)
    console.mask((*settings.secrets, *proxy_secrets(os.environ)))
    return _Call(settings, _chosen(settings, consumer), console)


def _console(context: typer.Context, verbose: bool, quiet: bool, log_format: Format) -> Console:
    console: Console = context.obj
    if verbose and quiet:
        raise UsageError("-v and -q contradict each other", hint=f"{context.command_path} -v")
    console.configure(least="debug" if verbose else "warning" if quiet else "info", log_format=log_format)
    return console


def _chosen(settings: Settings, wanted: str | None) -> tuple[Consumer, ...]:
    """All consumers, or the one of that name (or `context/name`)."""
    followed = settings.followed
    if wanted is None:
        return followed
    found = tuple(each for each in followed if wanted in (each.name, str(each)))
    if len(found) == 1:
        return found
    names = ", ".join(str(each) for each in followed)
    what = f"no consumer {wanted} is configured" if not found else f"several consumers are named {wanted}"
    raise UsageError(f"{what}; configured: {names}", hint=f"--consumer {followed[0]}")


@app.callback(invoke_without_command=True)
def _no_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> int:
    if version:
        _print(f"ctisync {__version__}")
        raise typer.Exit(DONE)
    if context.invoked_subcommand is None:
        raise UsageError("a command is missing", hint="ctisync --help")
    return DONE


@app.command()
def sync(
    context: typer.Context,
    tolerate_cooldown: TolerateCooldownOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Bring the content in step with the feed: initialise, update, or nothing to do."""
    call = _call(context, config, consumer, verbose, quiet, log_format)
    return _passes(call, "sync", tolerate_cooldown)


@app.command()
def update(
    context: typer.Context,
    tolerate_cooldown: TolerateCooldownOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Apply the feed's changes; never initialises."""
    call = _call(context, config, consumer, verbose, quiet, log_format)
    return _passes(call, "update", tolerate_cooldown)


@app.command("init-snapshot")
def init_snapshot(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE_OR_URL", help="A snapshot that is here; the feed is not asked."),
    ] = None,
    offset: Annotated[
        int | None,
        typer.Option(
            "--offset", metavar="N", min=1, help="With --from: the offset that the snapshot stands for."
        ),
    ] = None,
    tolerate_cooldown: TolerateCooldownOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Load a snapshot, whatever is stored, and stop there."""
    call = _call(context, config, consumer, verbose, quiet, log_format)
    if source is None:
        if offset is not None:
            raise UsageError("--offset goes with --from", hint="ctisync init-snapshot --from FILE --offset N")
        return _passes(call, "init-snapshot", tolerate_cooldown)
    from ctisync.commands.given import load_from

    load_from(call.settings, call.only_consumer("--from loads"), source, offset, _CLOCK, call.console)
    return DONE


@app.command()
def status(
    context: typer.Context,
    remote: Annotated[bool, typer.Option("--remote", help="Ask the feed too.")] = False,
    check: Annotated[bool, typer.Option("--check", help="One line and exit code for monitoring.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Show what is stored, how old it is and what is wrong. Changes nothing."""
    from ctisync.commands import status as command

    if check and as_json:
        raise UsageError("--check and --json contradict each other", hint="ctisync status --json")
    try:
        call = _call(context, config, consumer, verbose, quiet, log_format)
        found = command.look(call.settings, call.consumers, _CLOCK, call.console, remote=remote)
    except CtisyncError as error:
        if not check:
            raise
        return _print_check(context, *command.check_failed(error))
    if check:
        return _print_check(context, *command.check(found, _CLOCK.now()))
    if as_json:
        _print(msgspec.json.format(msgspec.json.encode(command.as_document(found))).decode())
        return DONE
    from ctisync.commands.status_table import as_table

    _print(as_table(found, sys.stdout, _CLOCK.now()))
    return DONE


@app.command()
def export(
    context: typer.Context,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Written whole or not at all.")
    ] = None,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Write the content as NDJSON, sorted by name."""
    from ctisync.commands.export import export as command

    call = _call(context, config, consumer, verbose, quiet, log_format)
    command(call.settings, call.only_consumer("export writes"), output, _CLOCK, call.console)
    return DONE


@app.command()
def verify(
    context: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every record.")] = False,
    against: Annotated[
        str | None, typer.Option("--against", metavar="FILE_OR_URL", help="Compare with this snapshot.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Check that what is stored is what it says. Changes nothing."""
    from ctisync.commands import verify as command

    call = _call(context, config, consumer, verbose, quiet, log_format)
    if against is None:
        found = command.verify(call.settings, call.consumers, _CLOCK, call.console, deep=deep)
    else:
        one = call.only_consumer("--against compares")
        found = command.verify_against(call.settings, one, against, _CLOCK, call.console, deep=deep)
    if as_json:
        _print(msgspec.json.format(msgspec.json.encode(command.as_document(found))).decode())
    else:
        _print(command.as_text(found))
    command.raise_bad_end(found)
    return DONE


@app.command()
def demo(
    context: typer.Context,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the database there, to look into.")
    ] = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Watch two whole passes against a built-in feed: no network, no services, in seconds."""
    from ctisync.demo.run import play

    return play(keep, _CLOCK, _console(context, verbose, quiet, log_format), sys.stdout)


def _passes(call: _Call, mode: Mode, tolerate_cooldown: bool) -> int:
    from ctisync.commands.passes import run_passes

    return run_passes(
        call.settings, call.consumers, mode, _CLOCK, call.console, tolerate_cooldown=tolerate_cooldown
    )


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _print_check(context: typer.Context, line: str, code: int) -> int:
    """What a server says may be in the line."""
    console: Console = context.obj
    _print(console.masked(line))
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Whatever goes wrong is told here, in two lines."""
    process.open_missing_streams()
    console = Console(sys.stderr, _CLOCK)
    silence_libraries()

    def tell_ended(number: int) -> None:
        stop = Stopped(number)
        console.failure(f"{stop.message}; it was ended at once", None, stop)

    try:
        with process.stopping_on_signals(tell_ended):
            code = _told(sys.argv[1:] if arguments is None else arguments, console)
    except process.StopAsked as error:
        stop = Stopped(error.signal_number)
        console.failure(stop.message, None, error)
        process.drop_results()
        return stop.exit_code
    process.forget_unwritten_results()
    return code


def _told(arguments: Sequence[str], console: Console) -> int:
    """The exit code of one command; what it failed at is told."""
    try:
        code = _run(arguments, console)
        process.flush_results()
    except CtisyncError as error:
        console.error(error)
        code = error.exit_code
    except _CommandLineError as error:
        code = _told_usage(error, console)
    except BrokenPipeError:  # our reader has seen enough
        code = DONE
    except Exception as error:  # noqa: BLE001  # the last place to tell it
        if stop := process.stop_behind(error):
            raise stop from None
        console.failure(
            f"a bug in ctisync {__version__}: {type(error).__name__}: {error}",
            "the same command with -v, and report what it shows",
            error,
        )
        code = BUG
    return code


def _run(arguments: Sequence[str], console: Console) -> int:
    """Parse and run. Not by click's own `main`, which has its own mind about signals and broken pipes."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("ctisync", list(arguments), obj=console) as context:
            return int(command.invoke(context) or DONE)
    except typer.Exit as asked:  # --help, --version
        return asked.exit_code


def _told_usage(error: Exception, console: Console) -> int:
    told: Any = error
    path = told.ctx.command_path if getattr(told, "ctx", None) else "ctisync"
    usage = UsageError(told.format_message(), hint=f"{path} --help")
    console.failure(usage.message, usage.hint, error)
    return usage.exit_code
