"""An older build is replaced by a newer one with the lines of the documents, and each says which it is."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import Final

import pytest
from packaging.version import Version

from ctisync import __version__
from tests.docs import page
from tests.tooling.test_tree import ROOT, texts
from tools import build_version

QUICK_START: Final = (ROOT / "docs" / "quick-start.md").read_text()
UPGRADING: Final = (
    (ROOT / "docs" / "operations.md").read_text().split("### Upgrading\n")[1].split("\n### ")[0]
)
RELEASE: Final = __version__.partition(".dev")[0]
TIMES: Final = {"older": "2026-11-27T10:25:20Z", "newer": "2026-11-27T12:00:00+01:00"}
VERSIONS: Final = {"older": f"{RELEASE}.dev20261127102520+g", "newer": f"{RELEASE}.dev20261127110000+g"}


class Clone:
    """A repository with the files of this tree, and two commits of which each prints another description."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in texts():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        for name in (".git_archival.txt", ".gitattributes", ".gitignore"):
            shutil.copy(ROOT / name, folder / name)
        self.git("init", "--quiet")
        for word, time in TIMES.items():
            self.is_about(word)
            self.git("add", "--all")
            self.git("commit", "--quiet", "--message", word, time=time)
            self.git("branch", word)

    def is_about(self, word: str) -> None:
        init = self.folder / build_version.SOURCE
        lines = init.read_text().splitlines()
        init.write_text("\n".join([f'"""{word}"""', *lines[1:], ""]))

    def git(self, *arguments: str, time: str = "") -> str:
        environ = {"HOME": str(self.folder), "GIT_COMMITTER_DATE": time} if time else {}
        names = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        return typed(["git", *names, *arguments], self.folder, **environ)

    def build(self, word: str, folder: Path, *kind: str, **environ: str) -> str:
        """The name of the wheel."""
        self.git("checkout", "--quiet", "--force", word)
        build = [sys.executable, "-m", "build", "--no-isolation", *kind, "--outdir", str(folder)]
        typed([*build, str(self.folder)], self.folder, **environ)
        (wheel,) = folder.glob("ctisync-*.whl")
        return wheel.name


