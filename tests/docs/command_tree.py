"""The commands as the program itself knows them: of this the generated pages are made."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any, Final, NamedTuple

import typer

from ctisync.cli.app import _CommandLineError, command_line
from ctisync.cli.help import HELP_TEXTS, HelpText

Row = tuple[str, str]
"""How an argument or option is written, and what it is for."""

_SHELL: Final = frozenset((">", ">>", "<", "|", "&&", ";", "&"))

_SHARED: Final = 4
"""An option that so many commands take alike is explained once for all of them."""


class Command(NamedTuple):
    """`path` is what is typed after `ctisync`; `usage` is its line as manuals have it, without Typer's
    braces; `names` are those of all its options."""

    path: str
    usage: str
    about: str
    arguments: list[Row]
    options: list[Row]
    names: set[str]
    is_group: bool

    @property
    def call(self) -> str:
        return f"ctisync {self.path}".rstrip()

    @property
    def help_text(self) -> HelpText:
        return HELP_TEXTS[self.path]

    def apart(self, common: Sequence[Row]) -> tuple[list[Row], list[str]]:
        """Arguments and options of its own, and the names of those that are explained once for several."""
        own = [*self.arguments, *(row for row in self.options if row not in common)]
        return own, [_long_name(written) for written, about in self.options if (written, about) in common]


def root() -> Any:
    """Typer's own, whose types are not the same from version to version."""
    return command_line()


def commands() -> list[Command]:
    """In the order of `ctisync --help`; a group stands before what is in it, `ctisync` alone before all."""
    return list(_walked(root(), "", None))


def shared(several: Sequence[Command]) -> list[Row]:
    """The options that are explained once, in the order in which commands take them."""
    counted = Counter(row for each in several if not each.is_group for row in each.options)
    return [row for row, count in counted.items() if count >= _SHARED]


def parse(words: Sequence[str]) -> None:
    """Let `ctisync` read these arguments, and do nothing. Raises AssertionError for those that it does not
    understand. What follows a sign of the shell's is not its own."""
    command, name = root(), "ctisync"
    rest = list(takewhile(lambda word: word not in _SHELL, words))
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        name, *rest = rest
        assert name in command.commands, f"there is no command {name}"
        command = command.commands[name]
    try:
        command.make_context(name, list(rest))  # it takes away what it has understood
    except typer.Exit:  # it shows a help, or its version
        assert {"-h", "--help", "-V", "--version"} & set(rest)
    except _CommandLineError as error:
        raise AssertionError(str(error)) from error


def _long_name(written: str) -> str:
    """`-v, --verbose` and `--config FILE` are known as --verbose and --config."""
    return next(word for word in written.replace(",", " ").split() if word.startswith("--"))


def _walked(command: Any, path: str, parent: Any) -> Iterator[Command]:
    name = path.rpartition(" ")[2] or "ctisync"
    context = typer.Context(command, info_name=name, parent=parent, **command.context_settings)
    kinds: dict[str, list[Row]] = {"argument": [], "option": []}
    names: set[str] = set()
    usage = [context.command_path, "[OPTIONS]"]
    for param in command.get_params(context):
        written, about = param.get_help_record(context)
        if param.param_type_name == "option":
            names.update(param.opts)
        else:
            written = param.metavar or param.name.upper()
            several = "..." if param.nargs == -1 else ""
            usage.append((written if param.required else f"[{written}]") + several)
        kinds[param.param_type_name].append((written, " ".join(about.split())))
    inner = getattr(command, "commands", None)
    if inner is not None:
        usage.append("COMMAND [ARGS]...")
    yield Command(
        path,
        " ".join(usage),
        " ".join(command.help.split()),
        kinds["argument"],
        kinds["option"],
        names,
        inner is not None,
    )
    for name, each in (inner or {}).items():
        yield from _walked(each, f"{path} {name}".strip(), context)
