"""The plans of a console: read in each form in which they come, and told as settings."""

import tomllib
from typing import Any, Final

import pytest

from ctisync.core.catalog import Feature, Plan, as_toml, plans_in
from ctisync.core.links import Address
from ctisync.errors import FeedRefused

BASE: Final = "https://cti.example/api/v1"
IOCS: Final = f"{BASE}/catalog/contexts/t1-iocs-5/consumers/public-iocs-5"
ENTRY: Final = {"name": "Free iocs", "type": "cti:catalog:consumer:iocs", "resource": IOCS, "later": 1}
FREE: Final = {"name": "Free", "is_public": True, "features": [ENTRY], "later": [1]}
FEATURE: Final = Feature(
    "Free iocs", "cti:catalog:consumer:iocs", IOCS, Address(BASE, "t1-iocs-5", "public-iocs-5")
)


@pytest.mark.parametrize(
    "document",
    [
        {"plans": [FREE], "name": "environment-01"},
        {"data": {"plans": [FREE], "organization": {}}},
        {"data": [FREE]},
        {"plans": [{"name": "Free", "is_public": True, "products": [ENTRY]}, 5, None]},
    ],
)
def test_plans_are_read_wherever_a_reply_has_them(document: Any) -> None:
    assert plans_in(document, own=False) == [
        Plan(name="Free", is_public=True, is_own=False, features=(FEATURE,))
    ]


@pytest.mark.parametrize(
    "document", [None, 5, [], {}, {"plans": None}, {"plans": {}}, {"data": {"plan": []}}]
)
def test_a_reply_without_plans_is_refused(document: Any) -> None:
    with pytest.raises(FeedRefused, match="no list of plans"):
        plans_in(document, own=False)


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"name": 5, "features": 5},
        {"features": [5, {}]},
        {"is_public": "yes", "features": [{"resource": 5}]},
    ],
)
def test_what_a_plan_lacks_is_no_reason_to_fail(plan: Any) -> None:
    (only,) = plans_in({"plans": [plan]}, own=True)
    assert (only.name, only.is_public, only.is_own) == ("", None, True)
    assert "# a plan without a name (of your environment)\n# no consumers" in as_toml([only], BASE)


def plan(name: str, tier: str, *, is_public: bool = True, is_own: bool = False) -> Plan:
    features = [
        {
            "name": f"{tier}\n{kind}",
            "type": f"a:{kind}",
            "resource": IOCS.replace("t1-iocs", f"{tier}-{kind}"),
        }
        for kind in ("iocs", "ruleset")
    ]
    document = {"plans": [{"name": name, "is_public": is_public, "features": features}]}
    return plans_in(document, own=is_own)[0]


def consumers(text: str) -> list[dict[str, str]]:
    tables: list[dict[str, str]] = tomllib.loads(text).get("consumers", [])
    return tables


def test_the_lines_of_the_public_plan_can_be_pasted_and_the_others_are_comments() -> None:
    text = as_toml([plan("Pro", "t0", is_public=False), plan("Free", "t1"), plan("Free 2", "t2")], BASE)
    assert consumers(text) == [
        {"consumer_url": IOCS, "index": "wazuh-iocs-5"},
        {"consumer_url": IOCS.replace("t1-iocs", "t1-ruleset"), "index": "wazuh-ruleset-5"},
    ]
    assert "# Pro (not public)\n# t0 iocs\n#[[consumers]]\n" in text
    assert "# Free (public)\n# t1 iocs\n[[consumers]]\n" in text
    assert "cti.url" not in text
    assert "no consumers" not in text


def test_with_an_own_plan_its_lines_are_those_to_paste() -> None:
    text = as_toml([plan("Pro", "t0", is_public=False, is_own=True), plan("Free", "t1")], BASE)
    assert [each["consumer_url"].split("/")[-3] for each in consumers(text)] == ["t0-iocs-5", "t0-ruleset-5"]
    assert "# Pro (of your environment)" in text


def test_another_server_than_that_of_the_settings_is_named() -> None:
    text = as_toml([plan("Free", "t1")], "https://other.example/api/v1")
    assert f'# needs cti.url = "{BASE}"' in text
    for server in (BASE, "https://mirror.example/linux"):
        features = [{**ENTRY, "resource": IOCS.replace(BASE, server)}]
        plans = plans_in({"plans": [{**FREE, "features": features}]}, own=False)
        assert "cti.url" not in as_toml(plans, server)
        assert "cti.url" not in as_toml(plans, f"{server}/")


def test_all_servers_of_a_plan_are_named_in_the_same_order_each_time() -> None:
    servers = [f"https://mirror-{number}.example/api/v1" for number in range(1, 9)]
    features = [{**ENTRY, "resource": IOCS.replace(BASE, server)} for server in reversed(servers)]
    text = as_toml(plans_in({"plans": [{**FREE, "features": features}]}, own=False), BASE)
    needs = [line for line in text.splitlines() if "cti.url" in line]
    assert needs == [f'# needs cti.url = "{server}"' for server in servers]


def test_a_consumer_without_a_kind_gets_an_index_of_its_own_name() -> None:
    nameless = {"resource": IOCS}
    text = as_toml(plans_in({"plans": [{**FREE, "features": [nameless]}]}, own=False), BASE)
    assert [each["index"] for each in consumers(text)] == ["wazuh-public-iocs-5-5"]


def test_no_name_of_a_console_ends_its_comment() -> None:
    evil = plan('x\n[store]\nurl = "sqlite:///y"', "t1")
    assert tomllib.loads(as_toml([evil], BASE)).keys() == {"consumers"}
