"""Every store: a search in the index finds what a plain look at every record finds."""

import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ctisync.core.conditions import SEVERITIES, Conditions
from ctisync.core.facts import facts_of
from ctisync.core.model import Consumer, Delete, Record
from ctisync.core.phrases import phrases_of
from ctisync.core.scanner import Platform
from ctisync.ports import Store
from ctisync.search.file import IndexFile
from ctisync.search.query import search
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.support.advisories import PRODUCTS, SOURCES, VENDORS, VERSIONS, WORDS, advisory
from tests.support.log import KeptLog
from tests.support.records import record

SEED: Final = 23
PLATFORMS: Final = (
    Platform(platform="debian", version="12", code_name="bookworm"),
    Platform(platform="ubuntu", version="22.04", code_name="jammy"),
)
QUERIES: Final = 125


def conditions(chance: random.Random) -> Conditions:
    """At most three at once: more match nothing."""
    ways: dict[str, Any] = {
        "phrases": lambda: phrases_of(
            [chance.choice((*WORDS, "over*", "node*", "CVE-2024-1*", "élévation"))]
        ),
        "products": lambda: frozenset(each.lower() for each in chance.sample(PRODUCTS, chance.randint(1, 2))),
        "vendors": lambda: frozenset({chance.choice(VENDORS).lower()}),
        "source": lambda: chance.choice((*SOURCES, "nvd")),
        "platform": lambda: chance.choice(PLATFORMS),
        "cwes": lambda: frozenset({chance.randint(78, 82)}),
        "severities": lambda: frozenset(chance.sample(SEVERITIES, 2)),
        "min_score": lambda: Decimal(chance.randint(0, 100)) / 10,
        "exploit": lambda: True,
        "published_since": lambda: datetime(2020 + chance.randint(0, 6), 6, 1, tzinfo=UTC),
        "changed_after": lambda: chance.randint(0, 400),
        "state": lambda: chance.choice(("published", "rejected")),
    }
    chosen = {name: ways[name]() for name in chance.sample(sorted(ways), chance.randint(0, 3))}
    if "products" in chosen and chance.random() < 0.6:
        chosen["version"] = chance.choice(VERSIONS)
    return Conditions(**chosen)


def check_queries(store: Store, consumer: Consumer, path: Path, chance: random.Random) -> None:
    with store.inspect(consumer) as content:
        facts = [facts_of(each.line) for each in content.scan()]
        file = IndexFile(path, content, SystemClock(), KeptLog())
        for _ in range(QUERIES):
            chosen = conditions(chance)
            answers = {each.name: answer for each in facts if (answer := chosen.match(each)) != "no"}
            hits = file.ask(lambda index, chosen=chosen: search(index, chosen))  # type: ignore[misc]
            assert sorted(hits.names) == sorted(answers), chosen
            assert hits.unsure == {name for name, answer in answers.items() if answer == "perhaps"}, chosen


def test_the_index_finds_what_a_plain_scan_finds_also_after_changes_deletions_and_a_reload(
    store: Store, consumer: Consumer, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")  # noqa: T201  # to play it again
    records = [advisory(chance, f"CVE-2024-{number}", number + 1) for number in range(300)]
    path = tmp_path / "content.search"
    passes.initialise(store, consumer, records, 300)
    check_queries(store, consumer, path, chance)
    with store.writer(consumer) as writer:
        writes: list[Record | Delete] = [
            Delete(f"CVE-2024-{number}", 301 + number)
            if number % 3 == 0
            else advisory(chance, f"CVE-2024-{number}", 301 + number)
            for number in range(40)
        ]
        passes.apply(writer, [*writes, record("CVE-2025-new", 350)], to=360)
    check_queries(store, consumer, path, chance)
    with store.writer(consumer) as writer:
        passes.apply(
            writer, [Delete(f"CVE-2024-{number}", 361 + number) for number in range(100, 160)], to=600
        )
    check_queries(store, consumer, path, chance)
    reloaded = [advisory(chance, f"CVE-2023-{number}", number + 1) for number in range(200)]
    with store.writer(consumer) as writer:
        passes.load(writer, consumer, reloaded, 700)
    check_queries(store, consumer, path, chance)
