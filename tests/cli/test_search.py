"""`ctisync search` as people and programs use it."""

import csv
import fcntl
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.conftest import Ctisync
from tests.support.feed_simulator import FeedSimulator
from tests.support.printed_error import assert_two_lines


def advisory(product: str, bound: str, base: float, word: str, title: str = "A hole") -> dict[str, Any]:
    version = {"version": "0", "lessThan": bound, "status": "affected"}
    return {
        "cveMetadata": {"state": "PUBLISHED", "datePublished": "2024-05-01T00:00:00Z"},
        "containers": {
            "cna": {
                "title": title,
                "providerMetadata": {"x_subShortName": "nvd"},
                "affected": [{"vendor": "acme", "product": product, "versions": [version]}],
                "metrics": [{"cvssV3_1": {"baseScore": base, "baseSeverity": word}}],
                "problemTypes": [{"descriptions": [{"cweId": "CWE-79", "description": "XSS"}]}],
            }
        },
    }


@pytest.fixture
def searched(ctisync: Ctisync, feed: FeedSimulator) -> Ctisync:
    """Three advisories beside the usual content."""
    feed.history.create("CVE-2024-1", advisory("wall", "1.2", 9.8, "CRITICAL", "=1+1 in the wall"))
    feed.history.create("CVE-2024-2", advisory("Wall", "2.0", 7.0, "HIGH", "\x1b[2J of\nnode.js"))
    feed.history.create("CVE-2024-3", advisory("door", "?!", 4.0, "MEDIUM"))
    assert ctisync.run("sync", "-q").returncode == 0
    return ctisync


def names(ctisync: Ctisync, *arguments: str) -> list[str]:
    ended = ctisync.run("search", *arguments, "--names")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def index_of(ctisync: Ctisync) -> Path:
    (path,) = ctisync.database.parent.glob("*.search")
    return path


def written(path: Path) -> tuple[int, int, bytes]:
    """What changes if a file is written or replaced."""
    return path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--product", "WALL"], ["CVE-2024-1", "CVE-2024-2"]),
        (["--product", "wall", "--version", "1.5"], ["CVE-2024-2"]),
        (
            ["--product", "wall", "--product", "door", "--sort", "name"],
            ["CVE-2024-1", "CVE-2024-2", "CVE-2024-3"],
        ),
        (["--product", "door", "--version", "1.5"], ["CVE-2024-3"]),
        (["--vendor", "acme", "--min-severity", "high"], ["CVE-2024-1", "CVE-2024-2"]),
        (["--vendor", "acme", "--severity", "critical,MEDIUM"], ["CVE-2024-1", "CVE-2024-3"]),
        (["--vendor", "acme", "--min-score", "9.8"], ["CVE-2024-1"]),
        (["--cwe", "cwe-79", "--vendor", "acme", "--limit", "1"], ["CVE-2024-1"]),
        (["node.js"], ["CVE-2024-2"]),
        (["CVE-2024-3", "hol*"], ["CVE-2024-3"]),
        (
            ["--published-since", "2024-05-01", "--vendor", "acme", "--state", "Published", "hole"],
            ["CVE-2024-3"],
        ),
    ],
)
def test_the_names_of_what_matches_are_printed(
    searched: Ctisync, arguments: list[str], expected: list[str]
) -> None:
    assert names(searched, *arguments) == expected


def test_a_table_fits_and_says_how_many_match_and_what_to_type_next(searched: Ctisync) -> None:
    shown = searched.run("search", "--vendor", "acme", "--limit", "2").stdout
    head, first, second, number, command = shown.splitlines()
    assert head.split() == ["name", "severity", "score", "product", "range", "published", "title"]
    assert first.split()[:7] == ["CVE-2024-1", "critical", "9.8", "wall", "<", "1.2", "2024-05-01"]
    assert second.endswith(r"\u001b[2J of node.js")
    assert number == "3 records match; these are the first 2 (--limit)"
    assert command == "one of them: ctisync show CVE-2024-1"


