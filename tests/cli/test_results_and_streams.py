"""Results go to standard output, all else to standard error; and what `status` and `export` give."""

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ctisync import __version__
from tests.cli.conftest import CONSUMER_KEYS, Ctisync
from tests.support import records
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator, unused_port, zipped


def status(ctisync: Ctisync, *arguments: str) -> dict[str, Any]:
    ended = ctisync.run("status", "--json", *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    (consumer,) = json.loads(ended.stdout)["consumers"]
    assert isinstance(consumer, dict)
    return consumer


def lines(text: str) -> list[Any]:
    return [records.comparable(line) for line in text.encode().splitlines()]


def test_the_version_is_a_result(ctisync: Ctisync) -> None:
    ended = ctisync.run("--version")

    first, *others = ended.stdout.splitlines()
    assert first == f"ctisync {__version__}"
    assert [line.split()[0] for line in others[:2]] == ["Python", "SQLite"]
    assert ended.stderr == ""


@pytest.mark.usefixtures("feed")
def test_a_good_quiet_pass_prints_nothing_at_all(ctisync: Ctisync) -> None:
    ended = ctisync.run("sync", "-q")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_quiet_pass_that_has_healed_what_it_met_wakes_nobody(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    feed.history.poison(feed.history.names()[0])
    feed.publish_snapshot()
    healed = ctisync.run("sync", "-q")
    assert (healed.returncode, healed.stdout, healed.stderr) == (0, "", "")
    (newest, _) = json.loads(ctisync.run("history", "--json").stdout)["consumers"][0]["passes"]
    assert newest["initialisations"] == 1
    feed.history.poison(feed.history.names()[0])
    blocked = ctisync.run("sync", "-q")
    assert blocked.returncode == 6
    assert "warning change-failed" in blocked.stderr


@pytest.mark.usefixtures("feed")
def test_a_pass_logs_on_standard_error_what_was_decided_and_why(ctisync: Ctisync) -> None:
    ended = ctisync.run("sync")

    assert ended.stdout == ""
    assert re.search(r"info +initialise .*why=", ended.stderr)
    assert re.search(r"info +initialised .*records=20", ended.stderr)
    assert "\x1b" not in ended.stderr
    assert "\r" not in ended.stderr


def test_all_formats_show_the_same_events(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    lines = {}
    for log_format in ("text", "json", "journal"):
        churn(feed.history, 3)
        lines[log_format] = ctisync.run("sync", "--log-format", log_format).stderr.splitlines()

    events = [json.loads(line)["event"] for line in lines["json"]]
    assert events
    assert events == [re.split(" +", line)[2] for line in lines["text"]]
    assert events == [re.split("[> ]", line)[1] for line in lines["journal"]]


def test_an_error_in_json_is_json_too(ctisync: Ctisync) -> None:
    ended = ctisync.run("export", "--log-format", "json")

    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["hint"] == "ctisync sync"


def test_a_traceback_is_there_with_v_and_only_then(ctisync: Ctisync) -> None:
    assert "Traceback" not in ctisync.run("export").stderr
    assert "Traceback" in ctisync.run("export", "-v").stderr


@pytest.mark.parametrize("log_format", ["text", "json", "journal"])
def test_no_secret_is_in_any_output_or_file(ctisync: Ctisync, feed: FeedSimulator, log_format: str) -> None:
    feed.required_token = "another"
    ctisync.environ |= {
        "CTISYNC_CTI__TOKEN": "canary-token",
        "CTISYNC_STORE__USERNAME": "me",
        "CTISYNC_COMMAND_MANAGER__USERNAME": "me",
        "CTISYNC_STORE__PASSWORD": "canary-password",
        "CTISYNC_COMMAND_MANAGER__PASSWORD": "canary-command",
    }
    refused = ctisync.run("sync", "-v", "--log-format", log_format)
    feed.required_token = "canary-token"
    done = ctisync.run("sync", "-v", "--log-format", log_format)

    assert (refused.returncode, done.returncode) == (3, 0)
    for ended in (refused, done, ctisync.run("status", "-v"), ctisync.run("status", "--json", "-v")):
        assert "canary" not in ended.stdout + ended.stderr
    for path in ctisync.home.rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes(), path


def test_status_on_nothing_says_so_and_creates_no_file(ctisync: Ctisync) -> None:
    consumer = status(ctisync)

    assert consumer.keys() == CONSUMER_KEYS
    assert (consumer["phase"], consumer["offset"]) == ("empty", 0)
    unknown = CONSUMER_KEYS - {"context", "consumer", "phase", "offset"}
    assert {consumer[key] for key in unknown} == {None}
    table = ctisync.run("status")
    assert table.returncode == 0
    assert "ctisync sync" in table.stdout
    assert list(ctisync.home.iterdir()) == []


def test_status_in_json_is_the_contracts(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")

    document = json.loads(ctisync.run("status", "--json").stdout)
    consumer = document["consumers"][0]

    assert document["store"] == f"sqlite:///{ctisync.database}"
    assert document.keys() == {"store", "consumers", "not_configured", "refuses_writes"}
    assert document["refuses_writes"] == []
    assert consumer.keys() == CONSUMER_KEYS
    for key in ("checked_at", "tried_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", consumer.pop(key))
    last = feed.history.last_offset
    assert consumer == {
        "context": "vd_1.0.0",
        "consumer": "vd_4.8.0",
        "phase": "ready",
        "offset": last,
        "facts_offset": None,
        "last_offset": last,
        "behind": 0,
        "last_snapshot_link": feed.info.get("last_snapshot_link", consumer["last_snapshot_link"]),
        "snapshot_offset": last,
        "records": 20,
        "pending_command": None,
        "accepted": None,
        "blocked_by": None,
        "asked_at": None,
        "occupant": None,
        "at_work": None,
        "last_failure": None,
        "alias_moved": None,
        "error": None,
    }


def test_status_shows_an_owed_command_with_its_offset_as_a_string(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q", CTISYNC_COMMAND_MANAGER__URL=f"http://127.0.0.1:{unused_port()}")

    owed = status(ctisync)["pending_command"]
    assert owed["offset"] == str(feed.history.last_offset)
    assert owed["attempts"] >= 1
    assert "command owed" in ctisync.run("status").stdout
    checked = ctisync.run("status", "--check")
    assert checked.returncode == 1
    assert checked.stdout.startswith("CTISYNC WARNING - vd_1.0.0/vd_4.8.0: the command for offset")


def test_status_remote_asks_the_feed_and_remembers_nothing(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    feed.history.gap(7)

    assert status(ctisync, "--remote")["behind"] == 7
    assert status(ctisync)["behind"] == 0
    assert "7 behind" in ctisync.run("status", "--remote").stdout


@pytest.mark.usefixtures("feed")
def test_status_check_follows_the_convention_of_monitoring(ctisync: Ctisync) -> None:
    empty = ctisync.run("status", "--check")
    assert (empty.returncode, empty.stdout.split(" - ")[0]) == (2, "CTISYNC CRITICAL")

    ctisync.run("sync", "-q")
    good = ctisync.run("status", "--check")
    assert good.returncode == 0
    assert re.fullmatch(
        r"CTISYNC OK - vd_1\.0\.0/vd_4\.8\.0: offset \d+, none behind \| "
        r"'vd_1\.0\.0/vd_4\.8\.0 behind'=0 '\S+ records'=20 '\S+ age'=\d+s;86400 '\S+ checked_age'=\d+s\n",
        good.stdout,
    )

    for wrong in (
        {"CTISYNC_STORE__URL": f"http://127.0.0.1:{unused_port()}"},
        {"CTISYNC_STORE__URL": "nonsense"},
    ):
        unknown = ctisync.run("status", "--check", **wrong)
        assert (unknown.returncode, unknown.stdout.split(" - ")[0]) == (3, "CTISYNC UNKNOWN")
        assert unknown.stdout.count("\n") == 1


def test_export_gives_the_records_sorted_by_name(ctisync: Ctisync, feed: FeedSimulator) -> None:
    churn(feed.history, 100)
    ctisync.run("sync", "-q")

    ended = ctisync.run("export")

    assert lines(ended.stdout) == [records.comparable(line) for line in feed.expected_lines()]
    assert "\x1b" not in ended.stderr


def test_export_to_a_file_takes_the_place_of_a_link_at_once_and_leaves_nothing_beside_it(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q")
    pointed_at, file = ctisync.home / "other.ndjson", ctisync.home / "out" / "cve.ndjson"
    file.parent.mkdir()
    pointed_at.write_text("another's")
    file.symlink_to(pointed_at)

    ended = ctisync.run("export", "-q", "--output", str(file))

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert not file.is_symlink()
    assert lines(file.read_text()) == [records.comparable(line) for line in feed.expected_lines()]
    assert list(file.parent.iterdir()) == [file]
    assert pointed_at.read_text() == "another's"


def test_an_export_that_fails_leaves_the_old_file_alone(ctisync: Ctisync) -> None:
    (ctisync.home / "cve.ndjson").write_text("old")

    assert ctisync.run("export", "--output", "cve.ndjson").returncode == 10
    assert (ctisync.home / "cve.ndjson").read_text() == "old"
    assert [path.name for path in ctisync.home.iterdir()] == ["cve.ndjson"]


@pytest.mark.usefixtures("feed")
def test_export_to_a_device_writes_to_it_and_does_not_replace_it(ctisync: Ctisync) -> None:
    ctisync.run("sync", "-q")

    assert ctisync.run("export", "--output", "/dev/null").returncode == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert ctisync.run("export", "--output", "/dev/stdout").stdout.count("\n") == 20


@pytest.mark.usefixtures("feed")
def test_an_export_that_cannot_be_written_is_an_error(ctisync: Ctisync) -> None:
    ctisync.run("sync", "-q")

    for target in ("/no/such/folder/x", "/dev/full"):
        ended = ctisync.run("export", "--output", target)
        assert ended.returncode == 2
        assert f"cannot write to {target}" in ended.stderr
    with Path("/dev/full").open("wb") as full:
        running = ctisync.start("export", stdout=full)
        _, stderr = running.communicate(timeout=120)
    assert running.returncode == 2
    assert b"cannot write to standard output: No space left" in stderr


@pytest.mark.parametrize("command", [["--version"], ["status"], ["status", "--json"]])
def test_a_result_that_cannot_be_written_is_an_error(ctisync: Ctisync, command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        running = ctisync.start(*command, stdout=full)
        _, stderr = running.communicate(timeout=120)

    assert running.returncode == 2
    message, _, hint = stderr.partition(b"\n")
    assert message == b"ctisync: cannot write to standard output: No space left on device"
    assert hint == b"  try: redirect it to a disk with free space\n"


@pytest.mark.usefixtures("feed")
def test_a_pass_does_its_work_with_all_streams_closed(ctisync: Ctisync) -> None:
    program = 'exec "$@" <&- >&- 2>&-'
    subprocess.run(
        ["/bin/sh", "-c", program, "sh", *ctisync.command("sync")],
        env=ctisync.environ,
        check=True,
        timeout=60,
    )

    assert status(ctisync)["phase"] == "ready"


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_an_export_to_a_closed_output_is_discarded(
    ctisync: Ctisync, feed: FeedSimulator, closed: str
) -> None:
    """The first file that is opened then gets the number of the closed stream."""
    feed.history.create("CVE-1999-1", records.payload(1))
    ctisync.run("sync", "-q")
    program = f'exec "$@" {closed}'
    subprocess.run(
        ["/bin/sh", "-c", program, "sh", *ctisync.command("export")],
        env=ctisync.environ,
        check=True,
        timeout=60,
    )


def test_export_ends_quietly_when_its_reader_goes_away(ctisync: Ctisync, feed: FeedSimulator) -> None:
    for number in range(200):
        feed.history.create(f"CVE-1999-{number}", records.payload(number))
    ctisync.run("sync", "-q")

    running = ctisync.start("export")
    assert running.stdout is not None
    running.stdout.read(10)
    running.stdout.close()
    assert running.stderr is not None
    stderr = running.stderr.read()

    assert running.wait(120) == 0
    assert stderr == b""
    running.stderr.close()


def test_a_snapshot_file_is_loaded_without_a_request_to_the_feed(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    content = b"".join(line + b"\n" for line in records.sample_lines())
    highest = max(json.loads(line)["offset"] for line in records.sample_lines())
    (ctisync.home / "plain.ndjson").write_bytes(content)
    (ctisync.home / "a.zip").write_bytes(
        zipped({f"vd_1.0.0_vd_4.8.0_{highest + 5}_1746459961.json": content})
    )
    expected = sorted(lines(content.decode()), key=lambda record: str(record["name"]).encode())

    for arguments, offset, warned in (
        (["plain.ndjson"], highest, True),
        (["plain.ndjson", "--offset", str(highest + 3)], highest + 3, False),
        (["a.zip"], highest + 5, False),
    ):
        ended = ctisync.run("init-snapshot", "--from", *arguments)
        assert ended.returncode == 0, ended.stderr
        assert ("offset-guessed" in ended.stderr) == warned
        assert status(ctisync)["offset"] == offset
        assert lines(ctisync.run("export").stdout) == expected
    assert feed.requests == []
    assert (ctisync.home / "a.zip").exists()


def test_a_snapshot_at_an_address_is_fetched_and_loaded(ctisync: Ctisync, feed: FeedSimulator) -> None:
    link = feed.publish_snapshot()

    ended = ctisync.run("init-snapshot", "-q", "--from", link)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert status(ctisync)["offset"] == feed.history.last_offset
    assert {request.kind for request in feed.requests} == {"snapshot"}


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"[]", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_snapshot_is_refused_and_kept(ctisync: Ctisync, content: bytes) -> None:
    (ctisync.home / "bad").write_bytes(content)

    ended = ctisync.run("init-snapshot", "-q", "--from", "bad")

    assert ended.returncode == 6, ended.stderr
    assert len(ended.stderr.splitlines()) <= 2
    assert (ctisync.home / "bad").read_bytes() == content
    assert status(ctisync)["phase"] == "empty"


def test_settings_come_from_the_file_that_is_named(ctisync: Ctisync, feed: FeedSimulator) -> None:
    (ctisync.home / "data").mkdir()
    (ctisync.home / "my.toml").write_text(
        f'[cti]\nurl = "{feed.url}"\n[store]\nurl = "sqlite:///data/my.db"\n'
        '[[consumers]]\nresources = ["CVE-20?1-*"]\n'
    )
    del ctisync.environ["CTISYNC_CTI__URL"]

    assert ctisync.run("sync", "-q", "--config", "my.toml").returncode == 0

    names = [
        json.loads(line)["name"] for line in ctisync.run("export", "--config", "my.toml").stdout.splitlines()
    ]
    assert names
    assert all(re.match(r"CVE-20.1-", name) for name in names)
    assert (ctisync.home / "data" / "my.db").exists()
    assert not ctisync.database.exists()


@pytest.mark.usefixtures("feed")
def test_what_ctisync_keeps_is_for_its_user_only(ctisync: Ctisync) -> None:
    running = ctisync.start("sync", "-q", umask=0, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    running.wait(120)

    assert stat.S_IMODE(ctisync.database.parent.stat().st_mode) == 0o700
    for path in ctisync.database.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:surrogateescape"])
def test_a_stream_that_cannot_hold_a_character_gets_its_escape(
    ctisync: Ctisync, feed: FeedSimulator, encoding: str
) -> None:
    title = "Zürich 日本 \U0001f600"
    feed.history.create("CVE-2026-9", {"containers": {"cna": {"title": title}}})
    feed.publish_snapshot()
    ctisync.environ["PYTHONIOENCODING"] = encoding

    assert ctisync.run("sync", "-q").returncode == 0
    shown = ctisync.run("show", "CVE-2026-9", "--json")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(shown.stdout)["payload"]["containers"]["cna"]["title"] == title
    refused = ctisync.run("show", "日本")
    assert refused.returncode == 2
    assert "has no record" in refused.stderr


def test_a_file_whose_name_is_no_text_can_be_named(ctisync: Ctisync) -> None:
    for stream in ("utf-8:surrogateescape", "ascii:strict"):
        ended = ctisync.run("init-snapshot", "--from", "\udc9b2J\udcff.zip", PYTHONIOENCODING=stream)
        assert ended.returncode == 2
        assert "\\udc9b2J\\udcff.zip" in ended.stderr
