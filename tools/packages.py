"""`make packages`: .deb, .rpm and .pyz into `dist/`, beside the wheel that `make dist` has put there.

    python -m tools.packages dist --nfpm PROGRAM --pex PROGRAM

Packages are for two processors, whichever this machine has. The same tree makes the same bytes: files have
the time of `built_at` and modes of their own, and each tool is locked.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tools import release_files
from tools.package_tree import PYTHONS, download, libraries

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ROOT / "packages"
MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}

UNIT_CHANGES: Final = {
    "/usr/local/bin/ctisync": "/usr/bin/ctisync",
    "systemd creates the user for each pass, so the file must be readable by all\n# users. Do not put":
        "The user ctisync must be able to read it, and so can\n# each user: do not put",
    # A user that stays can have readers: the members of its group. The last line is a part of DynamicUser=.
    "DynamicUser=yes": "User=ctisync\nGroup=ctisync\nRemoveIPC=yes",
    "StateDirectoryMode=0700": "StateDirectoryMode=2750",
    "UMask=0077": "UMask=0027",
}  # fmt: skip
"""What a unit of examples/systemd-timer is in a package."""

_HOME_NOTE: Final = ("# ProtectHome= hides home folders", "# --tolerate-cooldown:")
"""Where a note in ctisync.service begins, and what follows it: it is about other ways to install."""


def packaged_version(version: str) -> str:
    """As dpkg and rpm order it: a development build is below its release, as for pip."""
    return version.replace(".dev", "~dev", 1)


def built_at(version: str, changelog: str) -> int:
    """Seconds since 1970 that the packages of a version say of themselves: the time of its commit, or the day
    of its release in the changelog."""
    digits = version.partition(".dev")[2].partition("+")[0]
    if len(digits) == 14:
        return int(datetime.strptime(f"{digits}+0000", "%Y%m%d%H%M%S%z").timestamp())
    _, _, rest = changelog.partition(f"\n## [{version}] - ")
    return int(datetime.fromisoformat(f"{rest[:10] or '2020-01-01'}T00:00:00Z").timestamp())


def unit(text: str) -> str:
    """A unit of examples/systemd-timer as a package has it."""
    begin, after = map(text.find, _HOME_NOTE)
    text = text[:begin] + text[after:] if begin != -1 else text
    for example, packaged in UNIT_CHANGES.items():
        text = text.replace(example, packaged)
    return text


def files(library: Mapping[str, bytes], version: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of what packages install; below "debian", what goes to /usr of a .deb alone."""
    yield from ((f"usr/lib/ctisync/{path}", content) for path, content in library.items())
    yield "usr/lib/ctisync/__main__.py", (SOURCES / "start.py").read_bytes()
    yield "usr/bin/ctisync", (SOURCES / "ctisync").read_bytes()
    yield "etc/ctisync/config.toml", (SOURCES / "config.toml").read_bytes()
    for path in sorted((ROOT / "examples" / "systemd-timer").iterdir()):
        yield f"usr/lib/systemd/system/{path.name}", unit(path.read_text(encoding="utf-8")).encode()
    yield "usr/share/man/man1/ctisync.1.gz", _gzip((ROOT / "docs" / "man" / "ctisync.1").read_bytes())
    yield "usr/share/bash-completion/completions/ctisync", _ctisync("completion", "bash")
    for folder in ("usr/share/zsh/site-functions", "debian/share/zsh/vendor-completions"):
        yield f"{folder}/_ctisync", _ctisync("completion", "zsh")
    yield "usr/share/fish/vendor_completions.d/ctisync.fish", _ctisync("completion", "fish")
    yield from _documentation(version)


