"""Repeats `--config` and `--consumer` of a call in the commands of its hints, so that you can type them as
they are."""

import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any, Final

import typer

from ctisync.console import Console
from ctisync.escaping import quoted

_QUOTED: Final = r"""'[^']*'|"[^"]*\""""
_REST: Final = rf"(?:{_QUOTED}|(?![;,:] | \(|\)(?:\W|$)| &&).)*"
"""The rest of a command in a hint, up to the words that end it (see `errors.CtisyncError`)."""


def with_options(hint: str, taken: Mapping[str, Collection[str]], given: Mapping[str, str]) -> str:
    """The hint, with the options of the call added to each command of ctisync in it.

    `taken`: the names of the options that each command accepts, by its name ("config show"); `given`: the
    options of the call as they are typed, by their names. A command that has an option already keeps it.
    """

    def repeated(found: re.Match[str]) -> str:
        command, rest = found["command"], found["rest"]
        added = [
            words for name, words in given.items() if name in taken[command] and f"{name} " not in f"{rest} "
        ]
        return " ".join(["ctisync", command, *added]) + rest

    names = "|".join(map(re.escape, sorted(taken, key=len, reverse=True)))
    return re.sub(rf"(?<![\w/.-])ctisync (?P<command>{names})(?![\w-])(?P<rest>{_REST})", repeated, hint)


def carry(context: typer.Context, console: Console) -> None:
    """From here on, hints that the console prints repeat the options of this call."""
    config, consumers = context.params.get("config"), context.params.get("consumer")
    given: dict[str, str] = {}
    if config is not None:
        given["--config"] = f"--config {quoted(config)}"
    if consumers and not isinstance(consumers, str):  # the option of `forget` names what it removes
        given["--consumer"] = " ".join(f"--consumer {quoted(each)}" for each in consumers)
    if given:
        taken = dict(_options(context.find_root().command))
        console.hint = partial(with_options, taken=taken, given=given)


def _options(group: Any, before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command below the group by its whole name, and which of the two options it accepts."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _options(command, f"{before}{name} ")
        else:
            several = {each.name for each in command.params if getattr(each, "multiple", False)}
            options = {f"--{each.name}" for each in command.params if each.name in several | {"config"}}
            yield f"{before}{name}", options & {"--config", "--consumer"}
