"""`verify` as its users run it: exit codes, what is named, and that nothing is changed."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer
from ctisync.stores.sqlite.compression import register
from ctisync.system.clock import SystemClock
from ctisync.system.locks import host_lock, lock_beside
from ctisync.verify.audit import MOST_SHOWN
from tests.cli.conftest import Ctisync
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, zipped
from tests.support.printed_error import assert_two_lines
from tests.support.records import record

CONSUMER_KEYS = {"context", "consumer", "ok", "offset", "records", "checks", "counts", "findings"}


@pytest.fixture
def stored(ctisync: Ctisync, feed: FeedSimulator) -> FeedSimulator:
    """A content that has been initialised and updated."""
    churn(feed.history, 30)
    assert ctisync.run("sync", "-q").returncode == 0
    return feed


def plant(ctisync: Ctisync, *statements: str) -> None:
    with closing(sqlite3.connect(ctisync.database)) as connection, connection:
        register(connection)
        for statement in statements:
            connection.execute(statement)


def name_of(ctisync: Ctisync, record: int) -> str:
    with closing(sqlite3.connect(ctisync.database)) as connection:
        return str(connection.execute("SELECT name FROM records WHERE id = ?", (record,)).fetchone()[0])


def document(ctisync: Ctisync, *arguments: str, code: int = 0) -> dict[str, Any]:
    ended = ctisync.run("verify", "--json", *arguments)
    assert ended.returncode == code, ended.stderr
    (consumer,) = json.loads(ended.stdout)["consumers"]
    assert isinstance(consumer, dict)
    assert consumer.keys() == CONSUMER_KEYS
    return consumer


def snapshot_file(folder: Path, feed: FeedSimulator, offset: int) -> str:
    """A snapshot that somebody keeps, under the feed's kind of name."""
    path = folder / f"{offset}_1746459961.zip"
    path.write_bytes(zipped({"snapshot.json": b"\n".join(feed.expected_lines(offset))}))
    return str(path)


@pytest.mark.parametrize("arguments", [[], ["--deep"]])
def test_a_content_that_is_in_order_is_0_and_stays_as_it_is(
    ctisync: Ctisync, stored: FeedSimulator, arguments: list[str]
) -> None:
    before = ctisync.database.read_bytes()
    ended = ctisync.run("verify", *arguments)

    assert (ended.returncode, ended.stderr) == (0, "")
    checks = dict(line.split() for line in ended.stdout.splitlines() if line.startswith("  "))
    assert set(checks.values()) == {"ok"}
    assert ("deep" in checks) == ("--deep" in arguments)
    assert ctisync.database.read_bytes() == before


def test_a_deep_look_judges_by_the_limits_of_the_settings(ctisync: Ctisync) -> None:
    """Those with which the records were loaded, and with which updates will be applied."""
    deep = record("CVE-deep", 5, b'{"a":' + b"[" * 600 + b"]" * 600 + b"}")
    (ctisync.home / "10_1746459961.zip").write_bytes(zipped({"snapshot.json": deep.line}))
    ctisync.environ["CTISYNC_LIMITS__JSON_DEPTH"] = "700"
    assert ctisync.run("init-snapshot", "--from", "10_1746459961.zip", "-q").returncode == 0
    assert ctisync.run("verify", "--deep").returncode == 0
    ctisync.environ["CTISYNC_LIMITS__JSON_DEPTH"] = "600"
    (finding,) = document(ctisync, "--deep", code=9)["findings"]
    assert (finding["kind"], finding["subject"]) == ("payload-too-deep", "CVE-deep")
    assert finding["detail"] == "its nesting depth is above 601"


def test_with_q_cron_mails_nothing_of_a_good_run_and_only_what_differs_of_another(
    ctisync: Ctisync, stored: FeedSimulator
) -> None:
    for arguments in (
        [],
        ["--deep"],
        ["--against", snapshot_file(ctisync.home, stored, stored.history.last_offset)],
    ):
        good = ctisync.run("verify", "-q", *arguments)
        assert (good.returncode, good.stdout, good.stderr) == (0, "", ""), arguments
    name = name_of(ctisync, 1)
    plant(ctisync, "UPDATE records SET offset = 77777777 WHERE id = 1")

    bad = ctisync.run("verify", "-q")
    assert bad.returncode == 9
    assert f"{name}: " in bad.stdout
    assert not re.search(r" ok( |$)", bad.stdout, re.MULTILINE), bad.stdout


