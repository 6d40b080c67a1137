"""The benches run, at a size that says nothing; and what they feed ctisync with is what they say it is."""

import json
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from bench.commands.settings import TRIALS
from bench.commands.updating import WITHOUT_START
from bench.feed.records import MOST_BYTES, Records
from bench.guard import LIMITS, judge
from bench.report import Outcome, new_table
from bench.workshop import STORES, Options, Workshop
from ctisync.settings import Settings
from ctisync.settings.schema import leaf_types

ROOT = Path(__file__).parents[2]


def test_a_bench_ends_with_its_figures_as_a_line_of_json(tmp_path: Path) -> None:
    code, [result] = run_bench("update-sqlite", tmp_path)
    assert code == 0
    assert result["bench"] == "update-sqlite"
    assert result["changes"] == 30
    assert result["runs"].keys() == {"ctisync", "floor", "idle pass", WITHOUT_START}
    assert result["runs"]["ctisync"]["wall"]["min"] > 0
    assert result["runs"]["ctisync"]["cpu"]["min"] > 0
    assert result["runs"]["ctisync"]["peak_mb"]["min"] > 10
    assert result["ratios"]["ctisync / floor"]["median"] == result["figures"]["ctisync / floor"]
    assert not list(tmp_path.glob("work-*")), "what a run has worked with is gone"


def test_the_bench_of_scale_measures_both_steps_at_each_size_and_how_they_grow(tmp_path: Path) -> None:
    code, [result] = run_bench("scale", tmp_path, "--sizes", "20,60")
    assert code == 0
    assert (result["records"], result["sizes"]) == (60, [20, 60])
    assert isinstance(result["idle"], bool)
    store = result["stores"]["sqlite"]
    for records, changes in ((20, 2), (60, 6)):
        each = store["sizes"][str(records)]
        assert each["update"]["changes"] == changes
        assert each["disk_bytes"] > 0
        assert all(each[step]["seconds"] > 0 and each[step]["peak_mb"] > 10 for step in ("load", "update"))
    assert store["lines"]["load"].keys() == {"slope", "intercept", "r_squared"}
    assert not list(tmp_path.glob("work-*")), "what a size was stored in is gone"


def test_the_bench_of_search_measures_queries_the_index_and_match(tmp_path: Path) -> None:
    code, [result] = run_bench("search", tmp_path, "--records", "300")
    assert code == 0
    assert {"building search", "updating search", "a word", "hottest product, a version"} <= set(
        result["runs"]
    )
    assert result["bytes"]["index"] > 0
    assert result["figures"]["match, 2000 packages s"] > 0


@pytest.mark.long
def test_updates_are_measured_with_a_watch_and_without(tmp_path: Path) -> None:
    code, [result] = run_bench("watch", tmp_path)
    assert code == 0
    assert result["runs"].keys() == {"update", "update with a watch"}


@pytest.mark.long
def test_a_mirror_is_measured_by_what_is_carried_and_next_to_http(tmp_path: Path) -> None:
    code, [result] = run_bench("mirror", tmp_path)
    assert code == 0
    assert result["sizes"]["90 days, files"] >= 17
    assert 0 < result["sizes"]["week, MB"] < result["sizes"]["90 days, MB"]
    assert result["figures"]["update, folder / HTTP"] > 0


@pytest.mark.long
def test_a_server_is_measured_with_many_clients_and_downloads(tmp_path: Path) -> None:
    code, [result] = run_bench("serve", tmp_path)
    assert code == 0
    assert result["serve"]["errors"] == 0
    assert result["serve"]["downloads, GB a CPU s"] > 0


@pytest.mark.long
def test_passes_are_measured_next_to_those_of_another_revision(tmp_path: Path) -> None:
    code, [result] = run_bench("against", tmp_path, "--revision", "HEAD")
    assert code == 0
    assert result["ratios"].keys() == {
        f"{kind}, this tree / {kind}, HEAD" for kind in ("load", "update", "idle pass")
    }


@pytest.mark.long
def test_every_setting_that_the_bench_of_settings_tries_is_one(tmp_path: Path) -> None:
    code, [result] = run_bench("settings", tmp_path)
    assert code == 0
    assert result["stores"]["sqlite"]["store.compression = none"]["disk_ratio"] > 1
    assert {name for trials in TRIALS.values() for trial in trials for name in trial} <= set(
        leaf_types(Settings)
    )


@pytest.mark.long
def test_every_bench_that_needs_no_server_has_the_figures_that_the_guard_limits(tmp_path: Path) -> None:
    code, result = run_bench("guard", tmp_path)
    names = [
        "reading",
        "load-sqlite",
        "update-sqlite",
        "idle",
        "export",
        "memory",
        "overlap",
        "disk",
        "index",
        "guard",
    ]
    assert [each["bench"] for each in result] == names
    assert result[-1]["kept"] is (code == 0)


