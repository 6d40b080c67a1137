"""`ctisync plans`: the plans of Wazuh's console, as settings that follow their consumers."""

from collections.abc import Sequence
from typing import Any

from ctisync.cli.app import app
from ctisync.cli.invocation import CLOCK, CommonOptions, JsonOption, common, print_document
from ctisync.core.catalog import Plan, as_toml
from ctisync.errors import DONE
from ctisync.escaping import escape
from ctisync.system.process import print_result
from ctisync.wiring import console_api


@app.command("plans")
@common(consumer=False)
def plans_(options: CommonOptions, as_json: JsonOption = False) -> int:
    """Print the plans of Wazuh's console: consumers to paste into the settings. Needs no store."""
    console = options.console()
    settings = options.read_settings(console).settings
    api = console_api(settings, CLOCK)
    plans = api.plans()
    if as_json:
        print_document(_as_document(api.url, plans))
    else:
        lines = as_toml(plans, settings.cti.url).split("\n") if plans else ["# the console has no plans"]
        print_result(console.masked("\n".join(map(escape, lines))))
    return DONE


def _as_document(url: str, plans: Sequence[Plan]) -> dict[str, Any]:
    """The contract of `plans --json`. `url`: the base URL of the console. `context` and `consumer` are null
    for a feature that is no consumer."""
    return {
        "console": url,
        "plans": [
            {
                "name": plan.name,
                "is_public": plan.is_public,
                "is_own": plan.is_own,
                "features": [
                    {
                        "name": each.name,
                        "type": each.type,
                        "url": each.url,
                        "context": each.address and each.address.context,
                        "consumer": each.address and each.address.consumer,
                    }
                    for each in plan.features
                ],
            }
            for plan in plans
        ],
    }
