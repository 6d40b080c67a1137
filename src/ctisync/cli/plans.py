"""`ctisync plans`: the plans of Wazuh's console, as settings that follow their consumers."""

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, common, print_document
from ctisync.errors import DONE
from ctisync.system.process import print_result


@app.command()
@common(consumer=False)
def plans(options: CommonOptions, as_json: JsonOption = False) -> int:
    """Print the plans of Wazuh's console: consumers to paste into the settings. Needs no store."""
    from ctisync.commands import plans as command

    console = options.console()
    settings = options.read_settings(console).settings
    url, found = command.read(settings, CLOCK)
    if as_json:
        print_document(command.as_document(url, found))
    else:
        print_result(console.masked(command.as_text(found, settings)))
    return DONE
