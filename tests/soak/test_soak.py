"""The soak for some seconds, on SQLite alone: it ends well with its figures, or notices what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.figures import figure

ROOT = Path(__file__).resolve().parents[2]


def soak(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.soak",
            "--store",
            "sqlite",
            "--pause",
            "0",
            "--folder",
            folder,
            *options,
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_passes_against_a_moving_feed_with_signals_at_random_keep_every_promise(tmp_path: Path) -> None:
    done = soak(tmp_path, "--minutes", "0.1", "--seed", "3")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    [counted] = report["stores"]
    assert (report["ended"], report["seed"], counted["divergences"]) == ("complete", 3, 0)
    assert counted["rounds"] > 0
    assert counted["passes"] == sum(counted["exit_codes"].values())
    assert counted["contents_compared"] >= counted["rounds"]
    assert counted["audits"] > 0
    assert counted["peak_kb"]["most"] > 0
    assert not list(tmp_path.iterdir()), "something was left behind"
    figure(
        f"T11 for some seconds, SQLite: {counted['rounds']} rounds, {counted['passes']} passes, "
        f"{sum(counted['signals'].values())} signals, {counted['contents_compared']} contents compared, "
        f"{counted['divergences']} divergences"
    )


def test_a_record_that_somebody_alters_ends_the_soak_with_seed_round_and_what_differs(tmp_path: Path) -> None:
    done = soak(tmp_path, "--minutes", "5", "--seed", "3", "--sabotage", "2")
    assert done.returncode == 1
    assert "FAILED: seed 3, round 2 of sqlite" in done.stdout
    assert "records differ" in done.stdout
    [kept] = tmp_path.iterdir()
    assert f"everything is kept in {kept}" in done.stdout
    assert (kept / "sqlite" / "state" / "ctisync.db").exists()
    assert (kept / "evidence-sqlite" / "expected.ndjson").exists()
