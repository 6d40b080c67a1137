"""The options that commands share, and the settings and consumers that they select."""

import os
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ctisync.cli.carried import carry
from ctisync.commands.invocation import Invocation
from ctisync.console import Console, Format
from ctisync.core.model import Consumer
from ctisync.errors import CtisyncError, UsageError
from ctisync.escaping import escape, quoted, to_json
from ctisync.settings import LoadedSettings, Settings, load_settings
from ctisync.settings.sources import proxy_secrets
from ctisync.system.clock import SystemClock
from ctisync.system.process import print_json, print_result

CLOCK: Final = SystemClock()

Command = Callable[..., int]
"""A subcommand: gets its `CommonOptions` and its own options, and returns the exit code."""


def _names_of_consumers(context: typer.Context) -> list[str]:
    """For completion; empty if the settings cannot be read."""
    config = context.params.get("config")
    try:
        return [
            each.name for each in load_settings(None if config is None else Path(config)).settings.followed
        ]
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
    bool,
    typer.Option(
        "--tolerate-cooldown", help="Exit with 0 during a cool-down, unless the content is stale; for cron."
    ),
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


class CommonOptions(msgspec.Struct, frozen=True):
    """The context of a command, and the values of the options that `common` adds to it."""

    context: typer.Context
    verbose: bool
    quiet: bool
    log_format: Format
    config: Path | None = None
    consumer: Sequence[str] | None = None

    def console(self) -> Console:
        """The console, set up as the options say; its hints repeat those of them that choose settings and
        consumers. Raises UsageError for -v with -q."""
        console: Console = self.context.obj
        if self.verbose and self.quiet:
            raise UsageError("-v and -q cannot be combined", hint=f"{self.context.command_path} -v")
        source: Any = self.context.get_parameter_source("log_format")
        carry(self.context, console)
        console.configure(
            least="debug" if self.verbose else "warning" if self.quiet else "info",
            log_format=None if source.name == "DEFAULT" else self.log_format,
        )
        return console

    def read_settings(self, console: Console) -> LoadedSettings:
        """The settings and their sources; from here on the console masks their secrets. Raises
        ConfigurationError, as `settings.find` does."""
        found = load_settings(self.config)
        console.mask((*found.settings.secrets, *proxy_secrets(os.environ)), found.settings.public)
        return found

    def consumers(self, settings: Settings) -> tuple[Consumer, ...]:
        """All configured consumers, or those that `--consumer` names, in that order, without repetition.
        Raises UsageError for a name that no configured consumer has, or more than one."""
        if not self.consumer:
            return settings.followed
        return tuple(dict.fromkeys(_named(settings.followed, each) for each in self.consumer))

    def invocation(self) -> Invocation:
        """All of this together. Raises what `console`, `read_settings` and `consumers` raise."""
        console = self.console()
        settings = self.read_settings(console).settings
        return Invocation(
            settings=settings,
            consumers=self.consumers(settings),
            clock=CLOCK,
            console=console,
            named=bool(self.consumer),
        )


def _parameter(name: str, annotation: Any, default: Any = None) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_CONFIG: Final = _parameter("config", ConfigOption)
_CONSUMER: Final = _parameter("consumer", ConsumerOption)
_ALWAYS: Final = (
    _parameter("verbose", VerboseOption, default=False),
    _parameter("quiet", QuietOption, default=False),
    _parameter("log_format", LogFormatOption, default="text"),
)


def common(*, config: bool = True, consumer: bool = True) -> Callable[[Command], Command]:
    """A decorator that adds the shared options to the command line, after the command's own ones. The command
    gets their values as a `CommonOptions`, its first argument.

    `config`, `consumer`: whether the command has these options.
    """
    shared = [*[_CONFIG] * config, *[_CONSUMER] * consumer, *_ALWAYS]

    def with_common(command: Command) -> Command:
        own = list(signature(command, eval_str=True).parameters.values())[1:]

        def called(context: typer.Context, **options: Any) -> int:
            values = {each.name: options.pop(each.name) for each in shared}
            return command(CommonOptions(context, **values), **options)

        # Typer reads the options of a command from its signature.
        context = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        takes = [context, *(each.replace(kind=Parameter.KEYWORD_ONLY) for each in own), *shared]
        called.__signature__ = Signature(takes)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in takes}
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        return called

    return with_common


def _named(followed: Sequence[Consumer], wanted: str) -> Consumer:
    found = tuple(each for each in followed if wanted in (each.name, str(each)))
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(each) for each in followed)
    what = f"consumer {wanted} is not configured" if not found else f"several consumers match {wanted}"
    raise UsageError(f"{what}; configured: {names}", hint=f"--consumer {quoted(followed[0])}")


def print_document(document: Any) -> None:
    """Print a value as indented JSON, the result of a command."""
    print_json(msgspec.json.format(to_json(document)))


def print_check(context: typer.Context, line: str, code: int) -> int:
    """Print the one line of `status --check`, without secrets and control characters; returns `code`."""
    console: Console = context.obj
    print_result(escape(console.masked(line)))
    return code
