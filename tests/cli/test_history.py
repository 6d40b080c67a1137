"""The history: each pass leaves a line that others can read, and none fails for it."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.cli.conftest import Ctisync
from tests.support import feed_failures as failures
from tests.support.delay import seconds_to_the_end
from tests.support.feed_simulator import FeedSimulator

Json = Any


def passes(ctisync: Ctisync) -> list[Json]:
    (one,) = json.loads(ctisync.run("history", "--json").stdout)["consumers"]
    listed: list[Json] = one["passes"]
    return listed


def logged(ctisync: Ctisync, *arguments: str) -> list[tuple[int, str, str]]:
    events = map(json.loads, ctisync.run("log", "--json", *arguments).stdout.splitlines())
    return [(line["offset"], line["how"], line.get("resource", "")) for line in events]


def await_request(feed: FeedSimulator, kind: Literal["changes"]) -> None:
    deadline = time.monotonic() + 120
    while not feed.requests_for(kind):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def eventful(ctisync: Ctisync, feed: FeedSimulator) -> None:
    """A first load, changes, a pass with nothing to do, one that fails."""
    assert ctisync.run("sync", "-q").returncode == 0
    feed.history.create("CVE-NEW")
    feed.history.update("CVE-NEW", [{"op": "add", "path": "/a", "value": 1}])
    feed.history.delete("CVE-NEW")
    feed.history.create("CVE-STAYS")
    assert ctisync.run("sync", "-q").returncode == 0
    assert ctisync.run("update", "-q").returncode == 0
    feed.fail("info", failures.status(503), times=100)
    assert ctisync.run("sync", "-q").returncode == 5
    feed.heal()


def test_each_pass_leaves_a_line_failures_included(ctisync: Ctisync, feed: FeedSimulator) -> None:
    began = time.time()
    eventful(ctisync, feed)
    failed, idle, updated, first = passes(ctisync)
    assert [each["command"] for each in (failed, idle, updated, first)] == ["sync", "update", "sync", "sync"]
    assert (failed["exit_code"], failed["outcome"]) == (5, "feed-unreachable")
    assert "503" in failed["why"]
    assert (idle["exit_code"], idle["outcome"], idle["changes"]) == (0, "up-to-date", 0)
    last = feed.history.last_offset
    assert (updated["from_offset"], updated["offset"], updated["changes"]) == (last - 4, last, 4)
    assert (first["initialisations"], first["from_offset"], first["behind"]) == (1, 0, 0)
    assert len({each["pass_id"] for each in (failed, idle, updated, first)}) == 4
    assert first["began_at"] < updated["began_at"] < idle["began_at"] < failed["began_at"]
    assert first["received"] > 1000
    assert time.time() - began > sum(each["seconds"] for each in (failed, idle, updated, first))


def test_the_table_shows_offsets_outcomes_and_bars(ctisync: Ctisync, feed: FeedSimulator) -> None:
    eventful(ctisync, feed)
    shown = ctisync.run("history").stdout
    head, titles, failed, _idle, updated, first = shown.splitlines()
    assert head == "vd_1.0.0/vd_4.8.0"
    assert titles.split()[:4] == ["began", "command", "outcome", "exit"]
    last = feed.history.last_offset
    assert re.search(r"sync +feed-unreachable +5 ", failed)
    assert f"{last - 4:,} → {last:,}" in updated
    assert f"0 → {last - 4:,}" in first
    assert "█" in shown


def test_the_log_shows_what_became_of_each_record(ctisync: Ctisync, feed: FeedSimulator) -> None:
    eventful(ctisync, feed)
    last = feed.history.last_offset
    loaded = (last - 4, "loaded", "")
    assert logged(ctisync) == [(last, "created", "CVE-STAYS"), loaded]  # the other one came and went
    feed.history.update("CVE-STAYS", [{"op": "add", "path": "/a", "value": 1}])
    ctisync.run("sync", "-q")
    feed.history.delete("CVE-STAYS")
    ctisync.run("sync", "-q")
    of_it = [(last + 2, "deleted"), (last + 1, "updated"), (last, "created")]
    assert logged(ctisync, "CVE-STAYS") == [(*each, "CVE-STAYS") for each in of_it] + [loaded]
    assert logged(ctisync, "--last", "1") == [(last + 2, "deleted", "CVE-STAYS")]
    untouched = json.loads(feed.expected_lines()[0])["name"]
    assert logged(ctisync, untouched) == [loaded]
    assert (
        logged(ctisync, "cve-stays") == logged(ctisync, "STAYS") == logged(ctisync, "CVE-STAYS") != [loaded]
    )
    first = ctisync.run("log").stdout.splitlines()[0]
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ +{last + 2:,}  deleted  CVE-STAYS", first)


def test_the_log_of_a_time_and_of_some_records_has_all_of_it_and_nothing_else(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    eventful(ctisync, feed)
    for number in range(120):
        feed.history.create(f"CVE-2025-{number}")
    ctisync.run("sync", "-q")
    newest = json.loads(ctisync.run("log", "--json", "--last", "1").stdout)["at"]
    recent = logged(ctisync, "--since", newest)
    assert [name for _, _, name in recent] == [f"CVE-2025-{number}" for number in reversed(range(120))]
    assert len(logged(ctisync)) == 100
    assert logged(ctisync, "--since", newest, "--last", "2") == recent[:2]
    assert (
        logged(ctisync, "--since", "24h")
        == logged(ctisync, "--last", "999")
        == recent + logged(ctisync, "--until", newest)
    )
    loaded = (feed.history.last_offset - 124, "loaded", "")
    assert logged(ctisync, "--until", newest) == [(loaded[0] + 4, "created", "CVE-STAYS"), loaded]
    assert logged(ctisync, "--resource", "CVE-2025-11?")[-1] == loaded, "it may be about these, too"
    assert [name[-3:] for _, _, name in logged(ctisync, "--resource", "CVE-2025-11?")[:-1]] == [
        str(number) for number in range(119, 109, -1)
    ]
    nothing = ctisync.run("log", "--until", "2020-01-01")
    assert (nothing.returncode, len(nothing.stdout.splitlines())) == (0, 1)
    for arguments, words in (
        (("--since", "yesterday"), "--since: yesterday is neither a duration nor a date"),
        (("--since", "1h", "--until", "2h"), "--until is earlier than --since"),
    ):
        refused = ctisync.run("log", *arguments)
        assert refused.returncode == 2
        assert words in refused.stderr
        assert "  try: " in refused.stderr


def test_a_name_that_nothing_knows_is_no_record_of_which_nothing_is_remembered(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    eventful(ctisync, feed)
    for form in ((), ("--json",)):
        ended = ctisync.run("log", "CVE-STAY", *form)
        assert (ended.returncode, ended.stdout) == (2, "")
        message, hint = ended.stderr.splitlines()
        assert "vd_1.0.0/vd_4.8.0 has no record CVE-STAY, and no pass in the history changed it" in message
        assert "CVE-STAYS" in hint
    feed.history.delete("CVE-STAYS")
    ctisync.run("sync", "-q")
    assert ctisync.run("log", "CVE-STAYS").returncode == 0, "it is gone, but not unknown"


def test_lines_of_the_log_history_and_hook_name_the_same_pass(ctisync: Ctisync, feed: FeedSimulator) -> None:
    file = ctisync.home / "told"
    ctisync.environ["CTISYNC_HOOKS__ON_UPDATE"] = json.dumps(["sh", "-c", f"echo $HOOK_PASS > {file}"])
    ended = ctisync.run("sync", "-v", "--log-format", "json")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    ids = {line.get("pass_id") for line in lines}
    assert ids == {file.read_text().strip()} == {each["pass_id"] for each in passes(ctisync)}
    logs = [json.loads(line)["pass_id"] for line in ctisync.run("log", "--json").stdout.splitlines()]
    assert set(logs) == ids


def test_no_more_are_kept_than_a_setting_says(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.environ["CTISYNC_HISTORY"] = "2"
    for _ in range(4):
        ctisync.run("sync", "-q")
    assert len(passes(ctisync)) == 2
    ctisync.environ["CTISYNC_HISTORY"] = "0"
    ctisync.run("init-snapshot", "-q")
    assert [each["command"] for each in passes(ctisync)] == ["sync", "sync"]


def test_a_history_that_cannot_be_written_fails_no_pass(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    with sqlite3.connect(ctisync.database) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON passes BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    feed.history.create("CVE-NEW")
    ended = ctisync.run("sync", "-q")
    assert ended.returncode == 0
    assert "history-not-written" in ended.stderr
    assert "no room" in ended.stderr
    assert len(passes(ctisync)) == 1


def test_a_pass_that_the_store_has_failed_is_there_once_the_store_takes_it(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q")
    feed.history.create("CVE-NEW")
    with sqlite3.connect(ctisync.database) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    assert ctisync.run("sync", "-q").returncode == 7
    failed, _ = passes(ctisync)
    assert (failed["exit_code"], failed["outcome"]) == (7, "store-unavailable")


def test_a_pass_that_is_stopped_is_in_the_history_too(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    feed.history.create("CVE-NEW")
    feed.fail("changes", failures.stall(60), times=1)
    running = ctisync.start("sync", "-q")
    await_request(feed, "changes")
    began = time.monotonic()
    os.kill(running.pid, signal.SIGTERM)
    assert seconds_to_the_end(running, began) < 4
    running.communicate()
    assert running.returncode == 143
    stopped, _ = passes(ctisync)
    assert (stopped["exit_code"], stopped["outcome"]) == (143, "stopped")
    assert (stopped["from_offset"], stopped["offset"]) == (feed.history.last_offset - 1,) * 2


def test_a_pass_that_finds_another_at_work_is_none(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    feed.history.create("CVE-NEW")
    feed.fail("changes", failures.stall(5), times=1)
    running = ctisync.start("sync", "-q")
    await_request(feed, "changes")
    assert ctisync.run("sync", "-q").returncode == 4
    running.communicate(timeout=120)
    assert len(passes(ctisync)) == 2


def test_what_a_server_says_of_a_secret_is_masked_in_the_history(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.environ["CTISYNC_CTI__TOKEN"] = "canary-in-the-history"
    feed.fail("info", failures.refusal(403, "the token canary-in-the-history is odd"), times=100)
    assert ctisync.run("sync", "-q").returncode == 3
    assert "***" in passes(ctisync)[0]["why"]
    assert b"canary-in-the" not in b"".join(path.read_bytes() for path in ctisync.database.parent.iterdir())


def test_without_a_history_there_is_nothing_and_no_error(ctisync: Ctisync) -> None:
    assert "the history is empty" in ctisync.run("history").stdout
    assert ctisync.run("log").stdout == "no pass in the history changed any record\n"
    assert ctisync.run("log", "CVE-1").stdout == "no pass in the history changed CVE-1\n"
    assert ctisync.run("log", "--json").stdout == ""
    assert passes(ctisync) == []


class Page(HTMLParser):
    """What a page consists of, and all that it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "data", "action")]


