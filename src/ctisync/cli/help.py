"""`ctisync help`, the end of each help (examples and exit codes), completion in the shell, and `ctisync
examples`, which shows the example files that are installed with ctisync.

The texts are in help_texts.toml. `make man` also generates docs/commands.md, docs/exit-codes.md and the
manual page from them. Only a help imports this module, so that other calls start fast.
"""

import os.path
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import typer

from ctisync.cli.app import COMPLETION_VARIABLE, app
from ctisync.cli.invocation import CommonOptions, command
from ctisync.errors import DONE, UsageError
from ctisync.escaping import quoted
from ctisync.system.files import STDOUT, create_file, expand_home
from ctisync.system.process import print_result

_MANUAL: Final = "ctisync.1"
_OF_A_CLONE: Final = Path(__file__).parents[3] / "docs" / "man" / _MANUAL


_EVERY_COMMAND: Final = frozenset((0, 1, 2, 130, 143))
"""The exit codes that every command can end with."""


class ExitCode(msgspec.Struct, frozen=True):
    """Exit codes with one meaning, and what you do about it. Commands and names are in backticks."""

    codes: tuple[int, ...]
    meaning: str
    to_do: str

    @property
    def shown(self) -> str:
        """The codes as text: "130, 143"."""
        return ", ".join(map(str, self.codes))


class Example(msgspec.Struct, frozen=True):
    """One line of a shell, what it is for, and the exit code with which it ends if it succeeds."""

    typed: str
    why: str
    code: int = 0


class HelpText(msgspec.Struct):
    """What the help of a command adds to its options. `codes`: the exit codes that it can end with; `own`:
    meanings that differ for this command; `with_option`: options that change the meanings, and these."""

    examples: tuple[Example, ...]
    codes: frozenset[int]
    own: dict[int, str] = {}
    with_option: dict[str, dict[int, str]] = {}

    def __post_init__(self) -> None:
        self.codes |= _EVERY_COMMAND

    def endings(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Headings, each with its exit codes and their meanings; a further one for each of `with_option`."""
        codes = [each for each in EXIT_CODES if self.codes.issuperset(each.codes)]
        yield "Exit codes", [(each.shown, self.own.get(each.codes[0], each.meaning)) for each in codes]
        for option, meanings in self.with_option.items():
            yield f"Exit codes with {option}", [(str(code), text) for code, text in meanings.items()]


class _Texts(msgspec.Struct, frozen=True):
    """`commands`: by name, as in "config show"; "" is `ctisync` without a command."""

    exit_codes: tuple[ExitCode, ...]
    commands: dict[str, HelpText]


_TEXTS: Final = msgspec.toml.decode(Path(__file__).with_name("help_texts.toml").read_bytes(), type=_Texts)
EXIT_CODES: Final = _TEXTS.exit_codes
HELP_TEXTS: Final = _TEXTS.commands


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
            above = of.command_path.split()[1:]
            near = map(quoted, get_close_matches(word, names, n=1))
            hint = " ".join(("ctisync help", *above, *near))
            raise UsageError(f"unknown command {' '.join((*above, word))}", hint=hint)
        of = typer.Context(of.command.get_command(of, word), info_name=word, parent=of)
    return of


def _inner_names(context: Any) -> list[str]:
    """The commands of a group; none if it is a command."""
    return list(context.command.list_commands(context)) if hasattr(context.command, "commands") else []


def _manual() -> Path:
    """The manual page: in `docs` of a clone, or where the installer put it."""
    from importlib import metadata

    paths = [_OF_A_CLONE]
    with suppress(metadata.PackageNotFoundError):  # it runs from its sources
        paths += [
            Path(str(file.locate())) for file in metadata.files("ctisync") or () if file.name == _MANUAL
        ]
    for path in paths:
        if path.is_file():
            return path.resolve()
    raise UsageError("the manual page is not installed", hint="ctisync help")


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


_decoder: Final = msgspec.json.Decoder()

_PACKAGE: Final = Path(__file__).parents[1]

_FOLDERS: Final = (_PACKAGE / "examples", _PACKAGE.parents[1] / "examples")
"""A wheel has the examples in the package; a clone has them beside `src`."""


@command(config=False, consumer=False)
def examples(
    _options: CommonOptions,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Example to print; without it, ctisync lists all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to copy to; ctisync overwrites no file.")
    ] = None,
) -> int:
    """List, print or copy the examples: schedules, alert rules, roles, settings for Wazuh 5."""
    if output == STDOUT:
        raise UsageError("--output needs a folder for examples", hint="ctisync examples NAME (prints one)")
    texts = _examples(name)
    if output is not None:
        _copy(texts, name, output)
    elif name is None:
        width = max(map(len, texts))
        print_result("\n".join(f"{each:<{width}}  {_about(each, text)}" for each, text in texts.items()))
    elif (alone := texts.get(name.rstrip("/"))) is not None:
        print_result(alone.rstrip("\n"))
    else:
        print_result("\n".join(f"# {each}\n{text}" for each, text in texts.items()).rstrip("\n"))
    return DONE


def _examples(name: str | None) -> dict[str, str]:
    """The texts of all examples, or of the file or folder of that name, by the names of the files."""
    folder = next(each for each in _FOLDERS if each.is_dir())
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}
    if name is not None:
        texts = {each: text for each, text in texts.items() if f"{each}/".startswith(f"{name.rstrip('/')}/")}
    if not texts:
        raise UsageError(f"unknown example {name}", hint="ctisync examples")
    return texts


def _copy(texts: Mapping[str, str], name: str | None, output: Path) -> None:
    """Copy the examples into the folder, and create it if it is missing. Raises UsageError, and writes
    nothing, if one of the files exists."""
    chosen = Path(name or "")
    base = chosen.parent if chosen.as_posix() in texts else chosen
    folder = expand_home(output, "--output")
    targets = {folder / Path(each).relative_to(base): text for each, text in texts.items()}
    there = [target for target in targets if os.path.lexists(target)]
    if there:
        raise UsageError(
            f"{there[0]} already exists; ctisync does not overwrite it", hint="--output ANOTHER_FOLDER"
        )
    for target, text in targets.items():
        create_file(target, text, hint="--output ANOTHER_FOLDER")


def _about(name: str, text: str) -> str:
    """The first line, a comment; JSON has no comments: its `description`."""
    if name.endswith(".json"):
        return str(_decoder.decode(text)["description"])
    return text.partition("\n")[0].removeprefix("# ")
