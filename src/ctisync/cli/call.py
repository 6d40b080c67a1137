"""The options that all commands have in common, and what they come to."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ctisync.clock import SystemClock
from ctisync.console import Console, Format
from ctisync.core.model import Consumer
from ctisync.errors import CtisyncError, UsageError
from ctisync.harmless import harmless, json_of, quoted
from ctisync.process import print_json, print_result
from ctisync.settings import Found, Settings, find
from ctisync.settings.proxies import proxy_secrets

CLOCK: Final = SystemClock()


def _names_of_consumers(context: typer.Context) -> list[str]:
    """For the shell; nothing where the settings cannot be read."""
    config = context.params.get("config")
    try:
        return [each.name for each in find(None if config is None else Path(config)).settings.followed]
    except CtisyncError:
        return []


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file to read instead of your own one."),
]
ConsumerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--consumer",
        metavar="NAME",
        help="Only this configured consumer; repeat the option for more.",
        autocompletion=_names_of_consumers,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, one object per line, for programs.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show details, and tracebacks of errors.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show warnings and errors only, no progress.")
]
TolerateCooldownOption = Annotated[
    bool, typer.Option("--tolerate-cooldown", help="Exit with 0 during a cool-down of the feed; for cron.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what ctisync would do, and change nothing.")
]
NowOption = Annotated[
    bool, typer.Option("--now", help="Send requests to the feed even during its cool-down.")
]
MetricsOption = Annotated[
    Path | None,
    typer.Option("--metrics", metavar="FILE", help="Write metrics of the pass as a Prometheus textfile."),
]
LogFormatOption = Annotated[
    Format,
    typer.Option(
        "--log-format",
        help="Format of log lines.",
        show_default="sentences at a terminal, text elsewhere",
    ),
]


class Call(msgspec.Struct, frozen=True):
    """What the options common to all commands come to."""

    settings: Settings
    consumers: tuple[Consumer, ...]
    console: Console
    named: bool
    """Whether the consumers were named on the command line."""

    def only_consumer(self, why: str) -> Consumer:
        if len(self.consumers) > 1:
            names = ", ".join(str(each) for each in self.consumers)
            told = "given" if self.named else "configured"
            hint = "give one --consumer NAME alone" if self.named else "add --consumer NAME"
            raise UsageError(f"{why} one consumer, and several are {told}: {names}", hint=hint)
        return self.consumers[0]


def call_of(
    context: typer.Context,
    config: Path | None,
    consumers: Sequence[str] | None,
    verbose: bool,
    quiet: bool,
    log_format: Format,
) -> Call:
    console = console_of(context, verbose, quiet, log_format)
    settings = found_settings(config, console).settings
    return Call(settings, chosen(settings, consumers), console, named=bool(consumers))


def found_settings(config: Path | None, console: Console) -> Found:
    """The settings and where they come from; from here on `console` shows none of their secrets."""
    found = find(config)
    console.mask((*found.settings.secrets, *proxy_secrets(os.environ)))
    return found


def console_of(context: typer.Context, verbose: bool, quiet: bool, log_format: Format) -> Console:
    console: Console = context.obj
    if verbose and quiet:
        raise UsageError("-v and -q contradict each other", hint=f"{context.command_path} -v")
    given: Any = context.get_parameter_source("log_format")
    console.configure(
        least="debug" if verbose else "warning" if quiet else "info",
        log_format=None if given.name == "DEFAULT" else log_format,
    )
    return console


def chosen(settings: Settings, wanted: Sequence[str] | None) -> tuple[Consumer, ...]:
    """All consumers, or those of these names (or `context/name`), in this order, each once."""
    if not wanted:
        return settings.followed
    return tuple(dict.fromkeys(_named(settings.followed, each) for each in wanted))


def _named(followed: Sequence[Consumer], wanted: str) -> Consumer:
    found = tuple(each for each in followed if wanted in (each.name, str(each)))
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(each) for each in followed)
    what = f"no consumer {wanted} is configured" if not found else f"several consumers are named {wanted}"
    raise UsageError(f"{what}; configured: {names}", hint=f"--consumer {quoted(followed[0])}")


def print_document(document: Any) -> None:
    print_json(msgspec.json.format(json_of(document)))


def print_check(context: typer.Context, line: str, code: int) -> int:
    """What a server says may be in the line."""
    console: Console = context.obj
    print_result(harmless(console.masked(line)))
    return code
