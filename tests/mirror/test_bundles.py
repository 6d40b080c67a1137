"""Bundles: what another host imports is what it would have from the feed, and a bundle is a mirror."""

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.mirror.conftest import CONSUMER, Far
from tests.mirror.test_following import another_change, both, status
from tests.support import feed_failures as failures
from tests.support.feed_history import churn
from tests.support.records import comparable

__all__ = ["both"]


def bundle(far: Far, since: object, code: int = 0) -> Path:
    """Of what the mirror has now."""
    file = far.near.home / "bundle.tar"
    ended = far.near.run("bundle", str(far.folder), "--since", str(since), "--output", str(file))
    assert ended.returncode == code, ended.stderr
    return file


def import_(far: Far, file: Path, *options: str, code: int = 0) -> Any:
    ended = far.far.run("import", str(file), *options, CTISYNC_CTI__URL="http://127.0.0.1:1/")
    assert ended.returncode == code, ended.stderr
    return ended


def publish(far: Far) -> None:
    ended = far.mirror()
    assert ended.returncode == 0, ended.stderr


def carried(far: Far, since: object, code: int = 0) -> None:
    """One bundle brings the importing host where one that asks the feed comes."""
    publish(far)
    import_(far, bundle(far, since), code=code)
    ended = far.direct.run("sync")
    assert ended.returncode == code, ended.stderr
    exports = [host.run("export").stdout.encode().splitlines() for host in (far.far, far.direct)]
    assert [*map(comparable, exports[0])] == [*map(comparable, exports[1])]


def offset(far: Far) -> int:
    return int(status(far)["offset"])


def test_imports_bring_what_the_feed_has_through_snapshot_increments_gaps_and_a_poisoned_change(
    both: Far,
) -> None:
    far, history = both, both.feed.history
    carried(far, "none")
    for seed in (2, 3):
        churn(history, 700, seed=seed)
        carried(far, offset(far))
    history.gap(2500)
    churn(history, 5, seed=4)
    carried(far, offset(far))
    assert offset(far) == history.last_offset
    history.poison(history.names()[0])
    churn(history, 5, seed=5)
    far.feed.publish_snapshot()
    carried(far, "none")
    assert status(far)["checked_at"][:19] == far.manifest()["checked_at"][:19]


def test_a_bundle_is_a_mirror_once_it_is_extracted_and_the_same_mirror_gives_the_same_bytes(far: Far) -> None:
    publish(far)
    first = bundle(far, "none").read_bytes()
    assert bundle(far, "none").read_bytes() == first
    piped = far.near.run_raw("bundle", str(far.folder), "--since", "none", "--output", "-")
    assert piped.stdout == first
    far.copy.mkdir()
    subprocess.run(["/usr/bin/env", "tar", "-x", "-C", str(far.copy)], input=first, check=True)
    assert far.far.run("sync").returncode == 0
    churn(far.feed.history, 30, seed=2)
    publish(far)
    before = {path.name for path in far.place.iterdir()}
    with tarfile.open(bundle(far, offset(far))) as more:
        assert [each.name.partition("-")[0][-1] for each in more.getmembers()] == ["m", "c", "n"]
        assert all(each.mtime > 1_000_000_000 for each in more.getmembers()), (
            "so that rsync copies a new head"
        )
        more.extractall(far.copy, filter="data")
    assert before < {path.name for path in far.place.iterdir()}
    assert far.far.run("sync").returncode == 0
    assert offset(far) == far.feed.history.last_offset


def test_a_gap_is_refused_and_the_hint_heals(far: Far) -> None:
    carried(far, "none")
    had = offset(far)
    churn(far.feed.history, 2500, seed=2)
    publish(far)
    before = far.far.run("export").stdout
    late = bundle(far, far.feed.history.last_offset - 100)
    for options in ([], ["--dry-run"]):
        refused = import_(far, late, *options, code=6 if not options else 0)
        assert f"the changes after offset {had}, the mirror has those after 3000" in (
            refused.stderr + refused.stdout
        )
        assert f"ctisync bundle DIR --since {had} --output FILE" in refused.stderr + refused.stdout
    assert far.far.run("export").stdout == before
    carried(far, had)


@pytest.mark.parametrize("options", [[], ["--init"]])
def test_a_bundle_without_a_snapshot_begins_no_content(far: Far, options: list[str]) -> None:
    publish(far)
    refused = import_(far, bundle(far, far.feed.history.last_offset), *options, code=6)
    assert "a snapshot is needed" in refused.stderr
    assert "ctisync bundle DIR --since none --output FILE" in refused.stderr
    assert status(far)["phase"] in ("empty", "loading")
    import_(far, bundle(far, "none"))
    assert offset(far) == far.feed.history.last_offset