def test_nothing_stored_is_10_and_asks_for_nothing(ctisync: Ctisync, feed: FeedSimulator) -> None:
    for arguments in ([], ["--against", f"{feed.url}/1_1746459961.zip"]):
        ended = ctisync.run("verify", *arguments)
        assert ended.returncode == 10
        assert ended.stderr.splitlines()[1] == "  try: ctisync sync"
    assert feed.requests == []
    assert not ctisync.database.exists()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE records SET packed = substr(packed, 1, 100) WHERE id = 3", "record-unreadable"),
        (
            "UPDATE records SET packed = NULL, line = replace(ctisync_line(packed), 'pay', 'x') WHERE id = 3",
            "record-unreadable",
        ),
        ("UPDATE records SET offset = 100000 WHERE id = 3", "offset-too-high"),
        ("UPDATE records SET name = 'nobody' WHERE id = 3", "record-mislabelled"),
        ("INSERT INTO generations VALUES (77, 1, 20, 'link', 'then')", "generation-stray"),
        ("DROP VIEW content", "store-schema"),
        (
            """UPDATE consumers SET state = json_set(state, '$.owed', json('{"offset":1,"attempts":0}'))""",
            "command-wrong",
        ),
        ("UPDATE consumers SET state = json_set(state, '$.range_to', 3)", "state-wrong"),
    ],
)
@pytest.mark.usefixtures("stored")
def test_damage_is_9_and_is_named_for_people_and_for_programs(
    ctisync: Ctisync, statement: str, kind: str
) -> None:
    plant(ctisync, statement)
    ended = ctisync.run("verify")

    assert ended.returncode == 9
    assert kind in ended.stdout
    assert "differs: " in ended.stdout
    assert_two_lines(ended.stderr, "vd_1.0.0/vd_4.8.0: ", "")
    audit = document(ctisync, code=9)
    assert not audit["ok"]
    assert kind in audit["counts"]
    assert kind in {finding["kind"] for finding in audit["findings"]}
    assert next(check for check in audit["checks"] if not check["ok"])["to_do"]


@pytest.mark.usefixtures("stored")
def test_a_damaged_page_is_9(ctisync: Ctisync) -> None:
    with closing(sqlite3.connect(ctisync.database)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'records_by_name'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with ctisync.database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 100)

    assert "store-damaged" in document(ctisync, code=9)["counts"]


def test_many_findings_are_counted_and_some_are_shown(ctisync: Ctisync, stored: FeedSimulator) -> None:
    plant(ctisync, "UPDATE records SET offset = offset + 100000")
    count = len(stored.expected_lines())
    assert count > MOST_SHOWN
    audit = document(ctisync, code=9)

    assert audit["counts"]["offset-too-high"] == count
    shown = [each for each in audit["findings"] if each["kind"] == "offset-too-high"]
    assert len(shown) == MOST_SHOWN
    assert f"and {count - MOST_SHOWN} more" in ctisync.run("verify").stdout


def test_a_kept_snapshot_is_compared_whether_the_content_has_gone_on_or_not(
    ctisync: Ctisync, stored: FeedSimulator, tmp_path: Path
) -> None:
    last = stored.history.last_offset
    for offset in (last, last - 10):
        audit = document(ctisync, "--against", snapshot_file(tmp_path, stored, offset))
        assert audit["ok"]
        assert "against" in {check["check"] for check in audit["checks"]}


def test_a_changed_payload_shows_by_comparing_alone(
    ctisync: Ctisync, stored: FeedSimulator, tmp_path: Path
) -> None:
    plant(
        ctisync,
        "UPDATE records SET packed = NULL,"
        " line = json_set(ctisync_line(packed), '$.payload.planted', 1) WHERE id = 3",
    )
    assert document(ctisync, "--deep")["ok"]

    against = snapshot_file(tmp_path, stored, stored.history.last_offset)
    audit = document(ctisync, "--against", against, code=9)
    assert audit["counts"] == {"against-different": 1}
    assert [each["subject"] for each in audit["findings"]] == [name_of(ctisync, 3)]


def test_missing_extra_and_older_records_are_distinct_findings(
    ctisync: Ctisync, stored: FeedSimulator, tmp_path: Path
) -> None:
    plant(
        ctisync,
        "DELETE FROM records WHERE name = (SELECT min(name) FROM records)",
        "INSERT INTO records (generation, name, offset, line) SELECT generation, 'extra', 1,"
        """ '{"name":"extra","offset":1,"payload":{}}' FROM consumers""",
        "UPDATE records SET packed = NULL, offset = 1, line = json_set(ctisync_line(packed), '$.offset', 1)"
        " WHERE name = (SELECT max(name) FROM records WHERE name <> 'extra')",
    )
    against = snapshot_file(tmp_path, stored, stored.history.last_offset)

    counts = document(ctisync, "--against", against, code=9)["counts"]
    assert counts == {"against-missing": 1, "against-extra": 1, "against-older": 1}