def page_of(ctisync: Ctisync) -> str:
    file = ctisync.home / "history.html"
    ended = ctisync.run("history", "--html", str(file))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    return file.read_text()


def test_the_page_shows_charts_and_fetches_nothing(ctisync: Ctisync, feed: FeedSimulator) -> None:
    eventful(ctisync, feed)
    text = page_of(ctisync)
    page = Page(text)
    assert page.tags.count("svg") == 4
    assert page.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert text.count('class="failed"') == 3, "one upright line a chart over time"
    assert "feed-unreachable: 1" in text


def test_what_a_server_says_stays_text_in_the_page(ctisync: Ctisync, feed: FeedSimulator) -> None:
    feed.fail("info", failures.refusal(403, "<script>alert(1)</script>"), times=100)
    ctisync.run("sync", "-q")
    text = page_of(ctisync)
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;" in text


def test_a_chart_of_one_point_or_none_says_so(ctisync: Ctisync, feed: FeedSimulator) -> None:
    """A point without a line is hardly visible, and an empty chart looks like a mistake."""
    feed.fail("info", failures.refusal(403, "no"))
    ctisync.run("sync", "-q")
    text = page_of(ctisync)
    assert len(re.findall(r"<p .*>No value so far\.</p>", text)) == 2, "neither lag nor age is known"
    assert len(re.findall(r"Only one value so far: \d{4}-\d\d-\d\d \d\d:\d\d: [\d.]+ s\.", text)) == 1
    ctisync.run("sync", "-q")
    text = page_of(ctisync)
    assert "No value so far" not in text
    assert re.search(r"Only one value so far: .*: 0(\.0 s)?\.", text)


