"""T1 on a real OpenSearch: whole passes, killed once after each kind of request that the protocol has.

Every single write of the store is killed in `tests/stores/test_opensearch_crashes.py`, and every call of a
port in `test_in_memory`; here the processes, the node, the feed and the Command Manager are all real. At its
end, each pass fills a facts index.
"""

import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ctisync.core.facts_document import document_of
from ctisync.core.model import Consumer, Record
from tests.crash.passes import LATER, Ended, Forks, without_times
from tests.crash.stories import PRIVATE, STORIES, Story, expected, settings
from tests.crash.sweep import shown
from tests.stores import opensearch_kit as kit
from tests.support.command_manager import CommandManagerStandIn
from tests.support.faults import Effect, Fault
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure
from tests.support.opensearch_node import OpenSearchNode
from tests.support.records import comparable, named

INITIALISE, RECOVERY = (
    next(each for each in STORIES if each.name == name) for name in ("initialise", "recovery")
)


class Left(NamedTuple):
    """What is compared with an undisturbed world, in which only the names are others."""

    lines: list[bytes]
    state: dict[str, Any]


class NodePasses:
    """One consumer of its own on the node, ready for the pass that is spoilt."""

    def __init__(
        self,
        story: Story,
        node: OpenSearchNode,
        forks: Forks,
        folder: Path,
        feed: FeedSimulator,
        manager: CommandManagerStandIn,
    ) -> None:
        self._node = node
        self._forks = forks
        self._folder = folder
        self._passes = 0
        self.manager = manager
        self.feed = feed
        self.consumer = Consumer(
            feed.context, feed.consumer, f"wazuh-cve-{feed.context.removeprefix('context_')}"
        )
        if story.before is not None:
            story.before(feed)
            ended = self.run()
            assert ended.code == 0, ended.stderr
            manager.commands.clear()
        self.last_offset = story.then(feed)

    def run(self, fault: Fault | None = None) -> Ended:
        followed = {
            "context": self.consumer.context,
            "consumer": self.consumer.name,
            "index": self.consumer.index,
        }
        environ = {
            "HOME": str(self._folder),
            "CTISYNC_CTI__URL": self.feed.url,
            "CTISYNC_STORE__URL": self._node.url,
            "CTISYNC_STORE__FACTS_INDEX": "true",
            "CTISYNC_STATE_DIR": str(self._folder),
            "CTISYNC_COMMAND_MANAGER__URL": self.manager.url,
            "CTISYNC_CONSUMERS": msgspec.json.encode([followed]).decode(),
            **settings(self.feed),
        }
        self._passes += 1
        return self._forks.run(
            "sync", folder=self._folder, environ=environ, fault=fault, later=self._passes * LATER
        )

    def left(self) -> Left:
        with closing(kit.open_store(self._node)) as store:
            state = without_times(store.read_state(self.consumer))
            return Left(kit.lines(store, self.consumer), {**state, "stored_for": None})

    def facts(self) -> dict[str, Any]:
        """The documents that a dashboard finds."""
        reply = self._node.request("GET", f"/{self.consumer.index}-facts/_search?size=1000")
        return {hit["_id"]: hit["_source"] for hit in reply["hits"]["hits"]}

    def facts_of(self, lines: list[bytes]) -> dict[str, Any]:
        records = [
            Record(named(head), head["offset"], line) for line in lines for head in (json.loads(line),)
        ]
        return {record.name: json.loads(document_of(record)) for record in records}

    def wrong(self, undisturbed: Left) -> list[str]:
        problems = []
        left = self.left()
        content = expected(self.feed, self.last_offset, left.state["snapshot_offset"])
        if [comparable(line) for line in left.lines] != content or left.lines != undisturbed.lines:
            problems.append("the content is another one")
        if left.state != undisturbed.state:
            problems.append(f"the state is another one: {left.state} instead of {undisturbed.state}")
        of_indices = kit.aliases(self._node, self.consumer)
        aliases = sorted(sorted(of) for name, of in of_indices.items() if "-facts-" not in name)
        of_facts = [of for name, of in of_indices.items() if "-facts-" in name]
        if of_facts != [{f"{self.consumer.index}-facts"}] or self.facts() != self.facts_of(left.lines):
            problems.append(f"the facts index is another one: {of_facts}")
        if aliases not in ([[self.consumer.index]], [[], [self.consumer.index]]):
            problems.append(f"there are stray indices or aliases: {aliases}")
        if files := [path.name for path in self._folder.iterdir() if path.suffix != ".lock"]:
            problems.append(f"files are left: {files}")
        if str(self.last_offset) not in [command.offset for command in self.manager.commands]:
            problems.append(f"no command with offset {self.last_offset} was accepted")
        return problems


@contextmanager
def a_world(story: Story, node: OpenSearchNode, forks: Forks, folder: Path) -> Iterator[NodePasses]:
    token = uuid.uuid4().hex[:12]
    home = folder / token
    home.mkdir()
    with FeedSimulator(f"context_{token}", "vd_4.8.0") as feed, CommandManagerStandIn() as manager:
        yield NodePasses(story, node, forks, home, feed, manager)


def test_killed_after_any_kind_of_request_the_next_pass_ends_as_if_nothing_had_been(
    opensearch_2: OpenSearchNode, tmp_path: Path
) -> None:
    problems: list[str] = []
    kinds: set[str] = set()
    with Forks(tmp_path) as forks:
        for story in (RECOVERY, INITIALISE, PRIVATE):
            with a_world(story, opensearch_2, forks, tmp_path) as world:
                ended = world.run()
                assert ended.code == 0, ended.stderr
                undisturbed = world.left()
                assert not (wrong := world.wrong(undisturbed)), wrong
            for at, kind in new_kinds(ended.effects, kinds):
                with a_world(story, opensearch_2, forks, tmp_path) as world:
                    killed = world.run(Fault(at, "after", "kill"))
                    clean = world.run()
                    wrong = [] if killed.code == -signal.SIGKILL else [f"it ended with {killed.code}"]
                    wrong += (
                        [] if clean.code == 0 else [f"the next pass ends with {clean.code}: {clean.stderr}"]
                    )
                    wrong += world.wrong(undisturbed)
                    problems += [
                        f"{story.name}, killed after request {at} ({kind}): {what}" for what in wrong
                    ]
    assert not problems, shown(problems)
    figure(
        f"T1 OpenSearch, whole passes: {len(kinds)} kinds of request, each a real SIGKILL: "
        "0 lost, 0 doubled, 0 missed, 0 leftovers"
    )


def new_kinds(effects: tuple[Effect, ...], kinds: set[str]) -> Iterator[tuple[int, str]]:
    """The first request of each kind that is not known yet."""
    for at, effect in enumerate(effects, start=1):
        if effect.place == "node" and effect.name not in kinds:
            kinds.add(effect.name)
            yield at, effect.name
