"""A folder is followed through the same door as the CTI API: commands know the port of a feed alone."""

import io
from pathlib import Path
from typing import Any

import pytest

from ctisync.cli.invocation import Invocation
from ctisync.commands.doctor import diagnose
from ctisync.commands.passes import run_passes
from ctisync.commands.sync import plan_passes
from ctisync.console import Console
from ctisync.errors import FeedUnreachable
from ctisync.settings import CtiSettings, LoadedSettings, Settings, StoreSettings
from ctisync.wiring import FEEDS, opened_store
from tests.support.clock import FakeClock
from tests.support.feed_history import History, churn, populate
from tests.support.folder_feed import CHANGES, Mirror, opened_folder
from tests.support.records import comparable


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    monkeypatch.setitem(FEEDS, "file", opened_folder)
    history = History("vd_1.0.0")
    populate(history, 30)
    mirror = Mirror(tmp_path / "mirror", history)
    mirror.publish_snapshot()
    churn(history, 40)
    mirror.publish_changes()
    return mirror


@pytest.fixture
def invocation(mirror: Mirror, tmp_path: Path) -> Invocation:
    settings = Settings(
        cti=CtiSettings(url=mirror.url),
        store=StoreSettings(url=f"sqlite:///{tmp_path / 'ctisync.db'}"),
        state_dir=tmp_path,
    )
    return Invocation.of(settings, "sync", FakeClock(), Console(io.StringIO(), FakeClock()))


def stored(invocation: Invocation) -> list[Any]:
    with opened_store(invocation.settings, invocation.clock) as store:
        return [comparable(line) for line in store.export(invocation.consumers[0])]


def expected(mirror: Mirror) -> list[Any]:
    records = mirror.history.stored_records(mirror.history.first_offset + 30)
    return [comparable(line) for _, line in sorted(records.items())]


def test_a_mirror_is_loaded_and_then_followed(mirror: Mirror, invocation: Invocation) -> None:
    assert run_passes(invocation) == 0
    assert stored(invocation) == expected(mirror)

    churn(mirror.history, 1500, seed=2)
    mirror.publish_changes()
    assert run_passes(invocation) == 0
    assert stored(invocation) == expected(mirror)


def test_a_mirror_that_is_gone_ends_the_pass_as_a_feed_does(mirror: Mirror, invocation: Invocation) -> None:
    assert run_passes(invocation) == 0
    (mirror.folder / CHANGES).unlink()
    assert run_passes(invocation) == FeedUnreachable.exit_code
    assert stored(invocation) == expected(mirror), "readers keep what they have"


def test_a_dry_run_and_doctor_read_the_mirror(
    mirror: Mirror, invocation: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan_passes(invocation) == 0
    assert f"load the snapshot of offset {mirror.history.first_offset + 30:,}" in capsys.readouterr().out

    loaded = LoadedSettings(invocation.settings, sources={}, files=())
    checks = diagnose(loaded, invocation.consumers, invocation.clock, invocation.console)
    results = {each.what: each for each in checks}
    assert results["feed"].health == "ok"
    assert f"changes up to offset {mirror.history.last_offset:,}" in results["feed"].text
