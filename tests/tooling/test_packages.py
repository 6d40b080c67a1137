"""What `make packages` puts together. tests/packages installs it, which needs root and Debian's archive."""

import ast
import itertools
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.version import Version

from ctisync.core.versions import key, order
from tests.support.unit_filter import ANALYZE, values
from tests.tooling.test_tree import ROOT
from tools.package_tree import PYTHONS, UNUSED, libraries, without_debug_sections
from tools.packages import UNIT_CHANGES, built_at, packaged_version, unit, write

PACKAGES = ROOT / "packages"
UNITS = ROOT / "examples" / "systemd-timer"
VERSIONS = (
    "0.1.0",
    "0.2.0.dev0+d0b1c2d3",
    "0.2.0.dev20261127102520+g35df7a8c",
    "0.2.0.dev20261127102520+g35df7a8c.d0b1c2d3",
    "0.2.0.dev20261127102521+g00000000",
    "0.2.0",
    "0.2.1.dev20270101000000+gffffffff",
)


@pytest.mark.parametrize(("older", "newer"), list(itertools.pairwise(VERSIONS)))
def test_dpkg_rpm_and_pip_put_a_build_below_its_release_and_above_earlier_builds(
    older: str, newer: str
) -> None:
    assert Version(older) < Version(newer)
    for scheme in ("dpkg", "rpm"):
        assert order(key(scheme, packaged_version(older)), key(scheme, packaged_version(newer))) == -1, scheme


def test_the_time_of_a_package_is_that_of_its_commit_or_of_its_release() -> None:
    changelog = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-05\n\n## [0.1.0] - 2026-11-01\n"
    assert built_at("0.2.0.dev20261127102520+g35df7a8c", changelog) == 1795775120
    assert built_at("0.2.0", changelog) == 1796428800
    assert built_at("0.2.0.dev0+d0b1c2d3", changelog) == built_at("0.3.0", changelog) == 1577836800


def test_each_list_of_pythons_is_that_of_the_project() -> None:
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert tuple(classifiers) == PYTHONS
    launcher, after_install = ((PACKAGES / name).read_text() for name in ("ctisync", "postinst.sh"))
    description = (PACKAGES / "nfpm.yaml").read_text()
    for text in (launcher, after_install):
        assert sorted(re.findall(r"/usr/bin/python(3\.\d+)", text)) == list(PYTHONS)
    assert re.findall(r"- /usr/bin/python(3\.\d+)", description) == list(PYTHONS)
    assert f"- {' | '.join(f'python{python}' for python in PYTHONS)}\n" in description
    assert f"- ({' or '.join(f'python(abi) = {python}' for python in PYTHONS)})\n" in description


def test_where_no_supported_python_is_the_command_says_so(tmp_path: Path) -> None:
    script = (PACKAGES / "ctisync").read_text().replace("/usr/bin/python3", str(tmp_path / "python3"))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no Python 3.11 to 3.14 in" in done.stderr
    assert "  try: " in done.stderr


def test_the_units_of_a_package_are_the_examples_for_a_user_that_stays() -> None:
    service = (UNITS / "ctisync.service").read_text()
    assert [change for change in UNIT_CHANGES if change not in service] == []
    for path in UNITS.glob("*.service"):
        packaged = unit(path.read_text())
        assert "/usr/local" not in packaged
        assert "ctisync below one" not in packaged, "a note on other ways to install"
        if path.name != "ctisync-failure@.service":
            assert values(packaged, "User") == values(packaged, "Group") == ["ctisync"]
            assert (values(packaged, "DynamicUser"), values(packaged, "StateDirectoryMode")) == ([], ["2750"])
            assert len(packaged.splitlines()) > 40


@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not here: NOTHING CHECKS THE UNITS")
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        text = unit(path.read_text()).replace("/usr/bin/ctisync", "/bin/true")
        (tmp_path / path.name.replace("@.", "@north.")).write_text(text)
    units = [f"./{path.name}" for path in tmp_path.iterdir()]
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", *units], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    with ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as made:
        for path, content in files.items():
            made.writestr(path, content)
    return folder / f"{name}-1-py3-none-any.whl"