def advisory(title: str, product: str, year: int, base: float = 9.8) -> dict[str, Any]:
    return {
        "cveMetadata": {"state": "PUBLISHED", "datePublished": f"{year}-05-01T00:00:00Z"},
        "containers": {
            "cna": {
                "title": title,
                "affected": [{"vendor": "acme", "product": product, "versions": []}],
                "metrics": [
                    {"cvssV3_1": {"baseScore": base, "baseSeverity": "CRITICAL" if base > 9 else "LOW"}}
                ],
            }
        },
    }


def row(page: str, name: str) -> str:
    """The number beside the bar of a group."""
    (number,) = re.findall(
        rf'<tr><td>{name}</td><td class="b">.*?</td><td class="n">([\d,]+)</td></tr>', page
    )
    return str(number)


def test_the_page_shows_the_content_as_the_search_index_has_it_and_never_touches_that(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    feed.history.create("CVE-2031-1", advisory("<script>alert(1)</script>\x1b[2J", "wall<b>", 2031))
    feed.history.create("CVE-2032-2", advisory("Another one", "wall<b>", 2032))
    for number in range(40):
        feed.history.create(f"CVE-2033-{number}", advisory("A small one", "wall<b>", 2033, base=1.0))
    ctisync.run("sync", "-q")
    assert "The content" not in page_of(ctisync)
    assert not list(ctisync.database.parent.glob("*.search"))
    ctisync.run("search", "wall", "-q")
    (index,) = ctisync.database.parent.glob("*.search")
    before = index.read_bytes(), index.stat().st_mtime_ns
    last = feed.history.last_offset
    text = page_of(ctisync)
    page = Page(text)
    assert not {"script", "b<b"} & set(page.tags)
    assert (page.fetched, "url(" in text) == ([], False)
    assert f"as of offset {last:,}</span>" in text
    assert [row(text, year) for year in ("2031", "2032", "2033")] == ["1", "1", "40"]
    assert (row(text, "wall&lt;b&gt;"), row(text, "acme")) == ("42", "42")
    assert int(row(text, "critical").replace(",", "")) >= 2
    newest = text.split("The newest critical ones")[1]
    assert newest.index("CVE-2032-2") < newest.index("CVE-2031-1")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u001b[2J" in newest
    assert "A small one" not in newest
    feed.history.delete("CVE-2032-2")
    ctisync.run("sync", "-q")
    text = page_of(ctisync)
    assert f"as of offset {last:,}; the content is at offset {last + 1:,}, and the next search" in text
    assert row(text, "2032") == "1"
    assert "CVE-2032-2" not in text, "its record is gone"
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def test_a_page_without_a_readable_index_of_this_content_has_the_passes_alone(
    ctisync: Ctisync, feed: FeedSimulator
) -> None:
    ctisync.run("sync", "-q")
    ctisync.run("search", "wall", "-q")
    (index,) = ctisync.database.parent.glob("*.search")
    whole = index.read_bytes()
    for content in (b"a letter", whole[:5000], b""):
        index.write_bytes(content)
        assert "The content" not in page_of(ctisync)
    index.write_bytes(whole)
    assert "The content" in page_of(ctisync)
    ctisync.run("init-snapshot", "-q")
    assert "The content" not in page_of(ctisync), "the index is of the content before"


def test_a_page_without_passes_says_so(ctisync: Ctisync) -> None:
    assert "The history is empty" in page_of(ctisync)


def test_a_page_that_has_no_place_to_go_is_an_error_that_names_it(ctisync: Ctisync) -> None:
    ended = ctisync.run("history", "--html", str(ctisync.home / "nowhere" / "page.html"))
    assert ended.returncode == 2
    assert "nowhere" in ended.stderr


@pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    reason="no Chromium here, in which the page would be looked at; CI installs one",
)
def test_a_browser_draws_the_page_without_a_complaint(ctisync: Ctisync, feed: FeedSimulator) -> None:
    eventful(ctisync, feed)
    page_of(ctisync)
    shown = _browsed(ctisync.home)
    assert shown.returncode == 0
    assert "CONSOLE" not in shown.stderr, "what a browser finds wrong with a page it tells its console"
    assert shown.stdout.count("<svg") == 4
    assert (ctisync.home / "page.png").stat().st_size > 20_000


def _browsed(home: Path) -> "subprocess.CompletedProcess[str]":
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    return subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--enable-logging=stderr", f"--user-data-dir={home}/browser", "--window-size=900,2600"),
            *(f"--screenshot={home}/page.png", "--dump-dom", f"file://{home}/history.html"),
        ],
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
