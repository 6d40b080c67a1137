"""`examples`: example files that are installed with ctisync. It needs no settings."""

import os.path
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CommonOptions, common
from ctisync.errors import DONE, UsageError
from ctisync.system.files import STDOUT, create_file, expand_home
from ctisync.system.process import print_result

_decoder: Final = msgspec.json.Decoder()

_PACKAGE: Final = Path(__file__).parents[1]

_FOLDER: Final = next(
    folder for folder in (_PACKAGE / "examples", _PACKAGE.parents[1] / "examples") if folder.is_dir()
)
"""A wheel has the examples in the package; a clone has them beside `src`."""


@app.command()
@common(config=False, consumer=False)
def examples(
    options: CommonOptions,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Example to print; without it, ctisync lists all.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder to copy to; ctisync overwrites no file."),
    ] = None,
) -> int:
    """List, print or copy the examples: schedules, alert rules, roles, settings for Wazuh 5."""
    options.console()
    if output == STDOUT:
        raise UsageError("--output needs a folder for examples", hint="ctisync examples NAME (prints one)")
    if output is not None:
        _copy(name, output)
    else:
        print_result(_list() if name is None else _text(name))
    return DONE


def _list() -> str:
    """One line per file: its name and its description."""
    names = [_name(path) for path in _files(_FOLDER)]
    width = max(map(len, names))
    return "\n".join(f"{name:<{width}}  {_about(_FOLDER / name)}" for name in names)


def _text(name: str) -> str:
    """The text of an example; for a folder, each file follows a line with its name."""
    chosen = _chosen(name)
    if chosen.is_file():
        return chosen.read_text(encoding="utf-8").rstrip("\n")
    return "\n\n".join(f"# {_name(path)}\n{_text(_name(path))}" for path in _files(chosen))


def _copy(name: str | None, folder: Path) -> None:
    """Copy one example, or all, into `folder`, and create the folder if it is missing. Raises UsageError, and
    writes nothing, if one of the files exists."""
    chosen = _FOLDER if name is None else _chosen(name)
    folder = expand_home(folder, "--output")
    base = chosen.parent if chosen.is_file() else chosen
    targets = {path: folder / path.relative_to(base) for path in _files(chosen)}
    there = [str(target) for target in targets.values() if os.path.lexists(target)]
    if there:
        raise UsageError(
            f"{there[0]} already exists; ctisync does not overwrite it", hint="--output ANOTHER_FOLDER"
        )
    for path, target in targets.items():
        create_file(target, path.read_text(encoding="utf-8"), hint="--output ANOTHER_FOLDER")


def _chosen(name: str) -> Path:
    """The file or folder of that name."""
    paths = [path for each in _files(_FOLDER) for path in (each, each.parent) if path != _FOLDER]
    for path in paths:
        if _name(path) == name.rstrip("/"):
            return path
    raise UsageError(f"unknown example {name}", hint="ctisync examples")


def _files(place: Path) -> Iterator[Path]:
    yield from [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())


def _name(path: Path) -> str:
    return path.relative_to(_FOLDER).as_posix()


def _about(path: Path) -> str:
    """The first line, a comment; JSON has no comments: its `description`."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return str(_decoder.decode(text)["description"])
    return text.partition("\n")[0].removeprefix("# ")
