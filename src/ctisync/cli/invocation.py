"""One call of a command: the options that commands share, and the settings and consumers that they select."""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from ctisync.cli.app import command_line
from ctisync.console import Console, Format
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode, Policy
from ctisync.errors import CtisyncError, UsageError
from ctisync.escaping import escape, quoted, to_json
from ctisync.ports import Clock
from ctisync.settings import LoadedSettings, Settings, load_settings
from ctisync.settings.sources import proxy_secrets
from ctisync.system.clock import SystemClock
from ctisync.system.process import print_json, print_result
from ctisync.wiring import policy

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


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """What a command works with.

    `consumers`: those that it is about, in the order in which it takes them; `named`: whether the command
    line names them. For commands with passes: `policy` is what a pass may do, `metrics` the file for metrics,
    and `option` belongs to the name of the command that other passes and `status` show, as in
    "ctisync init-snapshot --from".
    """

    settings: Settings
    consumers: tuple[Consumer, ...]
    clock: Clock
    console: Console
    named: bool = False
    policy: Policy = Policy()
    metrics: Path | None = None
    option: str = ""

    @classmethod
    def of(cls, settings: Settings, mode: Mode, clock: Clock, console: Console) -> "Invocation":
        """A call of the subcommand `mode` without options."""
        call = cls(settings=settings, consumers=settings.followed, clock=clock, console=console)
        return call.for_passes(mode)

    def for_passes(self, mode: Mode, metrics: Path | None = None, **allowed: bool) -> "Invocation":
        """The same for the passes of a subcommand; `allowed`: as `wiring.policy` takes it."""
        return msgspec.structs.replace(self, policy=policy(self.settings, mode, **allowed), metrics=metrics)

    @property
    def command(self) -> str:
        """The name of a command with passes: "ctisync sync"."""
        return " ".join(filter(None, ("ctisync", self.policy.mode, self.option)))

    def only_consumer(self, why: str) -> Consumer:
        """The consumer of a command that takes only one. `why` begins the message of the UsageError for
        several: "export writes"."""
        if len(self.consumers) > 1:
            names = ", ".join(str(each) for each in self.consumers)
            source = "given" if self.named else "configured"
            hint = "pass only one --consumer NAME" if self.named else "add --consumer NAME"
            raise UsageError(f"{why} only one consumer, but several are {source}: {names}", hint=hint)
        return self.consumers[0]

    def warn_of_hidden(self, hidden: str | None, consumer: Consumer) -> None:
        """Warn if a role hides a part of the content from the user of the store. `hidden`: as in
        `Summary.hidden`."""
        if hidden is not None:
            self.console.event(
                "warning",
                "content-hidden",
                consumer=str(consumer),
                why=f"a role hides {hidden} from your user: counts and records cover only the visible part",
                hint="ctisync doctor",
            )


class CommonOptions(msgspec.Struct, frozen=True):
    """The context of a command, and the values of the options that `common` adds to it."""

    context: typer.Context
    verbose: bool
    quiet: bool
    log_format: Format
    config: Path | None = None
    consumer: Sequence[str] | None = None

    def console(self) -> Console:
        """The console, set up as the options say; its hints repeat `--config` and `--consumer`. Raises
        UsageError for -v with -q."""
        console: Console = self.context.obj
        if self.verbose and self.quiet:
            raise UsageError("-v and -q cannot be combined", hint=f"{self.context.command_path} -v")
        source: Any = self.context.get_parameter_source("log_format")
        if carried := self._carried():
            console.hint = lambda hint: with_options(hint, carried, _accepted_options())
        console.configure(
            least="debug" if self.verbose else "warning" if self.quiet else "info",
            log_format=None if source.name == "DEFAULT" else self.log_format,
        )
        return console

    def _carried(self) -> dict[str, str]:
        """The options of this call that commands in hints repeat, by name, as they are typed."""
        carried = {}
        if self.config is not None:
            carried["--config"] = f"--config {quoted(self.config)}"
        if self.consumer:
            carried["--consumer"] = " ".join(f"--consumer {quoted(each)}" for each in self.consumer)
        return carried

    def read_settings(self, console: Console) -> LoadedSettings:
        """The settings and their sources; from here on the console masks their secrets. Raises
        ConfigurationError, as `load_settings` does."""
        loaded = load_settings(self.config)
        console.mask((*loaded.settings.secrets, *proxy_secrets(os.environ)), loaded.settings.public)
        return loaded

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


def with_options(hint: str, carried: Mapping[str, str], accepted: Mapping[str, Collection[str]]) -> str:
    """The hint, in which each command of ctisync repeats the options `carried` behind its name.

    `carried`: options as they are typed, by their names; `accepted`: the names of those that a command
    accepts, by the name of the command ("config show"). One that a hint has there already stays.
    """

    def repeated(match: re.Match[str]) -> str:
        options = [
            option
            for name, option in carried.items()
            if name in accepted[match[1]] and not hint.startswith(f" {name} ", match.end())
        ]
        return " ".join((match[0], *options))

    names = "|".join(sorted(accepted, key=len, reverse=True))
    return re.sub(rf"(?<![\w/.-])ctisync ({names})(?![\w-])", repeated, hint)


@cache
def _accepted_options() -> dict[str, Collection[str]]:
    """Which of `--config` and `--consumer` each command accepts. The `--consumer` of `forget`, which you
    cannot repeat, is another option: it names what is removed."""
    root = command_line().commands
    commands = root | {f"config {name}": command for name, command in root["config"].commands.items()}
    return {
        name: [f"--{each.name}" for each in command.params if each.name == "config" or _repeatable(each)]
        for name, command in commands.items()
    }


def _repeatable(parameter: Any) -> bool:
    return getattr(parameter, "multiple", False)


def _named(followed: Sequence[Consumer], name: str) -> Consumer:
    matches = tuple(each for each in followed if name in (each.name, str(each)))
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(str(each) for each in followed)
    what = f"several consumers match {name}" if matches else f"consumer {name} is not configured"
    raise UsageError(f"{what}; configured: {names}", hint=f"--consumer {quoted(followed[0])}")


def print_document(document: Any) -> None:
    """Print a value as indented JSON, the result of a command."""
    print_json(msgspec.json.format(to_json(document)))


def print_check(context: typer.Context, line: str, code: int) -> int:
    """Print the one line of `status --check`, without secrets and control characters; returns `code`."""
    console: Console = context.obj
    print_result(escape(console.masked(line)))
    return code
