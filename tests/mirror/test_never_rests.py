"""A publisher that never rests, and readers beside it, each in its own process."""

import io
import zipfile
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ctisync.core.manifest import HEAD
from ctisync.errors import CtisyncError, FeedUnreachable
from ctisync.settings.model import MirrorSettings
from tests.mirror.parts import CONSUMER, Content, Mirror, read_all, reader_of
from tests.support.feed_history import History
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure
from tests.two_writers.processes import FORKS, PATIENCE

READERS: Final = 8
PUBLICATIONS: Final = 24
FIRST: Final = 1000


class Reading(NamedTuple):
    """What a reader has met: how many reads and states, how often a file was pruned meanwhile, what was
    wrong, and the last offset of all."""

    reads: int
    states: int
    pruned: int
    wrong: list[str]
    last_offset: int


def grow(history: History, changes: int) -> None:
    """A record for each offset: so a reader can tell what must be there."""
    for _ in range(changes):
        offset = history.last_offset + 1
        history.create(f"CVE-{offset}", {"n": offset})


def faults_of(content: Content) -> list[str]:
    """What is not of one and the same state."""
    info, changes, snapshot = content
    assert info.mirror is not None
    assert info.last_offset is not None
    assert info.snapshot is not None
    faults = []
    begin = max(info.mirror.floor, FIRST)
    if [change.offset for change in changes] != list(range(begin + 1, info.last_offset + 1)):
        faults.append(f"changes of ({begin}, {info.last_offset}] are missing")
    if any(change.payload != {"n": change.offset} for change in changes):
        faults.append("a change is of another offset")
    with zipfile.ZipFile(io.BytesIO(snapshot)) as archive:
        lines = archive.read(archive.namelist()[0]).splitlines()
    if {msgspec.json.decode(line)["offset"] for line in lines} != set(
        range(FIRST + 1, info.snapshot.offset + 1)
    ):
        faults.append(f"the snapshot is not the one of offset {info.snapshot.offset}")
    return faults


def read_until(home: Path, number: int, ends: Event, its: Connection) -> None:
    """The work of one reader: a read, then more of them until the publisher has ended, then a last one."""
    reads, states, pruned, last, wrong = 0, set(), 0, 0, []
    head, is_last = home / "mirror" / str(CONSUMER) / HEAD, False
    while not is_last:
        is_last = ends.is_set()
        before = head.read_bytes()
        try:
            content = read_all(reader_of(home / f"reader-{number}", home / "mirror"))
        except FeedUnreachable as error:  # pruned a day after it was named, which is a second here
            if head.read_bytes() == before:
                wrong.append(f"the head names a file that is not there: {error}")
            pruned, is_last = pruned + 1, False
            continue
        except CtisyncError as error:
            wrong.append(str(error))
            continue
        offset = content[0].last_offset or 0
        wrong += faults_of(content)
        if offset < last:
            wrong.append(f"offset {offset} after {last}")
        reads, last = reads + 1, offset
        states.add(offset)
        if reads == 1:
            its.send("begun")
    its.send(Reading(reads, len(states), pruned, wrong, last))


def test_eight_readers_of_a_publisher_that_never_rests_see_one_state_each_time(tmp_path: Path) -> None:
    with FeedSimulator() as feed:
        grow(feed.history, 20)
        feed.publish_snapshot()
        mirror = Mirror(tmp_path, feed)
        mirror.settings = MirrorSettings(snapshot_age=0.0, keep_snapshots=1, keep_changes=0.0)
        mirror.publish()
        ends, pipes, processes = FORKS.Event(), [], []
        for number in range(READERS):
            pipe, its = FORKS.Pipe(duplex=False)
            processes.append(FORKS.Process(target=read_until, args=(tmp_path, number, ends, its)))
            processes[-1].start()
            pipes.append(pipe)
        try:
            for pipe in pipes:
                assert pipe.poll(PATIENCE)
                pipe.recv()
            removed, before = 0, {path.name for path in mirror.place.iterdir()}
            for number in range(PUBLICATIONS):
                grow(feed.history, 70)
                if number % 3 == 0:
                    feed.publish_snapshot()
                mirror.clock.advance(hours=8)
                mirror.publish()
                after = {path.name for path in mirror.place.iterdir()}
                removed += len(before - after)
                before = after
            ends.set()
            for pipe in pipes:
                assert pipe.poll(PATIENCE)
            readings: list[Reading] = [pipe.recv() for pipe in pipes]
        finally:
            for process in processes:
                process.kill()
                process.join()
    figure(
        f"mirror: {PUBLICATIONS} publications beside {READERS} readers: "
        f"{sum(each.reads for each in readings)} reads of {sum(each.states for each in readings)} states, "
        f"{sum(each.pruned for each in readings)} met a pruned file, "
        f"{sum(len(each.wrong) for each in readings)} mismatches"
    )
    assert removed > PUBLICATIONS, "files were pruned meanwhile"
    assert [each.wrong for each in readings] == [[]] * READERS
    assert {each.last_offset for each in readings} == {feed.history.last_offset}
    assert sum(each.states for each in readings) > READERS
