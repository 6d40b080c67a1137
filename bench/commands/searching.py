"""`ctisync search` with queries of each kind and `ctisync match`, as whole processes, on an index that is up
to date; and the index itself (`index`), which is built once."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench.client import Client
from bench.commands.index import QUERY, building_search, changes, index_outcome, printed, updating_search
from bench.figures import spread
from bench.processes import BenchFailed, Run
from bench.report import Outcome
from bench.rounds import Contender, Rounds, play
from bench.workshop import Workshop
from ctisync.core.model import Consumer
from ctisync.stores.sqlite.store import SqliteStore
from ctisync.system.clock import SystemClock
from tests.contract import passes
from tests.support.records import record

_PACKAGES: Final = 2000
_SOURCE: Final = "debian"
_VERSION: Final = "0:9.38-1"
"""One bound in four hundred is above it."""

_OLD: Final = "0:1.1-1"
_OLD_SHARE: Final = 100
"""One package in so many is of the old version."""

_HOT: Final = "hottest product, a version"


def measure(workshop: Workshop) -> Outcome:
    options = workshop.options
    with (
        workshop.feed(steps=options.pairs, changes=changes(workshop), kind="advisories") as feed,
        workshop.client("sqlite", feed) as client,
    ):
        client.load()
        built = building_search(client)()
        queries = _queries(client, feed.snapshot.facts.offset)
        contenders = [
            *(Contender(name, _query(client, arguments)) for name, arguments in queries.items()),
            Contender("updating search", updating_search(workshop, feed, client), warm_ups=0),
        ]
        runs = play(contenders, options.pairs).runs
        matching = f"match, {_PACKAGES} packages"
        runs |= play([Contender(matching, _matching(client, options.seed))], options.pairs).runs
        rounds = Rounds({"building search": [built] * options.pairs, **runs})
        table, figures, document = index_outcome(workshop, client, rounds)
    walls = {name: spread([run.wall for run in runs[name]]).median for name in (*queries, matching)}
    slowest = max(queries.keys() - {_HOT}, key=walls.__getitem__)
    table.add_row(f"slowest but the hottest: {slowest}", "", f"{walls[slowest]:.3f}")
    seconds = {"slowest query s": walls[slowest], f"{_HOT} s": walls[_HOT], f"{matching} s": walls[matching]}
    return Outcome(table, {**figures, **seconds}, document)


def _queries(client: Client, offset: int) -> Mapping[str, Sequence[str]]:
    """By what the table calls them; with words, names and products of the content, which is at `offset`."""
    [hit] = printed(client, "search", "--min-severity", "high", "--limit", "1")["hits"]
    first, second, third, *_ = [word.strip(".,") for word in hit["title"].split() if len(word) > 3]
    product, vendor = _products(client, 1) + _groups(client, "vendor", 1)
    return {
        "search": QUERY[1:],
        "a word": [first],
        "two words": [first, second],
        "a phrase": [f"{hit['title'].split()[0]} {hit['title'].split()[1]}"],
        "a prefix": [f"{third[:3]}*"],
        "a name": [hit["name"]],
        "hottest product": ["--product", product],
        "hottest product and vendor": ["--product", product, "--vendor", vendor],
        "unknown product": ["--product", f"{product}x"],
        "a vendor": ["--vendor", vendor],
        "an exploit, a score": ["--exploit", "--min-score", "9"],
        "published since": ["--published-since", "2024-02-20", "--severity", "low,medium"],
        "changed after": ["--changed-after", str(offset - 1000), "--sort", "changed"],
        "a word, by date": [first, "--min-severity", "high", "--sort", "published"],
        "number by severity": ["--count-by", "severity"],
        _HOT: ["--product", product, "--source", _SOURCE, "--version", _VERSION],
    }


def _query(client: Client, arguments: Sequence[str]) -> Callable[[], Run]:
    return lambda: client.run("search", *arguments)


def _products(client: Client, number: int) -> list[str]:
    """The products of most records of a distribution, by their number."""
    return _groups(client, "product", number, "--source", _SOURCE)


def _groups(client: Client, kind: str, number: int, *conditions: str) -> list[str]:
    answer = printed(client, "search", *conditions, "--count-by", kind, "--limit", str(number))
    return [group[kind] for group in answer["groups"]]


def _matching(client: Client, seed: int) -> Callable[[], Run]:
    """Packages of one distribution; some are in many records, and some in none of this one."""
    _add_tables(client)
    chance = random.Random(seed)
    names = (_products(client, 10 * _PACKAGES) * _PACKAGES)[: 10 * _PACKAGES]
    versions = [_OLD if number % _OLD_SHARE == 0 else _VERSION for number in range(_PACKAGES)]
    pairs = zip(chance.sample(names, _PACKAGES), versions, strict=True)
    inventory = client.home / "inventory"
    inventory.write_text("".join(f"{name}\t{version}\tDebian\n" for name, version in pairs))

    def run() -> Run:
        run = client.run("match", str(inventory), "--os", "debian:12", "--ndjson")
        if not (client.home / "out").read_bytes():
            raise BenchFailed("no package matches")
        return run

    return run


def _add_tables(client: Client) -> None:
    """Of the scanner, which a generated feed does not have."""
    feed = {"prefix": [{"Debian": {"cna": _SOURCE, "platforms": ["debian"]}}]}
    store, consumer = SqliteStore(client.database, SystemClock()), Consumer()
    with store.writer(consumer) as writer:
        offset = writer.state.offset + 1
        passes.apply(writer, [record("FEED-GLOBAL", offset, feed)], to=offset)
    store.close()
