"""One call of a command: the options that commands share, and the settings and consumers that they select."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from ctisync import hints
from ctisync.cli.app import HelpGroup, app
from ctisync.console import Console, Format, rfc3339
from ctisync.core.model import Consumer
from ctisync.core.steps import Mode, Policy
from ctisync.errors import CtisyncError, UsageError
from ctisync.escaping import quoted, to_json
from ctisync.host_files import index_path
from ctisync.ports import Clock, Inspection
from ctisync.settings import LoadedSettings, Settings, load_settings
from ctisync.settings.sources import proxy_secrets
from ctisync.system.clock import SystemClock
from ctisync.system.process import print_json
from ctisync.wiring import policy, search_index

if TYPE_CHECKING:  # only a search needs it
    from ctisync.search.file import IndexFile


CLOCK: Final = SystemClock()

Command = Callable[..., int]
"""A subcommand: gets its `CommonOptions` and its own options, and returns the exit code."""


def _completing_settings(context: typer.Context) -> Settings:
    """For completion. Raises ConfigurationError."""
    config = context.params.get("config")
    return load_settings(None if config is None else Path(config)).settings


def _names_of_consumers(context: typer.Context) -> list[str]:
    """For completion; empty if the settings cannot be read."""
    try:
        return [each.name for each in _completing_settings(context).followed]
    except CtisyncError:
        return []


def names_in_index(kind: str) -> Callable[[typer.Context, str], list[str]]:
    """For completion: names of records, products or vendors that begin as typed, from the search indices as
    they are; empty without one, and on any error. Only names that mean themselves in a shell. `kind`: as for
    `completions`."""

    def names(context: typer.Context, incomplete: str) -> list[str]:
        from ctisync.search.file import read_stored
        from ctisync.search.query import completions

        offered: list[str] = []
        with suppress(CtisyncError, ValueError):
            settings = _completing_settings(context)
            for path in (index_path(settings, each) for each in settings.followed):
                offered += read_stored(path, lambda index: completions(index, kind, incomplete)) or ()
        return [name for name in dict.fromkeys(offered) if name == quoted(name)]

    return names


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, one object per line, for programs.")
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
    Path | None, typer.Option(metavar="FILE", help="Write metrics of the pass as a Prometheus textfile.")
]


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """What a command works with.

    `consumers`: those that it is about, in the order in which it takes them; `named`: whether the command
    line names them. For commands with passes: `policy` is what a pass may do, `metrics` the file for metrics,
    and `option` belongs to the name of the command that other passes and `status` show, as in
    "ctisync init-snapshot --from". `subcommand`: its name, if that is not the mode of its passes.
    """

    settings: Settings
    consumers: tuple[Consumer, ...]
    clock: Clock
    console: Console
    named: bool = False
    policy: Policy = Policy()
    metrics: Path | None = None
    option: str = ""
    subcommand: str = ""

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
        return " ".join(filter(None, ("ctisync", self.subcommand or self.policy.mode, self.option)))

    def only_consumer(self, why: str) -> Consumer:
        """The consumer of a command that takes only one. `why` begins the message of the UsageError for
        several: "export writes"."""
        if len(self.consumers) > 1:
            names = ", ".join(str(each) for each in self.consumers)
            source = "given" if self.named else "configured"
            hint = "pass only one --consumer NAME" if self.named else "add --consumer NAME"
            raise UsageError(f"{why} only one consumer, but several are {source}: {names}", hint=hint)
        return self.consumers[0]

    def index_of(self, consumer: Consumer, content: Inspection) -> "IndexFile":
        """The search index of the consumer's content."""
        return search_index(self.settings, consumer, content, self.clock, self.console)

    def warn_of_hidden(self, hidden: str | None, consumer: Consumer) -> None:
        """Warn if a role hides a part of the content from the user of the store. `hidden`: as in
        `Summary.hidden`."""
        if hidden is not None:
            self.console.event(
                "warning",
                "content-hidden",
                consumer=str(consumer),
                why=f"a role hides {hidden} from your user: counts and records cover only the visible part",
                hint=hints.command("doctor"),
            )


