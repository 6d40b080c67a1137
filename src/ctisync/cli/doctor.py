"""`ctisync doctor`: check everything that a pass needs. Changes nothing."""

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, common, print_document
from ctisync.errors import CtisyncError
from ctisync.system.process import print_result


@app.command()
@common()
def doctor(
    options: CommonOptions,
    as_json: JsonOption = False,
) -> int:
    """Check everything that a pass needs, and print what to type. Changes nothing."""
    from ctisync.commands import doctor as command

    console = options.console()
    try:
        found = options.read_settings(console)
        consumers = options.consumers(found.settings)
    except CtisyncError as error:
        verdicts, known = command.without_settings(error, console), False
    else:
        verdicts, known = command.diagnose(found, consumers, CLOCK, console), True
    verdicts = command.with_hints(verdicts, console.hint)
    if as_json:
        print_document(command.as_document(verdicts))
    elif text := command.as_text(verdicts, quiet=options.quiet):
        print_result(text)
    return command.exit_code(verdicts, settings=known)