def test_an_address_is_downloaded_compared_and_removed_beside_a_pass_that_is_running(
    ctisync: Ctisync, stored: FeedSimulator
) -> None:
    """It neither needs the pass's lock nor touches the part that the pass may be downloading."""
    stored.publish_snapshot()
    url = f"{stored.url}/{next(reversed(stored.files))}".replace("/api/v1/", "/")
    part = ctisync.database.with_name("ctisync.db.vd_1.0.0.vd_4.8.0-0123456789abcdef.part")
    part.write_bytes(b"half a snapshot")
    clock = SystemClock()
    with host_lock(lock_beside(ctisync.database, Consumer()), clock, "ctisync sync"):
        ended = ctisync.run("verify", "--against", url)

    assert ended.returncode == 0, ended.stderr
    assert "writer-at-work" in ended.stdout
    assert [path.name for path in ctisync.database.parent.glob("[!.]*.part")] == [part.name]


@pytest.mark.usefixtures("stored")
def test_the_lock_file_of_a_pass_that_was_killed_is_nobody_at_work(ctisync: Ctisync) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    holder = {"pid": ended.pid, "since": "2026-03-01T12:00:00+00:00", "command": "ctisync sync"}
    lock_beside(ctisync.database, Consumer()).write_text(json.dumps(holder))

    assert document(ctisync)["counts"] == {}


def test_a_snapshot_that_is_none_is_refused_by_its_name_and_nothing_is_judged(
    ctisync: Ctisync, stored: FeedSimulator, tmp_path: Path
) -> None:
    damaged = Path(snapshot_file(tmp_path, stored, stored.history.last_offset))
    damaged.write_bytes(damaged.read_bytes()[:-200])
    ended = ctisync.run("verify", "--against", str(damaged))
    assert (ended.returncode, ended.stdout) == (6, "")
    assert damaged.name in ended.stderr
    assert "--against" in ended.stderr

    ended = ctisync.run("verify", "--against", str(tmp_path / "none.zip"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "pass a readable file or an address to --against" in ended.stderr


TWO = json.dumps([{"context": "vd_1.0.0", "consumer": name, "index": name} for name in ("one", "two")])


def test_each_consumer_is_audited_but_only_one_can_be_compared(ctisync: Ctisync) -> None:
    ended = ctisync.run("verify", "--json", CTISYNC_CONSUMERS=TWO)
    assert ended.returncode == 10
    assert [each["consumer"] for each in json.loads(ended.stdout)["consumers"]] == ["one", "two"]

    ended = ctisync.run("verify", "--against", "x.zip", CTISYNC_CONSUMERS=TWO)
    assert ended.returncode == 2
    assert "--consumer" in ended.stderr


@pytest.mark.usefixtures("stored")
def test_a_content_that_differs_counts_more_than_one_that_is_not_there(ctisync: Ctisync) -> None:
    plant(ctisync, "UPDATE records SET offset = 100000 WHERE id = 3")
    both = [{"consumer": "none-yet", "index": "none-yet"}, {"consumer": "vd_4.8.0"}]
    for consumers in (both, both[::-1]):
        ended = ctisync.run("verify", CTISYNC_CONSUMERS=json.dumps(consumers))
        assert ended.returncode == 9
        assert "vd_1.0.0/vd_4.8.0: 2 differences" in ended.stderr
        assert "vd_1.0.0/none-yet  no content yet" in ended.stdout


@pytest.mark.usefixtures("stored")
def test_other_settings_are_a_note_and_no_difference(ctisync: Ctisync) -> None:
    narrower = json.dumps([{"resources": ["CVE-20*"]}])
    ended = ctisync.run("verify", CTISYNC_CONSUMERS=narrower)

    assert ended.returncode == 0
    assert "settings-differ" in ended.stdout


@pytest.mark.usefixtures("stored")
def test_a_state_that_cannot_be_read_is_7(ctisync: Ctisync) -> None:
    plant(ctisync, "UPDATE consumers SET state = '{'")
    ended = ctisync.run("verify")

    assert (ended.returncode, ended.stdout) == (7, "")


@pytest.mark.usefixtures("stored")
def test_a_consumer_that_cannot_be_audited_hides_no_finding_about_another(ctisync: Ctisync) -> None:
    plant(ctisync, "UPDATE records SET offset = 100000 WHERE id = 3")
    plant(ctisync, "INSERT INTO consumers (context, name, state) VALUES ('vd_1.0.0', 'damaged', '{')")
    both = [{"consumer": "damaged", "index": "damaged"}, {"consumer": "vd_4.8.0"}]
    for consumers in (both, both[::-1]):
        ended = ctisync.run("verify", CTISYNC_CONSUMERS=json.dumps(consumers))
        assert ended.returncode == 7
        assert "is damaged: the state of vd_1.0.0/damaged cannot be read" in ended.stderr
        assert "vd_1.0.0/vd_4.8.0" in ended.stdout
        assert "record-mislabelled   CVE-2002-10002" in ended.stdout