def run_bench(command: str, folder: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    """Its exit code, and its lines of JSON. So few records may well be beyond a limit: 1."""
    size = ["--stores", "sqlite", "--records", "40", "--changes", "30", "--pairs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", command, *size, *more, "--folder", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_what_the_feed_comes_to_after_its_changes_is_what_ctisync_then_holds(tmp_path: Path) -> None:
    """Else the rivals would write something else than ctisync does."""
    options = Options(
        records=60, changes=1100, pairs=1, seed=3, sizes=(), stores=("sqlite",), folder=tmp_path / "data"
    )
    with Workshop(options) as workshop, workshop.feed(steps=2) as feed:
        expected = {named(line): line.strip() for line in feed.snapshot.lines()}
        assert feed.changes is not None
        with workshop.client("sqlite", feed) as client:
            client.load()
            for number, last_offset in enumerate(feed.changes.facts.steps):
                feed.tell(last_offset=last_offset)
                client.update(options.changes)
                for work in feed.changes.step(number):
                    for write in work.writes:
                        expected.pop(write.name, None)
                        if write.line is not None:
                            expected[write.name] = write.line
            client.run("export", "-q", "--output", str(tmp_path / "export.ndjson"))
    exported = (tmp_path / "export.ndjson").read_bytes().splitlines()
    assert exported == [expected[name] for name in sorted(expected)]


def named(line: bytes) -> str:
    name = json.loads(line)["name"]
    assert isinstance(name, str)
    return name


def test_the_same_seed_gives_the_same_records_and_another_one_others() -> None:
    one, again, other = (list(Records(30, seed).lines()) for seed in (1, 1, 2))
    assert one == again
    assert not set(one) & set(other)


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return list(Records(2000, 1).lines())


def test_records_are_as_large_and_pack_as_well_as_the_real_ones(lines: list[bytes]) -> None:
    """The real feed's: 471 MB in 40,000, which pack to 57 MB. Alone, of 340 bytes, 2.1, 8.4 and 33 KB: to the
    1.4th, 2.1th, 4.3th and 9.5th part. Better would be texts that come again and again."""
    content = b"\n".join(lines)
    assert len(content) / len(lines) == pytest.approx(11_800, rel=0.1)
    assert len(content) / len(zlib.compress(content, 6)) == pytest.approx(471 / 57, rel=0.07)
    for least, most, real in ((250, 400, 1.4), (1900, 2300, 2.1), (7500, 9500, 4.3), (28_000, 38_000, 9.5)):
        packed = [len(line) / len(zlib.compress(line, 6)) for line in lines if least < len(line) < most]
        assert median(packed) == pytest.approx(real, rel=0.15), f"of {least} to {most} bytes"
    assert len({named(line) for line in lines}) == len(lines)


def test_records_have_the_spread_of_the_real_ones(lines: list[bytes]) -> None:
    """A bench of records that are all alike measures what no feed costs."""
    sizes = sorted(map(len, lines))
    cuts = [sizes[len(sizes) * percent // 100] for percent in (0, 10, 50, 90, 99)]
    assert cuts == pytest.approx([300, 1900, 7200, 25_000, 75_000], rel=0.2)
    assert 100_000 < sizes[-1] < MOST_BYTES
    nesting = Counter(nested(json.loads(line)) for line in lines)
    assert set(nesting) == {4, 8, 9, 11, 12}
    assert nesting[9] > 0.5 * len(lines) > nesting[11] > 0.1 * len(lines) > nesting[12] > 0.02 * len(lines)
    for what, count in (("not ASCII", not_ascii(lines)), ("escapes", sum(b"\\" in line for line in lines))):
        assert count / len(lines) == pytest.approx(1 / 3, rel=0.1), what
    for escape in (b"\\n", b'\\"', b"\\\\"):
        assert any(escape in line for line in lines)
    assert {len(letter.encode()) for line in lines for letter in line.decode()} == {1, 2, 3}


def not_ascii(lines: list[bytes]) -> int:
    return sum(not line.isascii() for line in lines)


def nested(value: Any) -> int:
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(nested, value.values() if isinstance(value, dict) else value), default=0)


def test_the_guard_fails_for_a_figure_beyond_its_limit_and_for_no_other() -> None:
    figures: dict[str, dict[str, float]] = {}
    for limit in LIMITS:
        figures.setdefault(limit.bench, {})[limit.figure] = limit.most
    assert judge(outcomes(figures), STORES).figures == {}
    figures["disk"]["sqlite / ZIP"] += 0.1
    assert list(judge(outcomes(figures), STORES).figures) == ["disk: sqlite / ZIP"]
    assert judge(outcomes(figures), ["opensearch"]).figures == {}


def outcomes(figures: dict[str, dict[str, float]]) -> dict[str, Outcome]:
    return {bench: Outcome(new_table("", ""), values, {}) for bench, values in figures.items()}
