"""T7 on a real OpenSearch: a refusal of each class leaves the index as it is, and the store names what it
refuses by itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.cli.conftest import Ctisync
from tests.feed.crafted_zip import MEMBER
from tests.hostile import archives, lines
from tests.hostile.assertions import Refused, in_order
from tests.hostile.in_use import UNIX_TIME
from tests.real.followed import Followed
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_history import populate
from tests.support.feed_simulator import FeedSimulator, zipped
from tests.support.figures import figure
from tests.support.opensearch_node import OpenSearchNode
from tests.support.printed_error import assert_error

INDEX: Final = "hostile-cve"
SNAPSHOT: Final = zipped({MEMBER: archives.CONTENT})


def among(hostile: bytes) -> bytes:
    return zipped({MEMBER: lines.ndjson([*lines.GOOD[:30], hostile])})


CLASSES: Final = {
    "an archive that is cut": Refused("no usable directory", SNAPSHOT[:-30]),
    "an archive without a snapshot": archives.REFUSED["an archive of a readme"],
    "a CRC that is wrong": archives.REFUSED["a CRC that is wrong"],
    "a web page": archives.REFUSED["a web page"],
    "a line that is no JSON": Refused("line 31 .*not JSON", among(b'{"name":')),
    "a line that is no UTF-8": Refused("line 31 .*not UTF-8", among(lines.value(b'"\xff"'))),
    "a line that is no record": Refused("line 31 .*513 bytes", among(lines.named("x" * 513))),
    "an offset above the snapshot's own": Refused("line 31 .*above", among(lines.of(offset=b"2000"))),
    "an array that is cut": Refused("JSON array .*truncated", lines.array(lines.GOOD)[:-1]),
}

BY_THE_STORE: Final = {
    "a key twice": Refused(
        "HOSTILE .*Duplicate field", among(lines.KEY_TWICE["a key twice in an object of the payload"])
    ),
    "two names": Refused("HOSTILE .*Duplicate field", among(lines.KEY_TWICE["two names"])),
    "an integer of 5,000 digits": Refused(
        "HOSTILE .*Number value length", among(lines.UNREADABLE["an integer of 5,000 digits"])
    ),
    "a fraction of 5,000 digits": Refused(
        "HOSTILE .*Number value length", among(lines.value(b"0." + b"9" * 5000))
    ),
}


@pytest.fixture(scope="module")
def followed(opensearch_2: OpenSearchNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Followed]:
    """A content in use."""
    opensearch_2.wipe()
    with FeedSimulator() as feed, CommandManagerStandIn() as manager:
        populate(feed.history, 12)
        feed.publish_snapshot()
        ctisync = Ctisync(tmp_path_factory.mktemp("followed"))
        ctisync.environ |= {
            "CTISYNC_CTI__URL": feed.url,
            "CTISYNC_CONSUMERS": json.dumps([{"index": INDEX}]),
            "CTISYNC_STORE__URL": opensearch_2.url,
            "CTISYNC_COMMAND_MANAGER__URL": manager.url,
        }
        followed = Followed(ctisync, feed, manager)
        followed.assert_in_step()
        yield followed


def snapshot_file(followed: Followed, content: bytes) -> Path:
    path = followed.ctisync.home / f"{followed.feed.history.last_offset}_{UNIX_TIME}.zip"
    path.write_bytes(content)
    return path


class Stored(NamedTuple):
    """What readers find, to the version of each document; the public state; the names of all indices."""

    content: list[object]
    offset: int
    indices: frozenset[str]


def stored(node: OpenSearchNode) -> Stored:
    query = {"size": 100, "sort": ["offset"], "version": True, "seq_no_primary_term": True}
    hits = node.request("POST", f"/{INDEX}/_search", query)["hits"]["hits"]
    state = node.request("GET", "/wazuh-context/_doc/vd_1.0.0")["_source"]["vd_4.8.0"]
    return Stored(hits, state["offset"], frozenset(node.request("GET", "/_all")))


@pytest.mark.parametrize("row", [*CLASSES, *BY_THE_STORE])
def test_the_index_stays_as_it_is_when_there_comes(
    followed: Followed, opensearch_2: OpenSearchNode, row: str
) -> None:
    """Exit code 6 for what the load sees, 7 for what OpenSearch alone refuses: both name the thing."""
    before, commands = stored(opensearch_2), len(followed.manager.commands)
    code = 6 if row in CLASSES else 7
    words, content = CLASSES[row] if row in CLASSES else BY_THE_STORE[row]

    ended = followed.run("init-snapshot", "-q", "--from", str(snapshot_file(followed, content)))

    assert ended.returncode == code, ended.stderr
    assert_error(
        ended.stderr, words, "ctisync init-snapshot" if code == 7 else "pass a complete snapshot to --from"
    )
    assert stored(opensearch_2) == before
    assert len(followed.manager.commands) == commands


def test_after_all_of_them_the_content_is_exported_to_the_byte_and_a_good_snapshot_is_loaded(
    followed: Followed,
) -> None:
    exported = followed.run("export").stdout.encode().splitlines()
    assert exported == followed.feed.expected_lines()
    populate(followed.feed.history, 3, first=7000)
    followed.feed.publish_snapshot()
    assert followed.run("init-snapshot", "-q").returncode == 0
    followed.assert_in_step()
    figure(
        f"T7 on OpenSearch: {len(CLASSES)} classes of refusal with 6, {len(BY_THE_STORE)} lines that the "
        "store itself refuses with 7: documents, indices and offset unchanged"
    )


def test_lines_that_careless_programs_alter_are_kept_to_the_byte(followed: Followed) -> None:
    """But for numbers of more than a thousand digits, which OpenSearch does not take."""
    kept = [line for line in lines.KEPT if b"9" * 1001 not in line] + [lines.DEEPEST]
    assert len(kept) == len(lines.KEPT)
    ended = followed.run("init-snapshot", "-q", "--from", str(snapshot_file(followed, lines.ndjson(kept))))
    assert ended.returncode == 0, ended.stderr
    path = followed.ctisync.home / "exported"
    assert followed.run("export", "--output", str(path)).returncode == 0
    assert path.read_bytes().splitlines() == [*in_order(kept)]


def test_an_exponent_beyond_all_bounds_is_stored_and_named_by_verify_deep(followed: Followed) -> None:
    line = lines.UNREADABLE["an exponent of 20 digits"]
    ended = followed.run("init-snapshot", "-q", "--from", str(snapshot_file(followed, among(line))))
    assert ended.returncode == 0, ended.stderr
    assert followed.run("verify").returncode == 0
    deep = followed.run("verify", "--deep")
    assert deep.returncode == 9
    assert "payload-unreadable   HOSTILE: " in deep.stdout
