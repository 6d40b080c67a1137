"""`ctisync forget`: remove the data of a consumer from the store."""

from typing import Annotated

import typer

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, DryRunOption, common
from ctisync.errors import DONE, UsageError
from ctisync.escaping import quoted
from ctisync.system.process import confirm, print_result


@app.command()
@common(consumer=False)
def forget(
    options: CommonOptions,
    consumer: Annotated[
        str | None,
        typer.Option(
            "--consumer", metavar="NAME", help="The consumer to remove; it need not be configured any more."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    dry_run: DryRunOption = False,
) -> int:
    """Remove a consumer from the store: content, state, history, lease, downloads."""
    from ctisync.commands import forget as command

    settings = options.read_settings(options.console()).settings
    if consumer is None:
        names = ", ".join(map(str, settings.followed))
        raise UsageError(
            f"forget needs the name of the consumer to remove; configured: {names}",
            hint=f"ctisync forget --consumer {quoted(settings.followed[0])}",
        )
    held = command.look(settings, consumer, CLOCK)
    if dry_run:
        print_result(command.nothing(held) if held.is_empty else command.as_text(held))
        return DONE
    command.refuse_while_at_work(settings, held)
    if held.is_empty:
        if not options.quiet:
            print_result(command.nothing(held))
        return DONE
    if not yes:
        typed = f"ctisync forget --consumer {quoted(held.consumer)} --yes"
        answer = confirm(command.as_text(held), "Remove all of this permanently? [y/N] ")
        if answer is None:
            raise UsageError("forget needs a terminal to ask for confirmation", hint=typed)
        if not answer:
            raise UsageError("nothing was removed: you did not answer y", hint=typed)
    command.forget(settings, held, CLOCK)
    if not options.quiet:
        print_result(command.removed(held))
    return DONE
