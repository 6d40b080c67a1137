"""Hosts to install packages on: root folders of Debian, made by debootstrap, entered by chroot. Needs root.

A folder is made once and kept in the cache of this user, or where TEST_ROOTS says; a host is a layer above.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

_ENVIRON: Final = {
    "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}

_APT: Final = """APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
Dpkg::Use-Pty "false";
"""
"""Nobody is there to answer."""


class Root:
    """A host."""

    def __init__(self, suite: str, folder: Path) -> None:
        self.suite, self.folder = suite, folder

    def run(
        self, script: str, *, user: str = "root", umask: str = "022", expected: int = 0, **environ: str
    ) -> str:
        """What the lines of a shell print, errors too. They must end with the exit code `expected`."""
        as_user = [] if user == "root" else ["/usr/sbin/runuser", "-u", user, "--"]
        done = subprocess.run(
            [
                "/usr/sbin/chroot",
                str(self.folder),
                *as_user,
                "/bin/sh",
                "-c",
                f"umask {umask}; cd /; {script}",
            ],
            env=_ENVIRON | {"HOME": "/nonexistent"} | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == expected, f"{script} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def add(self, file: Path, folder: str) -> None:
        """Copy a file of this machine to a folder of the host."""
        self.path(folder).mkdir(exist_ok=True)
        shutil.copy(file, self.path(folder))

    def path(self, path: str) -> Path:
        """One of the host, as this machine has it."""
        return self.folder / path.lstrip("/")


def _made(suite: str) -> Path:
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "ctisync-test-roots")
    folder = Path(os.environ.get("TEST_ROOTS", default), suite)
    if not folder.exists():
        part = folder.with_name(f"{suite}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _system("debootstrap", "--variant=minbase", suite, str(part))
        part.rename(folder)
    return folder


@contextmanager
def root(suite: str, folder: Path) -> Iterator[Root]:
    """A clean host of a suite of Debian, such as "bookworm". `folder`: an empty one for what is written."""
    base, upper, work, merged = _made(suite), *(folder / name for name in ("upper", "work", "merged"))
    with ExitStack() as stack:
        for each in (upper, work, merged):
            each.mkdir()
        layers = f"lowerdir={base},upperdir={upper},workdir={work}"
        mounted(stack, merged, "-t", "overlay", "-o", layers, "overlay")
        mounted(stack, merged / "proc", "-t", "proc", "proc")
        mounted(stack, merged / "dev", "--bind", "/dev")
        shutil.copy("/etc/resolv.conf", merged / "etc" / "resolv.conf")
        (merged / "etc" / "apt" / "apt.conf.d" / "tests").write_text(_APT)
        (merged / "etc" / "hosts").write_text(f"127.0.0.1 localhost {platform.node()}\n")
        host = Root(suite, merged)
        host.run("apt-get update -qq")
        yield host


def mounted(stack: ExitStack, place: Path, *options: str) -> None:
    """Mount something until the block of `stack` ends."""
    _system("mount", *options, str(place))
    stack.callback(_system, "umount", "--lazy", str(place))


def _system(command: str, *arguments: str) -> None:
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