def test_a_version_that_cannot_be_compared_is_marked_and_the_source_is_named(searched: Ctisync) -> None:
    shown = searched.run("search", "--product", "door", "--version", "1.5").stdout
    assert "CVE-2024-3 ?" in shown
    assert "1 record matches; of 1 (marked ?), the version cannot be compared; versions by nvd" in shown
    (hit,) = json.loads(searched.run("search", "--product", "door", "--version", "1.5", "--json").stdout)[
        "hits"
    ]
    assert hit["sure"] is False


def test_programs_get_json_lines_and_csv_of_all_that_match(searched: Ctisync) -> None:
    answer = json.loads(searched.run("search", "--vendor", "acme", "--json").stdout)
    lines = searched.run("search", "--vendor", "acme", "--ndjson").stdout.splitlines()
    assert answer == {"total": 3, "hits": [json.loads(line) for line in lines]}
    first = answer["hits"][0]
    assert (first["name"], first["severity"], first["score"]) == ("CVE-2024-1", "critical", 9.8)
    assert first["affected"] == [{"vendor": "acme", "product": "wall"}]
    rows = list(csv.DictReader(io.StringIO(searched.run("search", "--vendor", "acme", "--csv").stdout)))
    assert [row["name"] for row in rows] == ["CVE-2024-1", "CVE-2024-2", "CVE-2024-3"]
    assert rows[0]["title"] == "'=1+1 in the wall", "no formula for a spreadsheet"


def test_records_are_counted_by_group(searched: Ctisync) -> None:
    shown = searched.run("search", "--vendor", "acme", "--count-by", "severity").stdout
    assert [line.split() for line in shown.splitlines()[:3]] == [
        ["critical", "1"],
        ["high", "1"],
        ["medium", "1"],
    ]
    answer = json.loads(searched.run("search", "--vendor", "acme", "--count-by", "product", "--json").stdout)
    assert answer == {
        "total": 3,
        "groups": [{"product": "wall", "records": 2}, {"product": "door", "records": 1}],
    }
    years = searched.run("search", "--vendor", "acme", "--count-by", "year").stdout
    assert years.split()[:2] == ["2024", "3"]
    weaknesses = searched.run("search", "--vendor", "acme", "--count-by", "cwe").stdout
    assert weaknesses.split()[:2] == ["CWE-79", "3"]


