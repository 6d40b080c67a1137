"""Completion in the shell: commands, options, names of consumers and settings."""

from typing import Annotated, Any, Final, Literal

import typer

from ctisync.cli.app import app
from ctisync.errors import DONE
from ctisync.system.process import print_result

VARIABLE: Final = "_CTISYNC_COMPLETE"
"""The environment variable with which a completion script requests completions; its value names the shell."""


@app.command()
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")
    ],
) -> int:
    """Print the completion script for a shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print_result(get_completion_script(prog_name="ctisync", complete_var=VARIABLE, shell=shell))
    return DONE


def answer(command: Any, instruction: str) -> int:
    """Print the completions that the script requests. `instruction`: the value of VARIABLE. Returns the exit
    code; runs no command, and prints no error."""
    from typer.completion import completion_init, shell_complete  # type: ignore[attr-defined]

    completion_init()
    return shell_complete(command, {}, "ctisync", VARIABLE, instruction)
