"""Watches as an operator sets them: the hook, its failures, the log, the metrics, and `watch test`."""

import json
from pathlib import Path
from typing import Any

import pytest

from ctisync.core.model import Consumer
from ctisync.errors import HookFailed
from ctisync.notifications import hooks
from tests.cli.conftest import Ctisync
from tests.cli.test_search import advisory
from tests.support.feed_simulator import FeedSimulator

WATCH = {"name": "our edge", "product": ["wall"], "min_severity": "high"}


def watching(ctisync: Ctisync, *watches: dict[str, Any]) -> Path:
    """With these watches and a hook. Returns the file to which the hook appends what it gets."""
    file = ctisync.home / "matches.ndjson"
    ctisync.environ["CTISYNC_WATCH"] = json.dumps(watches or [WATCH])
    ctisync.environ["CTISYNC_HOOKS__ON_MATCH"] = json.dumps(["sh", "-c", f"cat >> {file}"])
    return file


def delivered(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def begun(ctisync: Ctisync, feed: FeedSimulator) -> Path:
    """The hook's file, after the pass with which the watch begins; then an advisory comes."""
    file = watching(ctisync)
    assert ctisync.run("sync", "-q").returncode == 0
    assert not file.exists()
    feed.history.create("CVE-2024-1", advisory("wall", "1.2", 9.8, "CRITICAL", "A hole in the wall"))
    feed.history.create("CVE-2024-2", advisory("door", "1.2", 9.8, "CRITICAL"))
    return file


def test_the_hook_gets_what_is_new_for_the_watch_as_json(ctisync: Ctisync, begun: Path) -> None:
    ctisync.environ["CTISYNC_HOOKS__ON_MATCH"] = json.dumps(
        ["sh", "-c", f"cat >> {begun}; env | grep ^HOOK_ | sort > {begun}.env"]
    )
    ended = ctisync.run("sync", "--log-format", "json")
    assert ended.returncode == 0

    (call,) = delivered(begun)
    (item,) = call.pop("records")
    assert call == {"watch": "our edge", "consumer": "vd_1.0.0/vd_4.8.0"}
    assert (
        item.items()
        >= {
            "name": "CVE-2024-1",
            "how": "new",
            "severity": "critical",
            "score": 9.8,
            "title": "A hole in the wall",
            "affected": [{"vendor": "acme", "product": "wall"}],
        }.items()
    )
    assert Path(f"{begun}.env").read_text().splitlines() == [
        "HOOK_CONSUMER=vd_1.0.0/vd_4.8.0",
        "HOOK_INDEX=wazuh-cve",
        "HOOK_REASON=match",
        "HOOK_WATCH=our edge",
    ]
    (event,) = (json.loads(line) for line in ended.stderr.splitlines() if "watch-matched" in line)
    assert (
        event.items()
        >= {
            "watch": "our edge",
            "name": "CVE-2024-1",
            "offset": item["offset"],
            "how": "new",
            "severity": "critical",
            "id": item["id"],
        }.items()
    )


def test_a_hook_that_fails_or_dies_with_its_pass_gets_the_same_ids_again_and_then_no_more(
    ctisync: Ctisync, begun: Path
) -> None:
    good = ctisync.environ["CTISYNC_HOOKS__ON_MATCH"]
    failing = ctisync.run("sync", "-q", CTISYNC_HOOKS__ON_MATCH=good.replace('"]', '; exit 3"]'))
    assert failing.returncode == 11
    assert "hooks.on_match of the watch our edge: sh ended with exit code 3" in failing.stderr
    ctisync.environ["CTISYNC_HOOKS__ON_MATCH"] = good.replace('"]', '; kill -9 $PPID"]')
    killed = ctisync.start("sync", "-q")
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    ctisync.environ["CTISYNC_HOOKS__ON_MATCH"] = good
    for _ in range(2):
        assert ctisync.run("sync", "-q").returncode == 0

    ids = [[item["id"] for item in call["records"]] for call in delivered(begun)]
    assert len(ids) == 3
    assert ids[0] == ids[1] == ids[2]


@pytest.mark.parametrize("hook", [["/nowhere/hook"], ["sh", "-c", "exit 0 <&-"]])
def test_a_hook_that_cannot_be_started_keeps_the_matches_and_one_that_reads_nothing_does_not(
    ctisync: Ctisync, begun: Path, hook: list[str]
) -> None:
    ended = ctisync.run("sync", "-q", CTISYNC_HOOKS__ON_MATCH=json.dumps(hook))
    assert ctisync.run("sync", "-q").returncode == 0

    assert (ended.returncode, len(delivered(begun))) == ((11, 1) if hook[0].startswith("/") else (0, 0))


def test_the_hint_of_a_failed_hook_runs_it_by_hand(ctisync: Ctisync, begun: Path) -> None:
    ended = ctisync.run("sync", "-q", CTISYNC_HOOKS__ON_MATCH='["sh", "-c", "exit 1"]')

    assert (
        "ctisync watch test 'our edge' --consumer vd_1.0.0/vd_4.8.0 --json | sh -c 'exit 1'" in ended.stderr
    )


def test_without_a_hook_the_log_has_the_matches_and_a_quiet_pass_prints_nothing(
    ctisync: Ctisync, begun: Path, feed: FeedSimulator
) -> None:
    ctisync.environ["CTISYNC_HOOKS__ON_MATCH"] = ""
    ended = ctisync.run("sync")
    feed.history.create("CVE-2024-3", advisory("wall", "1.2", 9.8, "CRITICAL"))
    quiet = ctisync.run("sync", "-q")

    assert 'watch="our edge" name=CVE-2024-1 offset=1021 how=new severity=critical' in ended.stderr
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_metrics_and_history_have_the_number(ctisync: Ctisync, begun: Path) -> None:
    metrics = ctisync.home / "ctisync.prom"
    bad = ctisync.run("sync", "-q", "--metrics", str(metrics), CTISYNC_HOOKS__ON_MATCH='["false"]')
    assert bad.returncode == 11
    assert 'ctisync_watches_failed{consumer="vd_1.0.0/vd_4.8.0"} 1.0' in metrics.read_text()
    assert ctisync.run("sync", "-q", "--metrics", str(metrics)).returncode == 0
    assert 'ctisync_pass_notices{consumer="vd_1.0.0/vd_4.8.0"} 1.0' in metrics.read_text()
    assert 'ctisync_watches_failed{consumer="vd_1.0.0/vd_4.8.0"} 0.0' in metrics.read_text()

    (consumer,) = json.loads(ctisync.run("history", "--json").stdout)["consumers"]
    passes = consumer["passes"]
    assert [(each["notices"], each["watches_failed"]) for each in passes] == [(1, 0), (0, 1), (0, 0)]


def test_matches_of_a_pass_that_the_feed_failed_are_reported_all_the_same(
    ctisync: Ctisync, begun: Path, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q", CTISYNC_HOOKS__ON_MATCH='["false"]')
    feed.close()

    assert ctisync.run("sync", "-q").returncode == 5
    assert len(delivered(begun)) == 1


def test_a_watch_is_tested_without_a_hook_and_without_a_cursor(ctisync: Ctisync, begun: Path) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    (before,) = delivered(begun)
    table = ctisync.run("watch", "test", "our edge", "--since", "2000-01-01")
    assert table.returncode == 0
    assert "CVE-2024-1" in table.stdout
    assert "1 record matches" in table.stdout
    assert "vd_1.0.0/vd_4.8.0: passes have reported up to offset" in table.stdout
    assert "no record matches" in ctisync.run("watch", "test", "our edge", "--since", "1s").stdout

    document = json.loads(ctisync.run("watch", "test", "our edge", "--since", "2000-01-01", "--json").stdout)

    (item,) = document["records"]
    assert item == before["records"][0] | {"how": "changed"}, "it was reported already"
    assert len(delivered(begun)) == 1


def test_an_unknown_watch_names_those_of_the_settings(ctisync: Ctisync, begun: Path) -> None:
    ended = ctisync.run("watch", "test", "our egde")
    assert ended.returncode == 2
    assert "there is no watch our egde; the settings have our edge" in ended.stderr
    assert "ctisync watch test 'our edge'" in ended.stderr
    none = ctisync.run("watch", "test", "our edge", CTISYNC_WATCH="[]")
    assert (none.returncode, "the settings have no watch" in none.stderr) == (2, True)


@pytest.mark.parametrize(
    ("watches", "message"),
    [
        ([{"product": ["wall"]}], "[0]: a watch needs a name of at most 64 printable characters"),
        ([{"name": "a\nb", "product": ["wall"]}], "[0]: a watch needs a name"),
        ([{"name": "x" * 65, "product": ["wall"]}], "[0]: a watch needs a name"),
        ([{"name": "all"}], "[0]: the watch all has no condition"),
        ([WATCH, WATCH], "the watch our edge occurs 2 times"),
        ([WATCH | {"min_severity": "bad"}], "[0].min_severity: bad is not one of none, low, medium, high"),
        ([WATCH | {"published_since": "soon"}], "[0].published_since: soon is neither a duration nor a date"),
        ([WATCH | {"os": "debian"}], "[0].os: "),
        ([WATCH | {"min_score": 11}], "[0].min_score: 11.0 is not a score from 0 to 10"),
        ([{"name": "v", "version": "1"}], "[0].version needs CTISYNC_WATCH[0].product"),
        ([WATCH | {"severty": []}], "[0]: unknown setting severty; the nearest is severity"),
        ([WATCH | {"product": "wall"}], "[0].product: expected a list, each entry a text"),
        ([WATCH | {"cwe": ["x"]}], "[0].cwe[0]: expected a whole number"),
        ([WATCH | {"words": "*"}], "[0].words: * has no letter and no digit"),
    ],
)
def test_a_wrong_watch_is_named_before_a_pass_begins(
    ctisync: Ctisync, feed: FeedSimulator, watches: list[dict[str, Any]], message: str
) -> None:
    watching(ctisync, *watches)

    ended = ctisync.run("sync")

    assert ended.returncode == 3
    assert f"CTISYNC_WATCH{message}" in ended.stderr or f"CTISYNC_WATCH: {message}" in ended.stderr
    assert feed.requests == []


def test_watches_are_read_from_a_settings_file(ctisync: Ctisync, feed: FeedSimulator) -> None:
    config = ctisync.home / "config" / "ctisync" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        '[[watch]]\nname = "our edge"\nproduct = ["wall", "door"]\nmin_severity = "high"\n'
        '[[watch]]\nname = "rce"\nwords = \'"remote code" execut*\'\ncwe = [79]\nexploit = true\n'
    )

    assert ctisync.run("config", "check").returncode == 0
    shown = ctisync.run("config", "show", "watch").stdout
    assert 'watch[0].product = ["wall", "door"]' in shown
    assert ctisync.run("sync", "-q").returncode == 0


def test_while_a_hook_runs_the_pass_keeps_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_PART", 0.05)
    calls: list[None] = []
    notices = b"x" * 1_000_000

    hook = ["sh", "-c", f"sleep 0.4; test $(wc -c) = {len(notices)}"]
    hooks.run_match_hook(hook, "w", Consumer(), notices, 60, lambda: calls.append(None))
    assert len(calls) >= 2

    with pytest.raises(HookFailed, match=r"took longer than hooks\.timeout, 1 s"):
        hooks.run_match_hook(["sleep", "60"], "w", Consumer(), notices, 1, lambda: None)