def typed(command: list[str], folder: Path, **environ: str) -> str:
    """What a command prints that must succeed."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def description(python: Path) -> str:
    """What the code says that runs there."""
    return typed([str(python), "-c", "import ctisync; print(ctisync.__doc__)"], python.parent)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_the_lines_for_the_whole_host_replace_an_older_build(clone: Clone, tmp_path: Path) -> None:
    """Builds of different code once had one version: pip said "already installed", exit code 0, and the older
    one stayed."""
    venv.create(tmp_path / "venv", with_pip=True)
    (block,) = [block for block in page.blocks(QUICK_START, "sh") if "install-for-all" in block.names]
    lines = [line.removeprefix("sudo ") for line in block.text.splitlines() if "/bin/pip install" in line]
    assert ["--require-hashes" in line for line in lines] == [True, False]
    for word in TIMES:
        clone.build(word, tmp_path / word / "dist", "--wheel")
        shutil.copytree(ROOT / "requirements", tmp_path / word / "requirements")
        for line in lines:
            typed(["/bin/sh", "-c", line.replace("/opt/ctisync", str(tmp_path / "venv"))], tmp_path / word)
        assert description(tmp_path / "venv" / "bin" / "python") == word
    printed = typed([str(tmp_path / "venv" / "bin" / "ctisync"), "--version"], tmp_path)
    assert printed.startswith(f"ctisync {VERSIONS['newer']}")


def test_the_line_for_one_user_replaces_an_older_build(clone: Clone, tmp_path: Path) -> None:
    """By the pipx of Debian 12, which has no `upgrade-shared`."""
    venv.create(tmp_path / "venv", with_pip=True)
    pip = [str(tmp_path / "venv" / "bin" / "pip"), "install", "--quiet", "--require-hashes"]
    typed([*pip, "--requirement", str(ROOT / "requirements" / "pipx.txt")], tmp_path)
    (block,) = [block for block in page.blocks(QUICK_START, "sh") if "install" in block.names]
    install, version = block.text.splitlines()
    (again,) = re.findall(r"`(pipx install --force [^`]*)`", UPGRADING)

    home = tmp_path / "home"
    environ = {"HOME": str(home), "PATH": f"{home}/.local/bin:{tmp_path}/venv/bin:{os.environ['PATH']}"}
    for word, line in zip(TIMES, (install, again), strict=True):
        clone.git("checkout", "--quiet", word)
        typed(["/bin/sh", "-c", line], clone.folder, **environ)
        assert typed(["/bin/sh", "-c", version], tmp_path, **environ).startswith(f"ctisync {VERSIONS[word]}")
        assert clone.git("status", "--porcelain") == "", "a build leaves something behind"
    assert description(home / ".local" / "pipx" / "venvs" / "ctisync" / "bin" / "python") == "newer"


def test_each_tree_has_its_own_version_and_later_ones_sort_above(clone: Clone) -> None:
    versions = []
    for word in TIMES:
        clone.git("checkout", "--quiet", word)
        versions.append(build_version.version(clone.folder))
        assert versions[-1] == VERSIONS[word] + clone.git("rev-parse", "HEAD")[:8]
        for change in ("one", "another"):
            clone.is_about(change)
            versions.append(build_version.version(clone.folder))
        clone.git("checkout", "--quiet", "--force", word)

    assert len(set(versions)) == len(versions) == 6
    older, *altered, newer = map(Version, versions[:4])
    assert all(older < each < newer for each in altered)
    assert all(Version("0.1.0") < Version(each) < Version(RELEASE) for each in versions)
    assert [each for each in versions if str(Version(each)) != each] == [], "a wheel would have another name"


def test_a_tagged_commit_has_the_version_of_its_tag(clone: Clone) -> None:
    clone.git("tag", f"v{RELEASE}")
    assert build_version.version(clone.folder) == RELEASE
    clone.is_about("a change")
    assert build_version.version(clone.folder).startswith(VERSIONS["newer"])


def test_after_a_release_the_sources_name_the_next_one() -> None:
    """Else each later build would sort below the release."""
    git = ["git", "-C", str(ROOT), "tag", "--list", f"v{RELEASE}"]
    if (ROOT / ".git").exists() and typed(git, ROOT):
        assert f"v{RELEASE}" in typed([*git[:4], "--points-at", "HEAD"], ROOT).split()


def test_a_shallow_clone_and_an_archive_have_the_version_of_their_commit(
    clone: Clone, tmp_path: Path
) -> None:
    shallow, archive = tmp_path / "shallow", tmp_path / "outer" / "archive"
    clone.git("clone", "--quiet", "--depth=1", f"file://{clone.folder}", str(shallow))
    clone.git("archive", "--output", str(tmp_path / "archive.tar"), "HEAD")
    with tarfile.open(tmp_path / "archive.tar") as opened:
        opened.extractall(archive, filter="data")
    clone.git("init", "--quiet", str(archive.parent))  # it may lie in a repository of another program

    (common,) = {build_version.version(folder) for folder in (clone.folder, shallow, archive)}
    assert common.startswith(VERSIONS["newer"])


def test_files_without_git_are_built_and_have_a_version_of_their_own(clone: Clone, tmp_path: Path) -> None:
    """The wheel is made from the source archive, whose version it keeps."""
    (tmp_path / "bin").mkdir()
    names = {
        clone.build(word, tmp_path / word, PATH=str(tmp_path / "bin")).partition("-py3")[0] for word in TIMES
    }
    assert len(names) == 2
    assert all(re.fullmatch(rf"ctisync-{RELEASE}\.dev0\+d[0-9a-f]{{8}}", name) for name in names)
    assert {path.stem for word in TIMES for path in (tmp_path / word).glob("*.tar.gz")} == {
        f"{name}.tar" for name in names
    }
