"""`ctisync help`, the end of each help (examples and exit codes), and completion in the shell.

The texts are in help_texts.toml. `make man` also generates docs/commands.md, docs/exit-codes.md and the
manual page from them. Only a help imports this module, so that other calls start fast.
"""

import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import typer

from ctisync.cli.app import COMPLETION_VARIABLE, app
from ctisync.errors import DONE, UsageError
from ctisync.escaping import quoted
from ctisync.system.process import print_result

_MANUAL: Final = "ctisync.1"
_OF_A_CLONE: Final = Path(__file__).parents[3] / "docs" / "man" / _MANUAL


_EVERY_COMMAND: Final = (0, 1, 2, 130, 143)
"""The exit codes that every command can end with."""


class ExitCode(NamedTuple):
    """Exit codes with one meaning, and what you do about it. Commands and names are in backticks."""

    codes: tuple[int, ...]
    meaning: str
    to_do: str

    @property
    def shown(self) -> str:
        """The codes as text: "130, 143"."""
        return ", ".join(map(str, self.codes))


class Example(NamedTuple):
    """One line of a shell, what it is for, and the exit code with which it ends if it succeeds."""

    typed: str
    why: str
    code: int = 0


class HelpText(NamedTuple):
    """What the help of a command adds to its options. `codes`: the exit codes that it can end with; `own`:
    meanings that differ for this command; `with_option`: options that change the meanings, and these."""

    examples: tuple[Example, ...]
    codes: frozenset[int]
    own: Mapping[int, str]
    with_option: Mapping[str, Mapping[int, str]]

    def endings(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Headings, each with its exit codes and their meanings; a further one for each of `with_option`."""
        codes = [each for each in EXIT_CODES if self.codes.issuperset(each.codes)]
        yield "Exit codes", [(each.shown, self.own.get(each.codes[0], each.meaning)) for each in codes]
        for option, meanings in self.with_option.items():
            yield f"Exit codes with {option}", [(str(code), text) for code, text in meanings.items()]


def _help_text(text: dict[str, Any]) -> HelpText:
    examples = tuple(Example(**each) for each in text["examples"])
    codes = frozenset((*_EVERY_COMMAND, *text["codes"]))
    with_option = {name: _by_code(meanings) for name, meanings in text.get("with_option", {}).items()}
    return HelpText(examples, codes, _by_code(text.get("own", {})), with_option)


def _by_code(meanings: Mapping[str, str]) -> dict[int, str]:
    return {int(code): text for code, text in meanings.items()}


_TEXTS: Final = tomllib.loads(Path(__file__).with_name("help_texts.toml").read_text(encoding="utf-8"))

EXIT_CODES: Final = tuple(
    ExitCode(tuple(each["codes"]), each["meaning"], each["to_do"]) for each in _TEXTS["exit_codes"]
)
HELP_TEXTS: Final = {name: _help_text(text) for name, text in _TEXTS["commands"].items()}
"""By the name of the command, as in "config show"; "" is `ctisync` without a command."""


def plain(text: str) -> str:
    """The text without its backticks."""
    return text.replace("`", "")


def write_help_text(path: str, formatter: Any) -> None:
    """Write examples and exit codes of a command to the formatter of its help. `path`: "ctisync config show",
    the `command_path` of its context. An example is never wrapped, so that it can be copied."""
    text = HELP_TEXTS.get(path.partition(" ")[2])
    if text is None:
        return
    with formatter.section("Examples"):
        for example in text.examples:
            formatter.write(f"{'':>{formatter.current_indent}}{example.typed}\n")
            with formatter.indentation(), formatter.indentation():
                formatter.write_text(example.why)
    for heading, rows in text.endings():
        with formatter.section(heading):
            formatter.write_dl([(codes, plain(meaning)) for codes, meaning in rows])


def _names(context: typer.Context) -> list[str]:
    """For completion: the commands that can follow."""
    try:
        return _inner_names(_context_of(context, context.params.get("command") or ()))
    except UsageError:
        return []


@app.command("help")
def help_(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND", help="The command, for example sync or config show.", autocompletion=_names
        ),
    ] = None,
    man: Annotated[bool, typer.Option("--man", help="Print the path of the manual page, for man.")] = False,
) -> int:
    """Show the help of ctisync or of a command, or the path of the manual page."""
    if man and command:
        raise UsageError("--man takes no command: the manual covers all of them", hint="ctisync help --man")
    print_result(str(_manual()) if man else _context_of(context, command or ()).get_help())
    return DONE


def _context_of(context: typer.Context, words: Any) -> Any:
    """The context of the command with that name, to print its help. Raises UsageError if there is none."""
    of: Any = context.find_root()
    for word in words:
        names = _inner_names(of)
        if word not in names:
            raise _unknown(of.command_path, word, names)
        of = typer.Context(of.command.get_command(of, word), info_name=word, parent=of)
    return of


def _inner_names(context: Any) -> list[str]:
    """The commands of a group; none if it is a command."""
    return list(context.command.list_commands(context)) if hasattr(context.command, "commands") else []


def _unknown(path: str, word: str, names: list[str]) -> UsageError:
    from difflib import get_close_matches

    above = path.partition(" ")[2].split()
    near = get_close_matches(word, names, n=1)
    what = " ".join((*above, word))
    return UsageError(f"unknown command {what}", hint=" ".join(("ctisync help", *above, *map(quoted, near))))


def _manual() -> Path:
    """The manual page: in `docs` of a clone, or where the installer put it."""
    for path in (_OF_A_CLONE, *_installed()):
        if path.is_file():
            return path
    raise UsageError("the manual page is not installed", hint="ctisync help")


def _installed() -> list[Path]:
    try:
        files = metadata.files("ctisync") or ()
    except metadata.PackageNotFoundError:  # it runs from its sources
        return []
    return [Path(str(file.locate())).resolve() for file in files if file.name == _MANUAL]


@app.command()
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")
    ],
) -> int:
    """Print the completion script for a shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print_result(get_completion_script(prog_name="ctisync", complete_var=COMPLETION_VARIABLE, shell=shell))
    return DONE


def complete(command: Any, instruction: str) -> int:
    """Print the completions that the script requests. `instruction`: the value of COMPLETION_VARIABLE.
    Returns the exit code; runs no command, and prints no error."""
    from typer.completion import completion_init, shell_complete  # type: ignore[attr-defined]

    completion_init()
    return shell_complete(command, {}, "ctisync", COMPLETION_VARIABLE, instruction)
