"""`-` is standard input where a command reads, and standard output where it writes; a file may be packed."""

import gzip
import json
import os
import subprocess
from collections.abc import Callable

import pytest
import zstandard

from tests.cli.conftest import DEADLINE, Ctisync
from tests.cli.test_results_and_streams import status
from tests.feed.crafted_zip import MEMBER
from tests.support.feed_simulator import FeedSimulator, zipped
from tests.support.records import comparable, sample_lines

CONTENT = b"".join(line + b"\n" for line in sample_lines())
HIGHEST = max(json.loads(line)["offset"] for line in sample_lines())


def fed(
    ctisync: Ctisync, content: bytes, *arguments: str, **environ: str
) -> "subprocess.CompletedProcess[bytes]":
    """To its end, with this on a pipe."""
    return subprocess.run(
        ctisync.command(*arguments),
        input=content,
        env={**ctisync.environ, **environ},
        cwd=ctisync.home,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )


def exported(ctisync: Ctisync) -> list[object]:
    return [comparable(line.encode()) for line in ctisync.run("export").stdout.splitlines()]


@pytest.mark.parametrize(
    "pack",
    [
        lambda content: content,
        gzip.compress,
        zstandard.ZstdCompressor().compress,
        lambda content: zipped({MEMBER: content}),
    ],
    ids=["NDJSON", "gzip", "zstd", "ZIP"],
)
def test_a_snapshot_on_a_pipe_is_loaded_and_leaves_nothing_behind(
    ctisync: Ctisync, pack: Callable[[bytes], bytes]
) -> None:
    ended = fed(ctisync, pack(CONTENT), "init-snapshot", "--from", "-", "--offset", str(HIGHEST + 3))
    assert ended.returncode == 0, ended.stderr
    assert status(ctisync)["offset"] == HIGHEST + 3
    expected = sorted((comparable(line) for line in sample_lines()), key=lambda each: each["name"].encode())
    assert exported(ctisync) == expected
    assert list(ctisync.database.parent.glob("*.part*")) == []
    against = fed(ctisync, pack(CONTENT), "verify", "--against", "-")
    assert (against.returncode, b"against" in against.stdout) == (0, True), against.stderr
    assert list(ctisync.database.parent.glob("*.part*")) == []


def test_a_packed_file_is_loaded_by_the_offset_in_its_name(ctisync: Ctisync) -> None:
    for ending, pack in (("ndjson.gz", gzip.compress), ("json.zst", zstandard.ZstdCompressor().compress)):
        name = f"{HIGHEST + 7}_1746459961.{ending}"
        (ctisync.home / name).write_bytes(pack(CONTENT))
        ended = ctisync.run("init-snapshot", "--from", name)
        assert ended.returncode == 0, ended.stderr
        assert status(ctisync)["offset"] == HIGHEST + 7


def test_without_a_number_the_highest_line_counts_on_a_pipe_too(ctisync: Ctisync) -> None:
    ended = fed(ctisync, CONTENT, "init-snapshot", "--from", "-")
    assert (ended.returncode, b"offset-guessed" in ended.stderr) == (0, True)
    assert status(ctisync)["offset"] == HIGHEST


@pytest.mark.parametrize(
    ("content", "environ", "message"),
    [
        (b"", {}, b"standard input: the snapshot is empty"),
        (b"nonsense\n", {}, b"standard input: line 1 of the snapshot is not a record"),
        (gzip.compress(CONTENT)[:-9], {}, b"standard input: the snapshot's gzip is incomplete"),
        (CONTENT, {"CTISYNC_LIMITS__SNAPSHOT_BYTES": "1000"}, b"limits.snapshot_bytes"),
    ],
    ids=["nothing", "nonsense", "cut off", "too much"],
)
def test_what_is_no_snapshot_on_a_pipe_is_refused_and_not_kept(
    ctisync: Ctisync, content: bytes, environ: dict[str, str], message: bytes
) -> None:
    ended = fed(ctisync, content, "init-snapshot", "-q", "--from", "-", **environ)
    assert ended.returncode == 6
    assert message in ended.stderr
    assert list(ctisync.database.parent.glob("*.part*")) == []
    assert status(ctisync)["phase"] == "empty"


@pytest.mark.parametrize("words", [["init-snapshot", "--from", "-"], ["diff", "-", "old.ndjson"]])
def test_a_closed_standard_input_is_an_error(ctisync: Ctisync, words: list[str]) -> None:
    (ctisync.home / "old.ndjson").write_bytes(b"")
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *ctisync.command(*words)],
        env=ctisync.environ,
        cwd=ctisync.home,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 2
    assert b"standard input is closed" in ended.stderr


def test_one_of_two_exports_may_come_on_a_pipe(ctisync: Ctisync, feed: FeedSimulator) -> None:
    ctisync.run("sync", "-q")
    content = ctisync.run("export").stdout.encode()
    (ctisync.home / "old.ndjson").write_bytes(b"")
    last = fed(ctisync, content, "diff", "old.ndjson", "-").stdout.splitlines()[-1]
    assert last == b"20 added, 0 removed, 0 changed"
    assert (
        fed(ctisync, content, "diff", "-", "old.ndjson").stdout.splitlines()[-1].startswith(b"0 added, 20 ")
    )
    both = fed(ctisync, content, "diff", "-", "-")
    assert (both.returncode, b"try: ctisync diff - NEW" in both.stderr) == (2, True)
    bad = fed(ctisync, b"<html>\n", "diff", "-", "old.ndjson")
    assert (bad.returncode, b"standard input, line 1" in bad.stderr) == (2, True)


def test_a_dash_is_standard_output_wherever_a_file_is_written(ctisync: Ctisync, feed: FeedSimulator) -> None:
    metrics = ctisync.run("sync", "-q", "--metrics", "-")
    assert "ctisync_last_success" in metrics.stdout
    for words, other in (
        (["export", "--output", "-"], ["export"]),
        (["config", "init", "--output", "-"], ["config", "init"]),
    ):
        assert ctisync.run(*words).stdout == ctisync.run(*other).stdout != ""
    assert ctisync.run("history", "--html", "-").stdout.startswith("<!DOCTYPE html>")
    folder = ctisync.run("examples", "--output", "-")
    assert (folder.returncode, folder.stdout) == (2, "")
    assert not (ctisync.home / "-").exists()
    with (ctisync.home / "full").open("w") as target:
        os.dup2(os.open("/dev/full", os.O_WRONLY), target.fileno())
        running = ctisync.start("export", "--output", "-", stdout=target)
        _, stderr = running.communicate(timeout=120)
    assert running.returncode == 2
    assert b"cannot write to standard output" in stderr