class CommonOptions(msgspec.Struct, frozen=True):
    """The context of a command, and the options that commands share: `command` adds them to the command line,
    in this order."""

    context: typer.Context
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings file to read instead of your own one.")
    ] = None
    consumer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this configured consumer; repeat the option for more.",
            autocompletion=_names_of_consumers,
        ),
    ] = None
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show details, and tracebacks of errors.")
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show warnings and errors only, no progress.")
    ] = False
    log_format: Annotated[
        Format,
        typer.Option(help="Format of log lines.", show_default="sentences at a terminal, text elsewhere"),
    ] = "text"

    @property
    def console(self) -> Console:
        console: Console = self.context.obj
        return console

    def set_up_console(self) -> None:
        """Set up the console as the options say; its hints repeat `--config` and `--consumer`. Raises
        UsageError for -v with -q."""
        if self.verbose and self.quiet:
            raise UsageError("-v and -q cannot be combined", hint=f"{self.context.command_path} -v")
        hints.repeat("--config", () if self.config is None else (self.config,))
        hints.repeat("--consumer", self.consumer or ())
        source: Any = self.context.get_parameter_source("log_format")
        self.console.configure(
            least="debug" if self.verbose else "warning" if self.quiet else "info",
            log_format=None if source.name == "DEFAULT" else self.log_format,
        )

    def read_settings(self) -> LoadedSettings:
        """The settings and their sources; from here on the console masks their secrets. Raises
        ConfigurationError, as `load_settings` does."""
        loaded = load_settings(self.config)
        self.console.mask((*loaded.settings.secrets, *proxy_secrets(os.environ)), loaded.settings.public)
        return loaded

    def consumers(self, settings: Settings) -> tuple[Consumer, ...]:
        """All configured consumers, or those that `--consumer` names, in that order, without repetition.
        Raises UsageError for a name that no configured consumer has, or more than one."""
        followed, chosen = settings.followed, []
        for name in self.consumer or ():
            if (consumer := consumer_named(name, followed)) is None:
                raise UsageError(
                    f"consumer {name} is not configured; configured: {', '.join(map(str, followed))}",
                    hint=f"--consumer {quoted(followed[0])}",
                )
            chosen.append(consumer)
        return tuple(dict.fromkeys(chosen)) or followed

    def invocation(self) -> Invocation:
        """All of this together. Raises what `read_settings` and `consumers` raise."""
        settings = self.read_settings().settings
        return Invocation(
            settings=settings,
            consumers=self.consumers(settings),
            clock=CLOCK,
            console=self.console,
            named=bool(self.consumer),
        )


def command(
    name: str | None = None, *, group: HelpGroup = app, config: bool = True, consumer: bool = True
) -> Callable[[Command], Command]:
    """A decorator that makes a function a subcommand of `group`, with the shared options after its own ones.
    The function gets the shared ones as a `CommonOptions`, its first argument, once the console is set up.

    `config`, `consumer`: whether the command has these options.
    """
    has = {"config": config, "consumer": consumer}
    context, *options = signature(CommonOptions).parameters.values()
    shared = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in options if has.get(each.name, True)]

    def registered(function: Command) -> Command:
        _, *own = signature(function, eval_str=True).parameters.values()

        def called(context: typer.Context, **values: Any) -> int:
            options = CommonOptions(context, **{each.name: values.pop(each.name) for each in shared})
            options.set_up_console()
            return function(options, **values)

        # Typer reads the options of a command from its signature.
        parameters = [context, *(each.replace(kind=Parameter.KEYWORD_ONLY) for each in own), *shared]
        called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        called.__name__, called.__doc__ = function.__name__, function.__doc__
        group.command(name)(called)
        return function

    return registered


def consumer_named(name: str, consumers: Iterable[Consumer]) -> Consumer | None:
    """The consumer of that name, which may be context/name; None if there is none. Raises UsageError for
    several."""
    matches = {str(each): each for each in consumers if name in (each.name, str(each))}
    if len(matches) > 1:
        hint = f"--consumer {quoted(next(iter(matches)))}"
        raise UsageError(f"several consumers match {name}: {', '.join(matches)}", hint=hint)
    return next(iter(matches.values()), None)


def print_document(document: Any) -> None:
    """Print a value as indented JSON, the result of a command."""
    print_json(msgspec.json.format(to_json(document)))


def json_fields(source: object, *names: str, **renamed: str) -> dict[str, Any]:
    """The attributes of these names, as fields of a JSON document; `renamed`: those under another name, as
    name=attribute."""
    attributes = {name: name for name in names} | renamed
    values = {name: getattr(source, attribute) for name, attribute in attributes.items()}
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in values.items()}
