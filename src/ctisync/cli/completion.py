"""What a shell offers at Tab: commands, options, the names of consumers and settings."""

from typing import Annotated, Any, Final, Literal

import typer

from ctisync.cli.app import app
from ctisync.errors import DONE
from ctisync.process import print_result

VARIABLE: Final = "_CTISYNC_COMPLETE"
"""In which a shell's script says that it only asks what could be typed, and how it wants that told."""


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
    """Tell the shell what could be typed; the exit code. Nothing else is run, and no error is told."""
    from typer.completion import completion_init, shell_complete  # type: ignore[attr-defined]

    completion_init()
    return shell_complete(command, {}, "ctisync", VARIABLE, instruction)
