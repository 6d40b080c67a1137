"""The command that looks at everything that a pass needs, and changes nothing."""

import typer

from ctisync.cli.app import app
from ctisync.cli.call import (
    CLOCK,
    ConfigOption,
    ConsumerOption,
    JsonOption,
    LogFormatOption,
    QuietOption,
    VerboseOption,
    chosen,
    console_of,
    found_settings,
    print_document,
)
from ctisync.errors import CtisyncError
from ctisync.process import print_result


@app.command()
def doctor(
    context: typer.Context,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    consumer: ConsumerOption = None,
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    log_format: LogFormatOption = "text",
) -> int:
    """Check everything that a pass needs, and print what to type. Changes nothing."""
    from ctisync.commands import doctor as command

    console = console_of(context, verbose, quiet, log_format)
    try:
        found = found_settings(config, console)
        consumers = chosen(found.settings, consumer)
    except CtisyncError as error:
        verdicts, known = command.without_settings(error, console), False
    else:
        verdicts, known = command.examine(found, consumers, CLOCK, console), True
    if as_json:
        print_document(command.as_document(verdicts))
    elif text := command.as_text(verdicts, quiet=quiet):
        print_result(text)
    return command.exit_code(verdicts, settings=known)