def test_no_match_is_no_error_and_the_nearest_names_are_shown(searched: Ctisync) -> None:
    ended = searched.run("search", "--product", "wal", "--exit-code")
    assert ended.returncode == 0
    assert "no record matches\n" in ended.stdout
    assert "names wal: the nearest are wall" in ended.stdout
    assert searched.run("search", "--product", "wall", "--exit-code").returncode == 12


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--severity", "hgih"], "--severity: hgih is not one of none, low, medium, high, critical"),
        (["--min-severity", "9"], "--min-severity: 9 is not one of"),
        (["--min-score", "11"], "--min-score: 11 is not a score from 0 to 10"),
        (["--min-score", "NaN"], "--min-score: NaN is not a score"),
        (["--cwe", "XSS"], "--cwe: XSS is not the number of a weakness"),
        (["--published-since", "someday"], "--published-since: someday is neither a duration nor a date"),
        (["--state", "gone"], "--state: gone is not one of published, rejected"),
        (["--sort", "size"], "--sort: size is not one of relevance"),
        (["--count-by", "size"], "--count-by: size is not one of severity"),
        (["--version", "1.0"], "--version needs --product"),
        (["--json", "--csv"], "--json, --ndjson, --csv and --names cannot be combined"),
        (["++"], "++ has no letter and no digit"),
    ],
)
def test_a_mistake_names_what_is_valid(ctisync: Ctisync, arguments: list[str], words: str) -> None:
    ended = ctisync.run("search", *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr


def test_without_a_content_there_is_nothing_to_search(ctisync: Ctisync) -> None:
    assert ctisync.run("search", "x").returncode == 10


def test_what_passes_change_and_delete_is_searched_as_it_is_then(
    searched: Ctisync, feed: FeedSimulator
) -> None:
    assert names(searched, "--product", "wall") == ["CVE-2024-1", "CVE-2024-2"]
    feed.history.delete("CVE-2024-1")
    feed.history.create("CVE-2024-4", advisory("wall", "9.0", 5.0, "MEDIUM"))
    searched.run("sync", "-q")
    assert names(searched, "--product", "wall") == ["CVE-2024-2", "CVE-2024-4"]


@pytest.mark.parametrize("damage", ["cut", "overwritten", "emptied", "of another form"])
def test_a_damaged_index_is_made_anew(searched: Ctisync, damage: str) -> None:
    expected = names(searched, "--vendor", "acme")
    path = index_of(searched)
    whole = path.read_bytes()
    changed = {
        "cut": whole[: len(whole) // 2],
        "overwritten": whole[:100] + bytes(len(whole) - 100),
        "emptied": b"",
        "of another form": whole[:60] + (99).to_bytes(4, "big") + whole[64:],
    }
    path.write_bytes(changed[damage])
    assert names(searched, "--vendor", "acme") == expected


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE letters (text)")


FOREIGN: Final[dict[str, Callable[[Path], object]]] = {
    "text": lambda path: path.write_text("a letter"),
    "database": foreign_database,
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "link to a text": lambda path: path.symlink_to(path.with_suffix(".txt")),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_of_another_program_in_its_place_is_not_touched(searched: Ctisync, what: str) -> None:
    expected = names(searched, "wall")
    path = index_of(searched)
    path.unlink()
    path.with_suffix(".txt").write_text("another letter")
    FOREIGN[what](path)
    before = path.lstat()
    ended = searched.run("search", "wall")
    assert ended.returncode == 3
    assert_two_lines(
        ended.stderr, f"{path} is not an index of ctisync", f"move it away: mv {path} {path}.old"
    )
    after = path.lstat()
    assert (after.st_mode, after.st_ino, after.st_mtime_ns) == (
        before.st_mode,
        before.st_ino,
        before.st_mtime_ns,
    )
    path.rename(f"{path}.old")
    assert names(searched, "wall") == expected


def test_while_another_search_updates_the_index_the_older_state_answers(
    searched: Ctisync, feed: FeedSimulator
) -> None:
    names(searched, "wall")
    feed.history.create("CVE-2024-9", advisory("wall", "9.0", 5.0, "MEDIUM"))
    searched.run("sync", "-q")
    with index_of(searched).with_name(f"{index_of(searched).name}.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = searched.run("search", "--product", "wall", "--names", "--log-format", "json")
    assert ended.stdout.splitlines() == ["CVE-2024-1", "CVE-2024-2"]
    assert json.loads(ended.stderr)["event"] == "index-behind"
    assert "CVE-2024-9" in names(searched, "--product", "wall")


def test_while_another_search_reads_the_index_for_long_it_is_not_built_anew(
    searched: Ctisync, feed: FeedSimulator
) -> None:
    names(searched, "wall")
    feed.history.create("CVE-2024-9", advisory("wall", "9.0", 5.0, "MEDIUM"))
    searched.run("sync", "-q")
    before = index_of(searched).stat().st_ino
    with closing(sqlite3.connect(index_of(searched), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchone()
        ended = searched.run("search", "--product", "wall", "--names", "--log-format", "json")
    assert ended.stdout.splitlines() == ["CVE-2024-1", "CVE-2024-2"]
    assert json.loads(ended.stderr)["event"] == "index-behind"
    assert index_of(searched).stat().st_ino == before
    assert "CVE-2024-9" in names(searched, "--product", "wall")


def test_two_first_searches_at_once_give_the_same_answer(searched: Ctisync) -> None:
    started = [
        subprocess.Popen(
            searched.command("search", "--vendor", "acme", "--names"),
            env=searched.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert {each.communicate(timeout=60)[0] for each in started} == {"CVE-2024-1\nCVE-2024-2\nCVE-2024-3\n"}
    assert len(list(index_of(searched).parent.glob("*.part"))) == 0


def test_a_record_that_cannot_be_decoded_is_listed_by_its_name(searched: Ctisync) -> None:
    number = b'{"name":"rule/1","offset":1,"payload":{"document":{"n":1e99999999999999999999}}}'
    file = searched.home / "odd.ndjson"
    file.write_bytes(number + b"\n")
    assert searched.run("init-snapshot", "--from", str(file), "--offset", "5", "-q").returncode == 0
    assert names(searched, "rule") == ["rule/1"]
    assert json.loads(searched.run("search", "rule", "--json").stdout)["hits"][0]["name"] == "rule/1"


def test_forget_removes_the_index(searched: Ctisync) -> None:
    names(searched, "wall")
    path = index_of(searched)
    assert str(path) in searched.run("forget", "--consumer", "vd_4.8.0", "--dry-run").stdout
    for left in (f"{path.name}-journal", f".{path.name}.0123.part"):  # of searches that were killed
        path.with_name(left).write_bytes(b"")
    searched.run("forget", "--consumer", "vd_4.8.0", "--yes")
    assert [each.name for each in searched.database.parent.iterdir() if ".search" in each.name] == []


def test_the_index_can_be_read_by_those_who_can_read_the_content(searched: Ctisync) -> None:
    searched.database.chmod(0o640)
    names(searched, "wall")
    assert index_of(searched).stat().st_mode & 0o777 == 0o640


def test_an_eager_pass_leaves_the_next_search_nothing_to_update(
    searched: Ctisync, feed: FeedSimulator
) -> None:
    searched.environ["CTISYNC_SEARCH__EAGER"] = "true"
    for number in (4, 5):  # it makes the index, then updates it
        feed.history.create(f"CVE-2024-{number}", advisory("wall", "9.0", 5.0, "MEDIUM"))
        ended = searched.run("sync", "-q")
        assert (ended.returncode, ended.stderr) == (0, "")
        before = written(index_of(searched))
        assert f"CVE-2024-{number}" in names(searched, "--product", "wall")
        assert written(index_of(searched)) == before


def test_a_pass_that_is_not_eager_neither_loads_nor_touches_the_index(
    searched: Ctisync, feed: FeedSimulator
) -> None:
    names(searched, "wall")
    before = written(index_of(searched))
    feed.history.create("CVE-2024-4", advisory("wall", "9.0", 5.0, "MEDIUM"))
    program = "import sys; from ctisync.cli import main; main(); print('LOADED', *sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program, "sync", "-q"],
        env=searched.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ctisync.sync.run_pass" in ended.stdout
    assert "ctisync.search" not in ended.stdout
    assert written(index_of(searched)) == before


def test_an_index_that_an_eager_pass_cannot_update_fails_no_pass(
    searched: Ctisync, feed: FeedSimulator
) -> None:
    names(searched, "wall")
    path = index_of(searched)
    path.write_text("a letter")
    searched.environ["CTISYNC_SEARCH__EAGER"] = "true"
    feed.history.create("CVE-2024-4", advisory("wall", "9.0", 5.0, "MEDIUM"))
    ended = searched.run("sync", "-q", "--log-format", "json")
    assert ended.returncode == 0
    warning = json.loads(ended.stderr)
    assert (warning["level"], warning["event"]) == ("warning", "index-not-updated")
    assert str(path) in warning["why"]
    assert path.read_text() == "a letter"
    path.unlink()
    assert "CVE-2024-4" in names(searched, "--product", "wall")
