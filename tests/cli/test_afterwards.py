"""Whoever is told of a pass: metrics that are read as they are, hooks once and for their reason, pings."""

import json
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.feed_simulator import FeedSimulator
from tests.support.http_proxy import Answer, HttpProxy, http_proxy

TELL = 'env | grep ^HOOK_ | sort >> "$1"; echo "-- $2" >> "$1"'


def figures(file: Path) -> dict[str, dict[str, float]]:
    return {
        family.name: {"/".join(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(file.read_text())
    }


def figure(file: Path, name: str, consumer: str = "vd_1.0.0/vd_4.8.0") -> float | None:
    return figures(file)[name].get(consumer)


def test_the_figures_of_a_pass_are_read_by_a_collector(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = ctisync.home / "ctisync.prom"
    began = time.time()
    before = os.umask(0o077)
    try:
        assert ctisync.run("sync", "-q", "--metrics", str(file)).returncode == 0
    finally:
        os.umask(before)
    feed.history.gap(7)
    feed.fail("info", failures.status(503), times=1)
    ctisync.environ["CTISYNC_CTI__RETRY_BUDGET"] = "30"
    assert ctisync.run("sync", "-q", "--metrics", str(file)).returncode == 0

    values = figures(file)
    last = feed.history.last_offset
    assert values["ctisync_offset"] == values["ctisync_feed_offset"] == {"vd_1.0.0/vd_4.8.0": last}
    assert figure(file, "ctisync_behind_offsets") == 0
    assert figure(file, "ctisync_pass_exit_code") == 0
    assert figure(file, "ctisync_pass_initialisations") == 0
    assert figure(file, "ctisync_pass_retries") == 1
    assert figure(file, "ctisync_blocked") == figure(file, "ctisync_command_owed") == 0
    assert (figure(file, "ctisync_pass_received_bytes") or 0) > 20
    for moment in ("pass_end", "last_success", "in_step", "updated", "checked"):
        assert began - 1 <= (figure(file, f"ctisync_{moment}_timestamp_seconds") or 0) <= time.time()
    assert stat.S_IMODE(file.stat().st_mode) == 0o644, "the collector is another user"
    assert sorted(path.name for path in ctisync.home.glob("ctisync.prom*")) == [file.name]


def test_the_last_success_outlives_passes_that_fail(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = ctisync.home / "ctisync.prom"
    ctisync.run("sync", "-q", "--metrics", str(file))
    success = figure(file, "ctisync_last_success_timestamp_seconds")
    feed.fail("info", failures.status(503), times=100)
    assert ctisync.run("sync", "-q", "--metrics", str(file)).returncode == 5
    assert figure(file, "ctisync_pass_exit_code") == 5
    assert figure(file, "ctisync_last_success_timestamp_seconds") == success
    ctisync.environ["CTISYNC_STORE__URL"] = "http://127.0.0.1:9"
    assert ctisync.run("sync", "-q", "--metrics", str(file)).returncode == 7
    assert figure(file, "ctisync_offset") is None, "nobody knows"
    assert figure(file, "ctisync_last_success_timestamp_seconds") == success


def test_a_consumer_that_no_pass_was_over_keeps_its_figures(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = ctisync.home / "ctisync.prom"
    ctisync.environ["CTISYNC_CONSUMERS"] = json.dumps([{}, {"consumer": "other", "index": "other"}])
    assert ctisync.run("sync", "-q", "--consumer", "vd_4.8.0", "--metrics", str(file)).returncode == 0
    assert ctisync.run("sync", "-q", "--consumer", "other", "--metrics", str(file)).returncode == 3
    assert figures(file)["ctisync_pass_exit_code"] == {"vd_1.0.0/vd_4.8.0": 0, "vd_1.0.0/other": 3}


def test_a_file_that_is_no_textfile_is_replaced(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = ctisync.home / "ctisync.prom"
    file.write_text("{not: a textfile")
    assert ctisync.run("sync", "-q", "--metrics", str(file)).returncode == 0
    assert figure(file, "ctisync_pass_exit_code") == 0


def test_a_link_that_is_planted_for_metrics_does_not_lead_them_into_the_database(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    collected = tmp_path / "collected"
    collected.mkdir()
    collected.chmod(0o1777)
    file = collected / "ctisync.prom"
    file.symlink_to(ctisync.database)

    assert ctisync.run("sync", "-q", "--metrics", str(file)).returncode == 0

    assert ctisync.run("export").stdout.encode().splitlines() == feed.expected_lines()
    assert not file.is_symlink()
    assert figure(file, "ctisync_pass_exit_code") == 0


def test_figures_that_this_user_has_not_written_are_not_gone_on_with(
    ctisync: Ctisync, feed: FeedSimulator, tmp_path: Path
) -> None:
    file, others = tmp_path / "ctisync.prom", tmp_path / "others.prom"
    planted = b'# TYPE ctisync_offset gauge\nctisync_offset{consumer="planted"} 1\n'
    others.write_bytes(planted)
    for plant in (
        lambda: file.symlink_to(others),
        lambda: file.hardlink_to(others),
        lambda: file.write_bytes(planted + b"#" * (2 << 20)),
    ):
        file.unlink(missing_ok=True)
        plant()
        ctisync.run("sync", "-q", "--metrics", str(file))
        assert figures(file)["ctisync_offset"].keys() == {"vd_1.0.0/vd_4.8.0"}
    assert others.read_bytes() == planted
    assert feed.requests_for("info")


def test_metrics_that_cannot_be_written_fail_before_the_pass(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ended = ctisync.run("sync", "--metrics", str(ctisync.home / "nowhere" / "ctisync.prom"))
    assert ended.returncode == 2
    assert "--metrics: cannot write to the folder" in ended.stderr
    assert feed.requests == []


def hooked(ctisync: Ctisync, *reasons: str, **settings: str) -> Path:
    """Each hook writes down what it is told; the file that it does so in."""
    file = ctisync.home / "told"
    for reason in reasons:
        argv = ["sh", "-c", TELL, "hook", str(file), reason]
        ctisync.environ[f"CTISYNC_HOOKS__ON_{reason.upper()}"] = json.dumps(argv)
    ctisync.environ.update({f"CTISYNC_HOOKS__{name.upper()}": value for name, value in settings.items()})
    return file


def hook_calls(file: Path) -> list[dict[str, str]]:
    """What each call was told."""
    if not file.exists():
        return []
    calls = file.read_text().split("-- ")[:-1]
    return [dict(line.split("=", 1) for line in call.splitlines() if "=" in line) for call in calls]


def test_a_hook_is_run_for_its_reason_and_gets_what_happened(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = hooked(ctisync, "update", "error", "stale")
    assert ctisync.run("sync", "-q").returncode == 0
    (first,) = hook_calls(file)
    assert first["HOOK_REASON"] == "update"
    assert (first["HOOK_FROM_OFFSET"], first["HOOK_OFFSET"]) == ("0", str(feed.history.last_offset))
    assert (first["HOOK_INDEX"], first["HOOK_EXIT_CODE"], first["HOOK_RECORDS"]) == ("wazuh-cve", "0", "20")
    assert ctisync.run("sync", "-q").returncode == 0
    assert len(hook_calls(file)) == 1, "nothing was updated"
    feed.fail("info", failures.status(503), times=100)
    assert ctisync.run("sync", "-q").returncode == 5
    assert [call["HOOK_REASON"] for call in hook_calls(file)] == ["update", "error"]
    assert hook_calls(file)[1]["HOOK_OUTCOME"] == "feed-unreachable"
    assert "503" in hook_calls(file)[1]["HOOK_WHY"]


def reasons(file: Path) -> list[str]:
    return [call["HOOK_REASON"] for call in hook_calls(file)]


def test_one_incident_is_one_alert_and_its_end_is_one_more(ctisync: Ctisync, feed: FeedSimulator) -> None:
    """An outage of a night would be twelve mails, and in the morning nobody knows that it is over."""
    assert ctisync.run("sync", "-q").returncode == 0
    file = hooked(ctisync, "error", "recovered")
    incident = ctisync.home / "incident"
    ctisync.environ["CTISYNC_HOOKS__ON_RECOVERED"] = json.dumps(
        ["sh", "-c", f"cat > {incident}; {TELL}", "hook", str(file), "recovered"]
    )
    feed.fail("info", failures.status(503), times=100)
    for _ in range(3):
        assert ctisync.run("sync", "-q").returncode == 5
    assert reasons(file) == ["error"]
    assert ctisync.run("sync", "-q", CTISYNC_HOOKS__AGAIN_AFTER="0").returncode == 5
    assert reasons(file) == ["error", "error"]
    since = hook_calls(file)[0]["HOOK_SINCE"]
    feed.heal()
    for _ in range(2):
        assert ctisync.run("sync", "-q").returncode == 0
    assert reasons(file) == ["error", "error", "recovered"]
    assert [call["HOOK_SINCE"] for call in hook_calls(file)] == [since] * 3
    over = json.loads(incident.read_text())
    assert over | {"why": "", "until": "", "seconds": 0} == {
        "consumer": "vd_1.0.0/vd_4.8.0",
        "reason": "error",
        "exit_code": 5,
        "why": "",
        "since": since,
        "until": "",
        "seconds": 0,
    }
    assert "answers 503" in over["why"]
    assert over["seconds"] >= 0
    feed.fail("info", failures.status(503), times=1)
    assert ctisync.run("sync", "-q").returncode == 5
    assert reasons(file)[3:] == ["error"], "the next one is another incident"


def test_another_exit_code_is_another_incident(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = hooked(ctisync, "error")
    for code in (503, 401, 503, 401):
        feed.heal()
        feed.fail("info", failures.status(code), times=100)
        ctisync.run("sync", "-q")
    assert [call["HOOK_EXIT_CODE"] for call in hook_calls(file)] == ["5", "3"]


def test_an_alert_that_nobody_got_is_sent_again(ctisync: Ctisync, feed: FeedSimulator) -> None:
    """The hook fails, or the pass is killed in it: at least once is a promise, once is not."""
    file = hooked(ctisync, "error")
    feed.fail("info", failures.status(503), times=100)
    assert ctisync.run("sync", "-q", CTISYNC_HOOKS__ON_ERROR='["false"]').returncode == 5
    ctisync.environ["CTISYNC_HOOKS__ON_ERROR"], hook = (
        '["sh", "-c", "kill -9 $PPID"]',
        ctisync.environ["CTISYNC_HOOKS__ON_ERROR"],
    )
    killed = ctisync.start("sync", "-q")
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    ctisync.environ["CTISYNC_HOOKS__ON_ERROR"] = hook
    assert ctisync.run("sync", "-q").returncode == 5
    assert ctisync.run("sync", "-q").returncode == 5
    assert reasons(file) == ["error"]


def test_while_the_store_cannot_remember_the_folder_of_the_state_does(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    file = hooked(ctisync, "error", "stale", "recovered")
    database = ctisync.database.read_bytes()
    ctisync.database.write_bytes(b"damaged" * 1000)
    codes = {ctisync.run("sync", "-q").returncode for _ in range(3)}
    assert len(codes) == 1
    assert reasons(file) == ["error"]
    ctisync.database.write_bytes(database)
    for _ in range(2):
        assert ctisync.run("sync", "-q").returncode == 0
    assert reasons(file) == ["error", "recovered"]
    assert [path.name for path in ctisync.database.parent.glob("*.alerts")] == []


def test_a_stale_content_has_its_own_hook(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    file = hooked(ctisync, "stale", stale_after="0.001")
    feed.fail("info", failures.status(503), times=100)
    assert ctisync.run("sync", "-q").returncode == 5
    assert [call["HOOK_REASON"] for call in hook_calls(file)] == ["stale"]


def test_a_hook_may_run_ctisync_itself(ctisync: Ctisync, feed: FeedSimulator) -> None:
    """It has our settings, and the lock is free again."""
    exported = ctisync.home / "exported"
    argv = [*ctisync.command("export", "--output", str(exported))]
    ctisync.environ["CTISYNC_HOOKS__ON_UPDATE"] = json.dumps(argv)
    assert ctisync.run("sync", "-q").returncode == 0
    assert len(exported.read_text().splitlines()) == 20


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sh", "-c", "echo out; exit 3"], "hooks.on_update: sh ended with exit code 3"),
        (["sh", "-c", "kill -9 $$"], "hooks.on_update: sh ended with signal 9"),
        (["/no/such/program"], "hooks.on_update: /no/such/program cannot be started: No such file"),
        (["sleep", "60"], "hooks.on_update: sleep took longer than hooks.timeout, 1 s"),
    ],
)
def test_a_hook_that_fails_is_reported_and_makes_a_good_pass_end_with_11(
    ctisync: Ctisync, feed: FeedSimulator, argv: list[str], words: str
) -> None:
    ctisync.environ |= {"CTISYNC_HOOKS__ON_UPDATE": json.dumps(argv), "CTISYNC_HOOKS__TIMEOUT": "1"}
    ended = ctisync.run("sync", "-q")
    assert ended.returncode == 11
    assert words in ended.stderr
    assert ended.stdout == "", "what a hook writes is no result of ours"
    assert ctisync.run("sync", "-q").returncode == 0, "the pass was good, and is not done again"


def test_a_hook_that_fails_does_not_hide_why_the_pass_has_failed(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.environ["CTISYNC_HOOKS__ON_ERROR"] = '["false"]'
    feed.fail("info", failures.status(503), times=100)
    assert ctisync.run("sync", "-q").returncode == 5


def test_a_signal_ends_a_hook_with_all_that_it_has_started(ctisync: Ctisync, feed: FeedSimulator) -> None:
    mark = ctisync.home / "pid"
    argv = ["sh", "-c", f"sleep 60 & echo $! > {mark}; wait"]
    ctisync.environ["CTISYNC_HOOKS__ON_UPDATE"] = json.dumps(argv)
    running = ctisync.start("sync", "-q")
    while not mark.exists() or not mark.read_text():
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    running.communicate(timeout=120)
    assert running.returncode == 143
    child = Path("/proc", mark.read_text().strip(), "cmdline")
    assert not child.exists() or child.read_bytes() == b"", "what is dead may wait to be taken away"


def test_a_pass_that_meets_another_at_work_runs_no_hook(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = ctisync.home / "ctisync.prom"
    hooks = hooked(ctisync, "error", "stale")
    feed.fail("info", failures.stall(60))
    running = ctisync.start("sync", "-q")
    while not feed.requests:
        time.sleep(0.05)
    assert ctisync.run("sync", "-q", "--metrics", str(file)).returncode == 4
    running.kill()
    running.communicate()
    assert hook_calls(hooks) == []
    assert not file.exists()


@pytest.fixture
def pings() -> Iterator[HttpProxy]:
    """A service for pings."""
    with http_proxy(None) as service:
        service.intercept = lambda request: Answer(404 if "unknown" in request.target else 200)
        yield service


def paths_of(pings: HttpProxy) -> list[str]:
    """Of all that came, but the beginning of a pass, unless it has a path of its own."""
    return [request.target for request in pings.received if request.target != "/start"]


def test_a_ping_says_that_a_run_begins_and_how_it_ends(
    ctisync: Ctisync, feed: FeedSimulator, pings: HttpProxy
) -> None:
    ctisync.environ["CTISYNC_PING_URL"] = f"{pings.url}/uuid"
    assert ctisync.run("sync", "-q").returncode == 0
    feed.fail("info", failures.status(503), times=100)
    assert ctisync.run("sync", "-q").returncode == 5
    assert paths_of(pings) == ["/uuid/start", "/uuid", "/uuid/start", "/uuid/fail"]
    assert b"503" in pings.received[-1].body


def test_a_tolerated_cool_down_has_its_own_ping_and_is_no_success_once_the_content_is_stale(
    ctisync: Ctisync, feed: FeedSimulator, pings: HttpProxy
) -> None:
    assert ctisync.run("sync", "-q").returncode == 0
    file = ctisync.home / "ctisync.prom"
    ctisync.environ |= {"CTISYNC_PING_URL": pings.url, "CTISYNC_CTI__COOLDOWN": "600"}
    feed.fail("info", failures.status(503), times=100)
    call = ("sync", "-q", "--tolerate-cooldown", "--metrics", str(file))
    assert ctisync.run(*call).returncode == 5
    assert figure(file, "ctisync_pass_tolerated") == 0
    assert ctisync.run(*call).returncode == 0
    assert figure(file, "ctisync_pass_tolerated") == 1
    assert ctisync.run(*call, CTISYNC_HOOKS__STALE_AFTER="0.001").returncode == 5
    assert figure(file, "ctisync_pass_tolerated") == 0
    assert paths_of(pings) == ["/fail", "/", "/fail"]


def test_a_ping_reports_a_failure_once_and_each_good_run(
    ctisync: Ctisync, feed: FeedSimulator, pings: HttpProxy
) -> None:
    ctisync.environ["CTISYNC_PING_URL"] = pings.url
    feed.fail("info", failures.status(503), times=100)
    for _ in range(3):
        assert ctisync.run("sync", "-q").returncode == 5
    feed.heal()
    for _ in range(2):
        assert ctisync.run("sync", "-q").returncode == 0
    assert paths_of(pings) == ["/fail", "/", "/"]


@pytest.mark.usefixtures("feed")
def test_a_service_that_is_not_there_fails_no_pass_and_its_address_is_not_shown(
    ctisync: Ctisync, pings: HttpProxy
) -> None:
    for url in (f"{pings.url}/unknown-secret", "http://127.0.0.1:9/unknown-secret"):
        ended = ctisync.run("sync", "-q", CTISYNC_PING_URL=url)
        assert ended.returncode == 0
        assert "ping-failed" in ended.stderr
        assert "unknown-secret" not in ended.stderr
    wrong = ctisync.run("sync", "-q", CTISYNC_PING_URL="unknown-secret")
    assert wrong.returncode == 3
    assert "unknown-secret" not in wrong.stderr
