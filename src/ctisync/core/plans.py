"""The plans of Wazuh's console: which consumers each has, and settings that follow them."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ctisync.core.links import Address, parse_consumer_url
from ctisync.core.model import Json
from ctisync.errors import FeedRefused
from ctisync.escaping import one_line, to_json

_NOT_IN_A_NAME: Final = re.compile("[^a-z0-9]+")


class Feature(msgspec.Struct, frozen=True):
    """A part of a plan. `address`: of the consumer, if it is one."""

    name: str
    type: str
    url: str
    address: Address | None


class Plan(msgspec.Struct, frozen=True):
    """`is_own`: whether it is that of the environment of the token. `is_public`: None if it is not known."""

    name: str
    is_public: bool | None
    is_own: bool
    features: tuple[Feature, ...]


def plans_in(document: Json, *, own: bool) -> list[Plan]:
    """The plans of a reply. They are in `plans`, which may be in `data`; unknown fields are ignored.

    Raises FeedRefused if there are none to be read.
    """
    whole = document if isinstance(document, dict) else {}
    inner = whole.get("data")
    plans = whole.get("plans", inner.get("plans") if isinstance(inner, dict) else inner)
    if not isinstance(plans, list):
        raise FeedRefused("the reply of the console has no list of plans")
    return [
        Plan(
            name=_text(each.get("name")),
            is_public=is_public if isinstance(is_public := each.get("is_public"), bool) else None,
            is_own=own,
            features=tuple(_features(each.get("features", each.get("products")))),
        )
        for each in plans
        if isinstance(each, dict)
    ]


def _features(features: Json) -> Iterator[Feature]:
    for each in features if isinstance(features, list) else ():
        if isinstance(each, dict):
            url = _text(each.get("resource"))
            yield Feature(_text(each.get("name")), _text(each.get("type")), url, parse_consumer_url(url))


def as_toml(plans: Sequence[Plan], base_url: str) -> str:
    """The plans as settings. Only the lines of one plan are no comments: the environment's own one, or else
    the first public one. `base_url`: `cti.url` as it is set."""
    chosen = next((each for each in plans if each.is_own), None)
    chosen = chosen or next((each for each in plans if each.is_public), None)
    blocks = []
    for plan in plans:
        kinds = ("of your environment" if plan.is_own else "", "public" if plan.is_public else "")
        kind = ", ".join(filter(None, kinds)) or "not public"
        rows = [f"# {plan.name or 'a plan without a name'} ({kind})"]
        consumers = [each for each in plan.features if each.address is not None]
        bases = {each.address.base for each in consumers if each.address is not None}
        rows += [f"# needs cti.url = {to_json(base)}" for base in sorted(bases - {base_url.rstrip("/")})]
        mark = "" if plan is chosen else "#"
        for number, feature in enumerate(consumers):
            lines = (
                "[[consumers]]",
                f"consumer_url = {to_json(feature.url)}",
                f"index = {to_json(_index(feature))}",
            )
            rows += [
                *[""] * (number > 0),
                f"# {feature.name or feature.type}",
                *(mark + line for line in lines),
            ]
        if not consumers:
            rows.append("# no consumers")
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


def _index(feature: Feature) -> str:
    """A name for the content: by the kind of the consumer, else by its own name."""
    assert feature.address is not None
    kind = feature.type.rpartition(":")[2] or feature.address.consumer
    return f"wazuh-{_NOT_IN_A_NAME.sub('-', kind.lower()).strip('-')}-5"


def _text(value: Json) -> str:
    return one_line(value) if isinstance(value, str) else ""
