"""What the packages look like to the tools of distributions, and that the same tree makes the same bytes."""

import hashlib
import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packages.conftest import NFPM, PEX, Packages, lines_of
from tests.tooling.test_packages import VERSIONS
from tools import release_files
from tools.packages import ROOT, Build, packaged_version


def lines(*command: str) -> str:
    pipe = subprocess.PIPE
    done = subprocess.run(command, cwd=ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False)
    return f"{done.stdout}ended with {done.returncode}"


def test_lintian_finds_no_error_and_no_override_is_for_nothing(newer: Packages) -> None:
    printed = lines("lintian", "--allow-root", "--tag-display-limit=0", str(newer.deb))
    assert [line for line in printed.splitlines() if line.startswith("E:")] == []
    assert "unused-override" not in printed
    assert "ended with 0" in printed


def test_rpmlint_finds_no_error(newer: Packages) -> None:
    printed = lines("rpmlint", "--config", "packages/rpmlint.toml", str(newer.rpm))
    assert [line for line in printed.splitlines() if " E: " in line] == []
    assert " 0 errors" in printed


def test_shellcheck_takes_each_script() -> None:
    files = [path for path in (ROOT / "packages").iterdir() if path.is_file()]
    scripts = [str(path) for path in files if path.read_text().startswith("#!/bin/sh")]
    assert len(scripts) == 5
    assert lines("shellcheck", *scripts) == "ended with 0"


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(map(packaged_version, VERSIONS))))
def test_dpkg_and_rpm_order_versions_as_pip_does(older: str, newer: str) -> None:
    assert lines("dpkg", "--compare-versions", older, "lt", newer) == "ended with 0"
    assert lines("rpm", "--eval", f'%{{lua:print(rpm.vercmp("{older}", "{newer}"))}}') == "-1\nended with 0"


def test_the_same_tree_makes_the_same_bytes_elsewhere_later_and_with_another_umask(
    builds: dict[str, Build], newer: Packages, pyz: Path, tmp_path: Path
) -> None:
    """The packages under test were made a while ago, with the usual umask."""
    wheel = builds["newer"].wheel
    other = tmp_path / "another place"
    before = os.umask(0o077)
    try:
        other.mkdir()
        shutil.copy(wheel, other)
        build = Build(other, ROOT / ".wheels")
        build.system_packages(NFPM, "amd64")
        build.one_file(PEX, "x86_64")
    finally:
        os.umask(before)
    for path in (newer.deb, newer.rpm, pyz):
        digests = {hashlib.sha256(each.read_bytes()).hexdigest() for each in (path, other / path.name)}
        assert len(digests) == 1, path.name


def test_hashes_and_bill_of_materials_cover_the_packages(newer: Packages, pyz: Path) -> None:
    folder = newer.deb.parent
    release_files.main(folder)
    sums = (folder / "SHA256SUMS").read_text()
    assert [path.name for path in (newer.deb, newer.rpm, pyz) if f"  {path.name}\n" not in sums] == []
    checked = lines("sh", "-c", f"cd '{folder}' && {lines_of('verify')}")
    assert f"{newer.deb.name}: OK\n" in checked
    assert "ended with 0" in checked
    in_package = lines("dpkg-deb", "--contents", str(newer.deb))
    bill = (folder / f"ctisync-{newer.version}.cdx.json").read_text()
    names = set(re.findall(r"/usr/lib/ctisync/(?:[\w-]+/)?(\w+)-[^/]+\.dist-info/METADATA", in_package))
    assert len(names) > 20
    assert {
        name for name in names - {"ctisync"} if f'"{name.lower().replace("_", "-")}"' not in bill
    } == set()
