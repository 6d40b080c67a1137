"""`ctisync help`: the help of a command, as `--help` shows it, and the path of the manual page."""

from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ctisync.cli.app import app
from ctisync.errors import DONE, UsageError
from ctisync.escaping import quoted
from ctisync.system.process import print_result

_MANUAL: Final = "ctisync.1"
_OF_A_CLONE: Final = Path(__file__).parents[3] / "docs" / "man" / _MANUAL


def _names(context: typer.Context) -> list[str]:
    """For completion: the commands that can follow."""
    words = context.params.get("command") or ()
    try:
        return list(getattr(_asked_for(context, words).command, "commands", ()))
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
    print_result(str(_manual()) if man else _asked_for(context, command or ()).get_help())
    return DONE


def _asked_for(context: typer.Context, words: Any) -> Any:
    """The context of a command, to print its help. Raises UsageError if there is no such command."""
    found: Any = context.find_root()
    for word in words:
        inner = getattr(found.command, "commands", {})
        if word not in inner:
            raise _unknown(found.command_path, word, list(inner))
        found = typer.Context(inner[word], info_name=word, parent=found)
    return found


def _unknown(path: str, word: str, known: list[str]) -> UsageError:
    from difflib import get_close_matches

    above = path.partition(" ")[2].split()
    near = get_close_matches(word, known, n=1)
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
