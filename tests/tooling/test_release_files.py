"""What `make dist` writes beside archive and wheel: what is in them can be told, and checked."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tooling.test_tree import MACHINE_PATHS, REGISTRIES
from tools import release_files

VERSION = "0.2.0.dev7+g0000000f"
LOCK = release_files.RUNTIME.read_text()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    (folder / f"ctisync-{VERSION}-py3-none-any.whl").write_bytes(b"wheel")
    release_files.main(folder)
    return folder


@pytest.fixture(scope="module")
def parts(dist: Path) -> dict[str, Any]:
    bill: dict[str, Any] = json.loads((dist / f"ctisync-{VERSION}.cdx.json").read_text())
    return bill


def test_the_list_of_parts_is_one_to_the_standard(dist: Path, parts: dict[str, Any]) -> None:
    # Here: importing them takes two seconds.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (dist / f"ctisync-{VERSION}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert (parts["bomFormat"], parts["specVersion"]) == ("CycloneDX", "1.6")


def test_each_package_of_the_run_time_set_is_in_it_with_the_hashes_that_pip_asks_for(
    parts: dict[str, Any],
) -> None:
    hashes = {
        f"{part['name']}=={part['version']}": {each["content"] for each in part["hashes"]}
        for part in parts["components"]
    }
    pinned = re.split(r"(?m)^(?=\w)", LOCK)[1:]
    assert len(pinned) > 20
    assert hashes == {pin.split()[0]: set(re.findall("sha256:([0-9a-f]{64})", pin)) for pin in pinned}
    licences = [part["name"] for part in parts["components"] if "licenses" in part]
    assert len(licences) > len(hashes) / 2, "licences are hardly known"


def test_each_part_is_there_because_ctisync_wants_it_or_what_it_wants(parts: dict[str, Any]) -> None:
    wants = {each["ref"]: each.get("dependsOn", []) for each in parts["dependencies"]}
    reached, pending = {"ctisync"}, ["ctisync"]
    while pending:
        new = set(wants[pending.pop()]) - reached
        reached |= new
        pending += new
    assert reached == {"ctisync", *(part["bom-ref"] for part in parts["components"])}


def test_nothing_names_the_machine_that_made_it_and_the_same_tree_makes_the_same(
    dist: Path, parts: dict[str, Any]
) -> None:
    text = (dist / f"ctisync-{VERSION}.cdx.json").read_text()
    assert [word for word in (*REGISTRIES, *MACHINE_PATHS, str(Path.home())) if word in text] == []
    assert set(re.findall(r"[a-z]+://[^/\"]+", text)) == {"http://cyclonedx.org"}, (
        "an address but the schema's"
    )
    assert set(parts["metadata"]) == {"component"}
    assert text == release_files.parts(LOCK, VERSION)


def test_what_was_damaged_on_the_way_shows(dist: Path, tmp_path: Path) -> None:
    shutil.copytree(dist, tmp_path / "dist")
    folder = tmp_path / "dist"
    sha256sum = shutil.which("sha256sum")
    assert sha256sum is not None
    check = [sha256sum, "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 0
    named = {line.split()[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    assert (folder / f"ctisync-{VERSION}-requirements.txt").read_text() == LOCK
    for name in named:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1])
        assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode != 0, name
        (folder / name).write_bytes(whole)
