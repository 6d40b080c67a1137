"""A publisher that is killed, or meets an error of the disk, at each of its effects: readers have the last
state or the next one, signed, and the next pass publishes what an undisturbed one would have."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ctisync.core.trust import Trust
from tests.crash.passes import Ended, Forks
from tests.mirror.parts import CONSUMER, MINISIGN, PUBLIC, Content, Mirror, read_all
from tests.support.faults import Effect, Fault
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator

LATER = 86_400.0 * 3
KEY = MINISIGN / "plain.key"


class Publishers:
    """`mirror` has published once; each pass here begins with that, and finds more."""

    def __init__(self, home: Path, forks: Forks, feed: FeedSimulator) -> None:
        self.feed = feed
        self.url = feed.url
        self.options = [f"--sign-key={KEY}"]
        self.mirror = Mirror(home, feed)
        self._begun = home / "begun"
        self._forks = forks
        self.publish(None, later=0)
        self.before = self.read()
        self.mirror.root.rename(self._begun)
        churn(feed.history, 1500, seed=2)
        feed.publish_snapshot()

    def begin(self) -> None:
        shutil.rmtree(self.mirror.root, ignore_errors=True)
        shutil.copytree(self._begun, self.mirror.root)

    def publish(self, fault: Fault | None, later: float = LATER) -> Ended:
        environ = {
            "HOME": str(self.mirror.home),
            "CTISYNC_CTI__URL": self.url,
            "CTISYNC_MIRROR__SNAPSHOT_AGE": "0",
            "CTISYNC_MIRROR__KEEP_SNAPSHOTS": "1",
            "CTISYNC_CTI__RETRY_BUDGET": "1",
        }
        return self._forks.run(
            "mirror",
            str(self.mirror.root),
            *self.options,
            folder=self.mirror.home,
            environ=environ,
            fault=fault,
            later=later,
        )

    def read(self) -> Content:
        return read_all(self.mirror.reader(trust=Trust((PUBLIC,))))


@pytest.fixture
def publishers(tmp_path: Path) -> Iterator[Publishers]:
    results = tmp_path / "results"
    results.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    with Forks(results) as forks, FeedSimulator() as feed:
        populate(feed.history, 10)
        feed.publish_snapshot()
        churn(feed.history, 900)
        yield Publishers(home, forks, feed)


@pytest.fixture
def copiers(publishers: Publishers) -> Publishers:
    """The same, whose feed is another mirror, which has published what is new."""
    source = publishers.mirror.home / "source"
    publishers.begin()
    assert publishers.publish(None).code == 0
    publishers.mirror.root.rename(source)
    publishers.url, publishers.options = source.as_uri(), []
    return publishers


def undisturbed(publishers: Publishers) -> tuple[Sequence[Effect], Content]:
    publishers.begin()
    ended = publishers.publish(None)
    assert ended.code == 0, ended.stderr
    after = publishers.read()
    assert after != publishers.before
    names = [effect.name for effect in ended.effects if effect.place == "files"]
    assert names.count("fsync folder") >= 5
    return ended.effects, after


@pytest.mark.timeout(600)
@pytest.mark.parametrize("of", ["publishers", "copiers"])
def test_killed_at_each_effect_the_folder_serves_and_the_next_pass_goes_on(
    of: str, request: pytest.FixtureRequest
) -> None:
    publishers: Publishers = request.getfixturevalue(of)
    effects, after = undisturbed(publishers)
    for at in range(1, len(effects) + 1):
        publishers.begin()
        assert publishers.publish(Fault(at, "before", "kill")).code < 0
        content = publishers.read()
        assert content[1:] in (publishers.before[1:], after[1:]), effects[at - 1]
        ended = publishers.publish(None)
        assert ended.code == 0, (effects[at - 1], ended.stderr)
        assert publishers.read()[1:] == after[1:], effects[at - 1]


@pytest.mark.timeout(600)
def test_with_an_error_at_each_effect_of_the_disk_the_folder_serves_and_the_next_pass_goes_on(
    publishers: Publishers,
) -> None:
    effects, after = undisturbed(publishers)
    codes = set()
    for at, effect in enumerate(effects, 1):
        if effect.place != "files":
            continue
        for how in ("EIO", "ENOSPC"):
            publishers.begin()
            ended = publishers.publish(Fault(at, "before", how))
            assert "a bug in ctisync" not in ended.stderr, (effect, ended.stderr)
            codes.add(ended.code)
            assert publishers.read()[1:] in (publishers.before[1:], after[1:]), effect
            assert publishers.publish(None).code == 0, effect
            assert publishers.read()[1:] == after[1:], effect
    assert codes <= {0, 7}
    assert 7 in codes
    assert list((publishers.mirror.root / str(CONSUMER)).glob("*.part")) == []