def _documentation(version: str) -> Iterator[tuple[str, bytes]]:
    folder = "usr/share/doc/ctisync"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    time = datetime.fromtimestamp(built_at(version, changelog), UTC)
    entry = f"ctisync ({packaged_version(version)}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
    entry += f" -- The authors of ctisync <ctisync@localhost>  {time:%a, %d %b %Y %H:%M:%S +0000}\n"
    yield f"{folder}/changelog.gz", _gzip(entry.encode())
    yield f"{folder}/CHANGELOG.md.gz", _gzip(changelog.encode())
    yield f"{folder}/copyright", (SOURCES / "copyright").read_bytes()
    yield "debian/share/lintian/overrides/ctisync", (SOURCES / "lintian-overrides").read_bytes()
    for path in sorted((ROOT / "examples").rglob("*")):
        if path.is_file() and path.parent.name != "systemd-timer":  # the package has its units
            yield f"{folder}/{path.relative_to(ROOT)}", path.read_bytes()


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def _ctisync(*arguments: str) -> bytes:
    """What ctisync prints, without settings of this machine."""
    command = [sys.executable, "-m", "ctisync", *arguments]
    return subprocess.run(command, cwd=ROOT, env={}, stdout=subprocess.PIPE, check=True).stdout


def write(tree: Mapping[str, bytes], folder: Path, time: int) -> None:
    """The files in a folder. Whatever the umask, modes are those that the packages install."""
    for path, content in tree.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if path.startswith("usr/bin/") else 0o644)
        os.utime(file, (time, time))
    for each in [folder, *folder.rglob("*")]:
        if each.is_dir():
            each.chmod(0o755)
            os.utime(each, (time, time))


class Build:
    """Of the one wheel in the folder `dist`, which gets the packages. `wheels` keeps those it needs."""

    def __init__(self, dist: Path, wheels: Path) -> None:
        self.dist, self.wheels = dist, wheels
        (self.wheel,) = dist.glob("ctisync-*.whl")
        self.version = self.wheel.name.split("-")[1]
        self.time = built_at(self.version, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))

    def system_packages(self, nfpm: str, arch: str) -> None:
        """The .deb and the .rpm for a processor of MACHINES."""
        with tempfile.TemporaryDirectory() as folder:
            write(dict(files(self._libraries(MACHINES[arch]), self.version)), Path(folder), self.time)
            version = packaged_version(self.version)
            for kind in ("deb", "rpm"):
                command = [nfpm, "package", "--config", "packages/nfpm.yaml", "--packager", kind]
                command += ["--target", str(self.dist.absolute())]
                self._run(command, VERSION=version, ARCH=arch, TREE=folder)

    def one_file(self, pex: str, *machines: str) -> None:
        """The .pyz for these processors."""
        with tempfile.TemporaryDirectory() as folder:
            write(self._libraries(*machines), Path(folder), self.time)
            command = [pex, "--sources-directory", folder, "--exe", "packages/start.py"]
            command += ["--interpreter-constraint", f"CPython>={PYTHONS[0]},<={PYTHONS[-1]}.99"]
            command += [
                "--venv",
                "prepend",
                "--sh-boot",
                "--output-file",
                str(self.dist.absolute() / f"ctisync-{self.version}.pyz"),
            ]
            self._run(command)

    def _libraries(self, *machines: str) -> dict[str, bytes]:
        return libraries(
            {
                f"cpython-{python.replace('.', '')}-{machine}": [
                    *download(python, machine, self.wheels / f"{machine}-{python}"),
                    self.wheel,
                ]
                for machine in machines
                for python in PYTHONS
            }
        )

    def _run(self, command: list[str], **environ: str) -> None:
        environ["SOURCE_DATE_EPOCH"] = str(self.time)
        subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, check=True)


def main(dist: Path, nfpm: str, pex: str) -> None:
    """All that `make packages` makes."""
    build = Build(dist, ROOT / ".wheels")
    for arch in MACHINES:
        build.system_packages(nfpm, arch)
    build.one_file(pex, *MACHINES.values())
    release_files.main(dist)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("dist", type=Path)
    parser.add_argument("--nfpm", required=True, type=os.path.abspath)
    parser.add_argument("--pex", required=True, type=os.path.abspath)
    main(**vars(parser.parse_args()))