def test_pythons_share_a_folder_and_a_library_that_one_of_them_lacks_is_not_in_it(tmp_path: Path) -> None:
    """simdjson without its module in C raises RuntimeError. Where it is absent, msgspec does its work."""
    common = {"a/b.py": "", "grpc/c.py": ""}
    first, second = tmp_path / "first", tmp_path / "second"
    fast = wheel(first, "simdjson", {"simdjson/e.py": "", "f.txt": "13"})
    with_13 = wheel(first, "a", common | {"a/d.cpython-313-x.txt": "13"})
    with_14 = wheel(second, "a", common | {"a/d.cpython-314-x.txt": "14"})
    made = libraries({"cpython-313-x": [with_13, fast], "cpython-314-x": [with_14]})
    assert made == {
        "a/b.py": b"",
        "a/d.cpython-313-x.txt": b"13",
        "a/d.cpython-314-x.txt": b"14",
        "cpython-313-x/simdjson/e.py": b"",
        "cpython-313-x/f.txt": b"13",
    }


def test_a_file_that_is_not_the_same_for_each_python_ends_the_build(tmp_path: Path) -> None:
    wheels = {word: [wheel(tmp_path / word, "a", {"a/b.py": word})] for word in ("one", "two")}
    with pytest.raises(ValueError, match=r"a/b\.py is not the same in a-1-"):
        libraries(wheels)


def test_a_library_without_its_debug_sections_still_loads(tmp_path: Path) -> None:
    package = Path(str(distribution("zstandard").locate_file("zstandard")))
    (tmp_path / "zstandard").mkdir()
    sizes = []
    for path in [*package.glob("*.py"), *package.glob("backend_c*.so")]:
        content = path.read_bytes()
        if path.suffix == ".so":
            content, before = without_debug_sections(content), len(content)
            sizes.append(len(content) / before)
        (tmp_path / "zstandard" / path.name).write_bytes(content)
    code = "import zstandard as z; print(z.__file__, z.decompress(z.compress(bytes(9))) == bytes(9))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path}/zstandard/__init__.py True\n"
    assert sizes
    with pytest.raises(ValueError, match="not a library"):
        without_debug_sections(b"\x7fELF\x01 of another processor" + bytes(80))


def test_what_packages_leave_out_is_imported_by_no_library_that_ctisync_has() -> None:
    """opensearch-py asks for grpcio and protobuf without a module that imports them."""
    absent = {name.partition("/")[0] for name in UNUSED if name.endswith("/*")} & {
        "grpc",
        "google",
        "opensearch",
    }
    assert absent == {"grpc", "google", "opensearch"}
    modules = [path for path in distribution("opensearch-py").files or [] if path.suffix == ".py"]
    assert len(modules) > 100
    for module in modules:
        for node in ast.walk(ast.parse(Path(str(module.locate())).read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            assert not absent & {name.partition(".")[0] for name in names}, module


def test_no_part_of_ctisync_imports_what_packages_leave_out() -> None:
    """Loads each module of ctisync, and what its functions import later. No package has aiohttp; with that,
    opensearch-py loads more."""
    code = """
import importlib, pkgutil, sys
import ctisync
sys.modules["aiohttp"] = None
for module in pkgutil.walk_packages(ctisync.__path__, "ctisync."):
    if module.name not in ("ctisync.__main__", "ctisync.mirror.serve_http"):
        importlib.import_module(module.name)
for library in sys.argv[1:]:
    importlib.import_module(library)
files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
print(*filter(None, files), sep="\\n")
"""
    later = ("opensearchpy.helpers", "minisign", "rich.console", "rich.progress", "rich.syntax", "rich.table")
    done = subprocess.run(
        [sys.executable, "-c", code, *later], capture_output=True, text=True, check=True, cwd=ROOT
    )
    site = distribution("rich").locate_file("")
    paths = [Path(line) for line in done.stdout.splitlines()]
    names = [path.relative_to(str(site)).as_posix() for path in paths if path.is_relative_to(str(site))]
    assert {"minisign/__init__.py", "opensearchpy/__init__.py", "pygments/lexers/__init__.py"} <= set(names)
    assert [name for name in names if any(fnmatch(name, unused) for unused in UNUSED)] == []


def test_files_have_the_modes_and_times_of_the_package_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write({"usr/bin/ctisync": b"", "usr/lib/ctisync/a.py": b""}, tmp_path / "tree", 1_000_000_000)
    finally:
        os.umask(before)
    made = {
        path.relative_to(tmp_path / "tree").as_posix(): (path.stat().st_mode & 0o777, path.stat().st_mtime)
        for path in (tmp_path / "tree").rglob("*")
    }
    assert made["usr/bin/ctisync"] == (0o755, 1e9)
    assert made["usr/lib/ctisync/a.py"] == (0o644, 1e9)
    assert made["usr/lib/ctisync"] == made["usr"] == (0o755, 1e9)
