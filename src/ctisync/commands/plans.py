"""`plans`: the plans of the console, as settings or as a document."""

from typing import Any

from ctisync.core.plans import Plan, as_toml
from ctisync.escaping import escape
from ctisync.ports import Clock
from ctisync.settings import Settings
from ctisync.wiring import console_api, feed_headers


def read(settings: Settings, clock: Clock) -> tuple[str, list[Plan]]:
    """The console's base URL, and its plans. Raises what the requests raise."""
    console = console_api(settings, clock)
    return console.url, console.plans(feed_headers(settings))


def as_text(plans: list[Plan], settings: Settings) -> str:
    """Lines for a settings file."""
    if not plans:
        return "# the console has no plans"
    return "\n".join(map(escape, as_toml(plans, settings.cti.url).split("\n")))


def as_document(console: str, plans: list[Plan]) -> dict[str, Any]:
    """For `--json`. `context` and `consumer` are null for a feature that is no consumer."""
    return {
        "console": console,
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
