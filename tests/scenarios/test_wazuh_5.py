"""Three catalogs of Wazuh 5 on each store, from the package on: at each step they hold what the feed does."""

import json
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from ctisync.commands.snapshot_sources import snapshot_sources
from ctisync.core.model import Consumer
from ctisync.errors import AccessRefused, Blocked, ConfigurationError
from ctisync.verify.audit import verify
from tests.support import feed_failures as failures
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_failures import Failure, Reply
from tests.support.feed_history import CVE_4, WAZUH_5, Dialect
from tests.support.feed_simulator import FeedSimulator
from tests.support.log import KeptLog
from tests.support.stores import stores_of
from tests.support.world import World

TOKEN: Final = "the-token-of-an-environment"
RECORDS: Final = 120
CATALOGS: Final = ("ruleset", "iocs", "vulnerabilities")


def rule(number: int) -> dict[str, Any]:
    kind = ("rule", "decoder", "integration", "kvdb", "policy", "filter")[number % 6]
    return {
        "type": kind,
        "document": {"id": str(number), "title": f"é {number}", "check": [{"level": number}]},
    }


def indicator(number: int) -> dict[str, Any]:
    feed = {"name": "a feed", "score": number}
    return {"type": "ioc", "document": {"id": str(number), "confidence": 9, "tags": ["a"], "feed": feed}}


def vulnerability(number: int) -> dict[str, Any]:
    cna = {"title": f"A hole {number}", "references": [{"url": "https://a.example"}]}
    return {"document": {"cveMetadata": {"state": "PUBLISHED"}, "containers": {"cna": cna}}}


PAYLOADS: Final[dict[str, tuple[str, Callable[[int], dict[str, Any]], str]]] = {
    "ruleset": ("rule/", rule, "/document/check/-"),
    "iocs": ("indicator/", indicator, "/document/tags/-"),
    "vulnerabilities": ("CVE-2026-", vulnerability, "/document/containers/cna/references/-"),
}
"""How names begin, what a record holds, and a list in it: an update that is done twice adds to it twice."""


class Catalog(NamedTuple):
    kind: str
    world: World

    @property
    def feed(self) -> FeedSimulator:
        return self.world.feed

    def create(self, numbers: range) -> None:
        before, payload, _ = PAYLOADS[self.kind]
        for number in numbers:
            self.feed.history.create(f"{before}{number}", payload(number))

    def live_on(self, changes: int, seed: int) -> None:
        """Creates, updates and deletes, also of one record several times."""
        choose, history = random.Random(seed), self.feed.history
        _, payload, path = PAYLOADS[self.kind]
        for number in range(changes):
            name = choose.choice(history.names()[-30:])
            dice = choose.random()
            if dice < 0.1:
                self.create(range(seed * 10_000 + number, seed * 10_000 + number + 1))
            elif dice < 0.15:
                history.delete(name)
            elif dice < 0.2:
                history.create(name, payload(number))
            else:
                history.update(name, [{"op": "add", "path": path, "value": {"at": history.last_offset}}])


@pytest.fixture(params=["memory", "sqlite", "opensearch-2.19.1"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Dialect], list[Catalog]]]:
    """The three catalogs on one server and one store."""
    token = uuid.uuid4().hex[:12]  # a server of the run is shared by all tests
    with ExitStack() as opened:
        make_store = opened.enter_context(stores_of(request.param, tmp_path, request))
        manager = opened.enter_context(CommandManagerStandIn())

        def make(dialect: Dialect) -> list[Catalog]:
            created: list[Catalog] = []
            for kind in CATALOGS:
                consumer = Consumer(f"t1-{kind}-5", f"public-{token}", f"wazuh-{kind}-{token}")
                beside = created[0].feed if created else None
                feed = opened.enter_context(
                    FeedSimulator(consumer.context, consumer.name, dialect=dialect, beside=beside)
                )
                created.append(Catalog(kind, World(consumer, make_store, tmp_path / kind, feed, manager)))
                created[-1].create(range(RECORDS))
                feed.publish_snapshot()
            return created

        yield make


def packaged(catalogs: list[Catalog], folder: Path) -> Path:
    """The snapshots of now, as they come with the product."""
    folder.mkdir()
    manifest = {}
    for each in catalogs:
        *_, file = each.feed.files.values()
        (folder / f"{each.kind}.zip").write_bytes(file.body)
        offset = each.feed.history.last_offset
        entry = {"name": each.feed.consumer, "context": each.feed.context, "is_public": True}
        manifest[f"{each.kind}.zip"] = {
            **entry,
            "status": "ready",
            "local_offset": offset,
            "remote_offset": offset,
        }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def load(catalogs: list[Catalog], package: Path) -> None:
    loads = snapshot_sources(
        str(package), [each.world.consumer for each in catalogs], named=False, log=KeptLog(), option="--from"
    )
    assert [one.consumer for one in loads] == [each.world.consumer for each in catalogs]
    for one, each in zip(loads, catalogs, strict=True):
        assert one.entry is not None
        assert each.world.load(Path(one.location), one.entry.offset) is None


