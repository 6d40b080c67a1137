"""A network disk is known by what Linux tells of its mounts, and a local one is not taken for one."""

import io
import os
from pathlib import Path

import pytest

from ctisync.cli.invocation import Invocation
from ctisync.commands.passes import run_passes
from ctisync.console import Console
from ctisync.core.model import Consumer
from ctisync.core.pass_report import Ended
from ctisync.errors import AnotherPass
from ctisync.settings import Settings
from ctisync.settings.model import StoreSettings
from ctisync.settings.warnings import folder_warnings
from ctisync.stores.disk_space import diagnose_folder
from ctisync.sync.parts import Parts
from ctisync.system import mounts
from ctisync.system.mounts import network_disk_risk, network_kind
from tests.support.clock import FakeClock

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:45 / /srv/nfs rw,relatime shared:2 master:1 - nfs4 filer:/vol rw,vers=4.2,hard
25 22 0:46 / /srv/share\040of\040all rw - cifs //filer/all rw,uid=1000
26 24 8:2 / /srv/nfs/local rw - xfs /dev/sdb1 rw
27 22 0:47 / /mnt/ssh rw - fuse.sshfs me@host:/ rw
28 22 0:48 / /container rw - fuse.fuse-overlayfs fuse-overlayfs rw
29 22 0:49 / /twice rw - ext4 /dev/sdc1 rw
30 22 0:50 / /twice rw - nfs filer:/other rw
31 22 0:51 / /mnt/c rw - 9p C:\134 rw
32 22 0:52 / /mnt/odd\134name rw - ceph mon:/ rw
a line of another kind

"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/ctisync", None),
        ("/", None),
        ("/srv/nfs", "nfs4"),
        ("/srv/nfs/ctisync/state", "nfs4"),
        ("/srv/nfs-not", None),
        ("/srv/nfs/local/state", None),
        ("/srv/share of all/x", "cifs"),
        ("/mnt/ssh/x", "fuse.sshfs"),
        ("/container/x", None),
        ("/twice/x", "nfs"),
        ("/mnt/c/Users", "9p"),
        (r"/mnt/odd\name/x", "ceph"),
    ],
)
def test_the_kind_is_that_of_the_deepest_and_last_mount(path: str, kind: str | None) -> None:
    assert network_kind(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    "text", ["", "1 2 3", "1 2 0:1 / / rw - ", " - nfs", "1 2 0:1 / /\\999 rw - nfs x rw"]
)
def test_what_cannot_be_read_is_no_network_disk(text: str) -> None:
    assert network_kind(Path("/var"), text) is None


def test_the_root_of_a_machine_without_disks_is_one() -> None:
    assert network_kind(Path("/var"), "1 0 0:1 / / rw - nfs filer:/root rw") == "nfs"


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is said to be on another machine."""
    (tmp_path / "mounts").write_text(f"1 0 0:1 / {tmp_path.resolve()}/disk rw - nfs4 filer:/ rw")
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mounts")
    return tmp_path / "disk"


def test_a_folder_is_checked_where_its_links_lead(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "link").symlink_to(disk)
    fault = network_disk_risk(tmp_path / "link")
    assert fault is not None
    assert "(nfs4)" in fault.text
    assert network_disk_risk(tmp_path) is None


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
    assert network_kind(Path("/proc"), os.fsdecode(mounts.MOUNTS.read_bytes())) is None
