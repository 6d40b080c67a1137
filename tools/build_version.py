"""The version of a build, made of its commit. hatchling runs this file in each build (pyproject.toml).

    0.2.0                                         the commit that has the tag v0.2.0
    0.2.0.dev20261127102520+g35df7a8c             another commit, by its time (UTC): later ones sort higher
    0.2.0.dev20261127102520+g35df7a8c.d0b1c2d3    that commit, with changes that are not committed
    0.2.0.dev0+d0b1c2d3                           files without a commit

A clone, a shallow one, and an archive of one commit (`git archive`) have the same version. A source archive
of `make dist` keeps its version: hatchling reads it from PKG-INFO.
"""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = Path("src", "ctisync", "__init__.py")
"""It names the next release, and gets the version in a wheel: what runs has nothing to ask."""

PACKAGED: Final = (
    "README.md",
    "pyproject.toml",
    "docs/man",
    "examples",
    "packages",
    "src",
    Path(__file__).relative_to(ROOT),
)

_VERSION: Final = re.compile(r'(?m)^__version__ = "((\d+\.\d+\.\d+).*)"$')
_COMMIT: Final = re.compile(r"([0-9a-f]{40}) (\d+) (.*)")
_FORMAT: Final = "%H %ct %D"
"""As in .git_archival.txt, which git fills in when it makes an archive."""


def version(root: Path = ROOT) -> str:
    """That of the tree in a folder."""
    source = _VERSION.search((root / SOURCE).read_text(encoding="utf-8"))
    assert source is not None, SOURCE
    release = source[2]
    altered = _git(root, "status", "--porcelain", "--", *map(str, PACKAGED))
    commit = _COMMIT.match(_git(root, "log", "-1", f"--format={_FORMAT}") or _archived(root))
    if commit is None:
        return f"{release}.dev0+{_digest(root)}"
    if f"tag: v{release}" in commit[3].split(", ") and not altered:
        return release
    time = datetime.fromtimestamp(int(commit[2]), UTC)
    return f"{release}.dev{time:%Y%m%d%H%M%S}+g{commit[1][:8]}" + (f".{_digest(root)}" if altered else "")


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty if there is no git, or no repository of its own in this folder."""
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _archived(root: Path) -> str:
    file = root / ".git_archival.txt"
    return file.read_text(encoding="utf-8") if file.exists() else ""


def _digest(root: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(_files(root)):
        total.update(f"{path.relative_to(root).as_posix()}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return f"d{total.hexdigest()[:8]}"


def _files(root: Path) -> Iterator[Path]:
    for place in PACKAGED:
        paths = (root / place).rglob("*") if (root / place).is_dir() else [root / place]
        yield from (path for path in paths if path.is_file() and "__pycache__" not in path.parts)


class BuildHook(BuildHookInterface[Any]):
    """Puts the version into the wheel. An editable install runs the sources as they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is hatchling's word for the kind of wheel."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory()
        text = (Path(self.root) / SOURCE).read_text(encoding="utf-8")
        file = Path(self._folder.name, SOURCE.name)
        file.write_text(_VERSION.sub(f'__version__ = "{self.metadata.version}"', text), encoding="utf-8")
        build_data["force_include"][str(file)] = "ctisync/__init__.py"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self._folder.cleanup()
