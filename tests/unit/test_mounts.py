"""A network disk is known by what Linux tells of its mounts, and a local one is not taken for one."""

import io
import os
from pathlib import Path

import pytest

from ctisync.backends import StoreSettings
from ctisync.cli.invocation import Invocation
from ctisync.commands.passes import run_passes
from ctisync.console import Console
from ctisync.core.model import Consumer
from ctisync.core.pass_report import Ended
from ctisync.errors import AnotherPass
from ctisync.settings import Settings
from ctisync.settings.checks import folder_warnings
from ctisync.sync.parts import Parts
from ctisync.system import folders
from ctisync.system.folders import diagnose_folder, network_disk_risk, network_kind
from tests.support.clock import FakeClock

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:45 / /srv/nfs rw,relatime shared:2 master:1 - nfs4 filer:/vol rw,vers=4.2,hard
25 22 0:46 / /srv/share\040of\040all rw - cifs //filer/all rw,uid=1000
26 24 8:2 / /srv/nfs/local rw - xfs /dev/sdb1 rw
27 22 0:47 / /mnt/ssh rw - fuse.sshfs me@host:/ rw
28 22 0:48 / /container rw - fuse.fuse-overlayfs fuse-overlayfs rw
31 22 0:51 / /mnt/c rw - 9p C:\134 rw
a line of another kind

"""


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("8:1", None),
        ("0:21", None),
        ("0:45", "nfs4"),
        ("0:4", None),
        ("8:2", None),
        ("0:46", "cifs"),
        ("0:47", "fuse.sshfs"),
        ("0:48", None),
        ("0:51", "9p"),
        ("0:99", None),
    ],
)
def test_the_kind_is_that_of_the_mount_with_the_device(device: str, kind: str | None) -> None:
    assert network_kind(device, MOUNTS) == kind


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 0:1 / / rw - ", " - nfs", "1 2 0:1 / / rw nfs x rw"])
def test_what_cannot_be_read_is_no_network_disk(text: str) -> None:
    assert network_kind("0:1", text) is None


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is said to be on another machine."""
    (tmp_path / "disk").mkdir()
    device = (tmp_path / "disk").stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    (tmp_path / "mounts").write_text(f"1 0 {number} / {tmp_path.resolve()}/disk rw - nfs4 filer:/ rw")
    monkeypatch.setattr(folders, "MOUNTS", tmp_path / "mounts")
    return tmp_path / "disk"


def test_a_folder_is_checked_where_its_links_lead(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "link").symlink_to(disk)
    fault = network_disk_risk(tmp_path / "link")
    assert fault is not None
    assert "(nfs4)" in fault.text
    assert network_disk_risk(Path("/proc")) is None


def test_a_folder_is_checked_before_it_exists(disk: Path) -> None:
    assert network_disk_risk(disk / "not" / "yet") is not None


@pytest.mark.parametrize("setting", ["store.url", "state_dir"])
def test_config_check_doctor_and_each_run_of_passes_warn_of_it(disk: Path, setting: str) -> None:
    store = f"sqlite:///{disk}/ctisync.db" if setting == "store.url" else "http://127.0.0.1:9"
    settings = Settings(store=StoreSettings(url=store), state_dir=disk)
    log, passed = io.StringIO(), []

    def one(parts: Parts, *_: object) -> Ended:
        passed.append(parts.consumer)
        raise AnotherPass("it is at work")

    (advice,) = folder_warnings(settings)
    result = diagnose_folder(disk, is_made=False)
    twice = (Consumer(name="one"), Consumer(name="other"))
    invocation = Invocation(
        settings=settings,
        consumers=twice,
        clock=FakeClock(),
        console=Console(log, FakeClock()),
    )
    run_passes(invocation, one)

    assert "(nfs4)" in advice.text
    assert (result.health, result.text) == ("warning", advice.text)
    assert log.getvalue().count("network-disk") == 1
    assert passed == list(twice)


def test_this_machine_lists_its_mounts() -> None:
    device = Path("/proc").stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    assert f" {number} " in folders.MOUNTS.read_text()
    assert network_disk_risk(Path("/proc")) is None