def check(catalogs: list[Catalog]) -> None:
    """Equal to the model, announced, and an audit finds nothing."""
    for each in catalogs:
        world = each.world
        assert world.holds(), each.kind
        last = each.feed.history.last_offset
        assert world.state.offset == last
        assert (world.consumer.index, last) in world.commands()
        audit = verify(
            world.consumer, store=world.store(), log=KeptLog(), deep=True, against=None, at_work=None
        )
        assert (audit.findings, audit.is_good) == ((), True)


def expiring(feed: FeedSimulator, then: Failure) -> Failure:
    """At this very moment all links expire."""

    def worse(reply: Reply) -> Reply:
        feed.expire_links()
        return then(reply)

    return worse


def test_three_catalogs_go_from_the_package_to_a_private_one_whose_links_expire(
    make: Callable[[Dialect], list[Catalog]], tmp_path: Path
) -> None:
    catalogs = make(WAZUH_5)
    rules, iocs, _ = catalogs
    load(catalogs, packaged(catalogs, tmp_path / "package"))
    check(catalogs)
    assert all(each.feed.requests == [] for each in catalogs), "there is no network"

    for each in catalogs:
        each.live_on(250, seed=1)
        assert each.world.run() is None
    check(catalogs)
    assert all(each.feed.requests_for("snapshot") == [] for each in catalogs), "changes alone were needed"

    # From here on the indicators are not public.
    private = iocs.feed
    private.exchanged_token = TOKEN
    iocs.live_on(30, seed=2)
    assert isinstance(iocs.world.run(), AccessRefused)
    iocs.world.token, iocs.world.token_exchange_url = "another-token", private.exchange_url
    assert isinstance(iocs.world.run(), AccessRefused)
    assert iocs.world.holds(iocs.world.state.offset)
    iocs.world.token = TOKEN
    assert iocs.world.run() is None
    check(catalogs)

    # In the middle of a range, and between two.
    iocs.live_on(1500, seed=3)
    private.fail("changes", expiring(private, failures.only_first(40)))
    private.fail("changes", expiring(private, failures.status(503)))
    assert iocs.world.run() is None
    check(catalogs)
    answers = [request.status for request in private.requests_for("changes")]
    assert (403 in answers, 503 in answers) == (False, True), "each request and retry has a link of its own"

    # In the middle of a download: a change that cannot be applied makes a new snapshot needed.
    private.history.poison(private.history.names()[3])
    iocs.live_on(50, seed=4)
    private.publish_snapshot()
    iocs.live_on(50, seed=5)
    private.fail("snapshot", expiring(private, failures.cut_off(0.4)))
    private.fail("snapshot", expiring(private, failures.reset(0.5)))
    assert iocs.world.run() is None
    check(catalogs)
    assert [request.status for request in private.requests_for("snapshot")].count(206) == 2

    # An exchange that is refused stops only the one that needs it; the others go on.
    for each in catalogs:
        each.live_on(60, seed=6)
    private.fail("exchange", failures.refusal(422, "no"), times=None)
    assert isinstance(iocs.world.run(), ConfigurationError)
    for each in catalogs:
        if each is not iocs:
            assert each.world.run() is None
    check([each for each in catalogs if each is not iocs])
    private.heal()
    assert iocs.world.run() is None
    check(catalogs)

    # The token and the links were for the private one alone, and no other request had the token.
    assert rules.feed.requests_for("exchange") == []
    for each in catalogs:
        others = [request for request in each.feed.requests if request.kind != "exchange"]
        assert TOKEN not in repr(others)


def test_a_change_that_cannot_be_applied_blocks_one_catalog_alone(
    make: Callable[[Dialect], list[Catalog]],
) -> None:
    catalogs = make(WAZUH_5)
    rules, iocs, cves = catalogs
    for each in catalogs:
        assert each.world.run() is None
    iocs.live_on(30, seed=1)
    poison = iocs.feed.history.poison(iocs.feed.history.names()[0])
    for each in (rules, cves):
        each.live_on(30, seed=2)
        assert each.world.run() is None
    assert isinstance(iocs.world.run(), Blocked)
    assert iocs.world.holds(poison - 1)
    check([rules, cves])


ALONE: Final[dict[str, Dialect]] = {
    "the old feed's": CVE_4,
    "resource": CVE_4._replace(named_by="resource"),
    "types in capitals": CVE_4._replace(kinds=str.upper),
    "several members": CVE_4._replace(members=3),
    "neither version nor time": CVE_4._replace(dated=False),
    "all together": WAZUH_5,
}


@pytest.mark.parametrize("dialect", ALONE.values(), ids=ALONE.keys())
def test_each_difference_alone_and_all_together_keep_the_content_in_step(
    make: Callable[[Dialect], list[Catalog]], dialect: Dialect
) -> None:
    catalogs = make(dialect)
    for seed in (1, 2):
        for each in catalogs:
            each.live_on(80, seed)
            assert each.world.run() is None
        check(catalogs)
    for each in catalogs:
        each.feed.publish_snapshot()
        each.live_on(20, seed=3)
        assert each.world.run("init-snapshot") is None
        assert each.world.run() is None
    check(catalogs)
