"""What is used when nobody says anything is what docs/settings.md says."""

import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from ctisync.core.limits import Limits
from ctisync.core.model import Consumer, Footprint
from ctisync.core.steps import Policy

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}


def documented() -> dict[str, float]:
    """The limits in the table; a row may tell of two, with one default or with two."""
    defaults: dict[str, float] = {}
    for names, figures in re.findall(r"^\| (`limits\.[^|]*) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE):
        limits = re.findall(r"`limits\.(\w+)`", names)
        numbers = [
            int(number) * UNITS.get(unit, 1) for number, unit in re.findall(r"(\d+)(?: (\w+))?", figures)
        ]
        defaults |= dict(zip(limits, numbers if len(numbers) > 1 else numbers * len(limits), strict=True))
    return defaults


def test_each_limit_has_the_default_that_is_documented() -> None:
    assert documented() == msgspec.structs.asdict(Limits())


@pytest.mark.parametrize(
    "name", [name for name in Limits.__struct_fields__ if name not in ("pass_seconds", "min_rate")]
)
def test_a_limit_is_at_least_1_and_at_most_what_every_store_and_file_system_can_count_to(name: str) -> None:
    most = 800 if name == "json_depth" else 2**63 - 1
    for number in (1, most):
        assert getattr(msgspec.convert({name: number}, Limits), name) == number
    for number in (0, most + 1):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({name: number}, Limits)


@pytest.mark.parametrize(("name", "most"), [("pass_seconds", 31_536_000), ("min_rate", 1e9)])
def test_a_time_or_a_rate_may_be_without_limit_but_not_negative_or_absurd(name: str, most: float) -> None:
    for number in (0, most):
        assert getattr(msgspec.convert({name: number}, Limits), name) == number
    for number in (-1, most + 1):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({name: number}, Limits)


def test_a_consumer_that_nobody_describes_is_the_vulnerability_feed_as_a_whole() -> None:
    assert Consumer() == Consumer("vd_1.0.0", "vd_4.8.0", "wazuh-cve", ("*",))


def test_a_pass_by_default_neither_follows_a_reset_nor_loads_more_than_once_a_day() -> None:
    policy = Policy()
    assert (policy.mode, policy.on_feed_reset, policy.tolerate_cooldown) == ("sync", "refuse", False)
    assert policy.reinit_interval == timedelta(seconds=86_400)
    assert policy.limits == Limits()
    assert policy.stale_after == timedelta(hours=24)
    assert (policy.now, policy.keep, policy.replace, policy.cooldowns) == (False, False, False, True)


def test_a_store_that_says_nothing_of_a_consumer_holds_nothing_of_it() -> None:
    assert Footprint() == Footprint(places=(), records=None, bytes=0, passes=0, state=False)