def test_another_history_is_refused_and_loaded_only_with_the_option(far: Far) -> None:
    far.feed.history.gap(-far.feed.history.last_offset % 1000 - 5)
    churn(far.feed.history, 5, seed=2)
    carried(far, "none")
    assert offset(far) == 2000, "the last change is the last of its segment"
    another_change(far.feed)
    churn(far.feed.history, 30, seed=3)
    shutil.rmtree(far.folder)
    publish(far)
    before = far.far.run("export").stdout
    refused = import_(far, bundle(far, 2000), code=6)
    assert "another history" in refused.stderr
    assert f"ctisync import {far.near.home / 'bundle.tar'} --init" in refused.stderr
    assert far.far.run("export").stdout == before
    import_(far, bundle(far, "none"), "--init", "--dry-run")
    assert far.far.run("export").stdout == before
    import_(far, bundle(far, "none"), "--init")
    assert offset(far) == far.feed.history.last_offset


def test_an_older_bundle_changes_nothing(far: Far) -> None:
    publish(far)
    old = bundle(far, "none").rename(far.near.home / "old.tar")
    churn(far.feed.history, 30, seed=2)
    carried(far, "none")
    before, state = far.far.run("export").stdout, status(far)
    ended = import_(far, old)
    assert "the mirror is behind" in ended.stderr
    assert far.far.run("export").stdout == before
    assert status(far)["checked_at"] == state["checked_at"]


def test_standard_input_and_pipes_are_spooled_and_nothing_is_left(far: Far) -> None:
    publish(far)
    file = bundle(far, "none")
    environ = {**far.far.environ, "CTISYNC_CTI__URL": "http://127.0.0.1:1/"}
    for shell in ("cat {0} | {1} import -", "{1} import - < {0}", "{1} import /dev/fd/3 3< <(cat {0})"):
        command = " ".join(far.far.command())
        typed = shell.format(file, command)
        ended = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", typed],
            env=environ,
            cwd=far.far.home,
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, (typed, ended.stderr)
    assert offset(far) == far.feed.history.last_offset
    assert list(far.far.database.parent.glob("*.part")) == []
    for option in ("--init", "--dry-run"):
        assert far.far.run("import", "-", option).returncode == 2


def test_a_cooldown_of_the_feed_does_not_hold_an_import_back(far: Far) -> None:
    publish(far)
    file = bundle(far, "none")
    environ = {"CTISYNC_CTI__URL": far.feed.url, "CTISYNC_CTI__COOLDOWN": "600"}
    far.feed.fail("info", failures.status(429, {"Retry-After": "600"}), times=None)
    assert far.far.run("sync", **environ).returncode == 5
    assert far.far.run("import", str(file), **environ).returncode == 0


@pytest.mark.parametrize(
    ("since", "hint"),
    [
        ("0", "--since none --output FILE"),
        ("999999", "ctisync mirror"),
        ("all", "--since none"),
        ("-1", "none"),
    ],
)
def test_changes_that_the_mirror_does_not_have_are_not_packed(far: Far, since: str, hint: str) -> None:
    publish(far)
    far.near.home.joinpath("bundle.tar").unlink(missing_ok=True)
    ended = far.near.run("bundle", str(far.folder), f"--since={since}", "--output", "bundle.tar")
    assert ended.returncode == (6 if since.isdecimal() else 2)
    assert hint in ended.stderr
    assert not (far.near.home / "bundle.tar").exists()


def test_a_mirror_that_is_damaged_or_not_complete_makes_no_bundle(far: Far) -> None:
    publish(far)
    home = far.folder / CONSUMER
    for path in sorted(home.glob("[csm]-*")):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert not bundle(far, "none", code=6).exists()
        path.write_bytes(content + b"x")
        assert not bundle(far, "none", code=6).exists()
        path.unlink()
        assert not bundle(far, "none", code=5).exists()
        path.write_bytes(content)
    assert bundle(far, "none").exists()


def test_a_bundle_of_another_consumer_is_named(far: Far) -> None:
    publish(far)
    file = bundle(far, "none")
    ended = far.far.run("import", str(file), CTISYNC_CONSUMERS='[{"consumer": "another"}]')
    assert ended.returncode == 6
    assert f"files of {CONSUMER}" in ended.stderr
