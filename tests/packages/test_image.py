"""packages/Containerfile, built by buildah without a registry: the base is a root folder of debootstrap."""

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.packages.conftest import Packages, lines_of
from tests.support.feed_simulator import FeedSimulator
from tests.support.root_folder import mounted, root
from tools.packages import ROOT

ABSENT = ("./dev", "./proc", "./srv")
BASE, IMAGE = "localhost/ctisync-test-base", "localhost/ctisync-test"


def buildah(*arguments: str, folder: Path = ROOT, expected: int = 0) -> str:
    command = ["buildah", *arguments]
    pipe = subprocess.PIPE
    done = subprocess.run(command, cwd=folder, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == expected, f"{command}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory, newer: Packages) -> Iterator[str]:
    """The name of a container of the image."""
    folder = tmp_path_factory.mktemp("image")
    with root("trixie", folder) as host:
        tar = folder / "base.tar"
        with tarfile.open(tar, "w") as made:
            made.add(host.folder, ".", filter=lambda each: None if each.name in ABSENT else each)
    base = buildah("from", "scratch").strip()
    buildah("add", base, str(tar), "/")
    buildah("commit", "--rm", base, BASE)
    context = folder / "context"
    (context / "dist").mkdir(parents=True)
    shutil.copy(newer.deb, context / "dist")
    shutil.copytree(ROOT / "packages", context / "packages")
    _, build, *_ = lines_of("image").splitlines()
    words = build.replace(
        "--tag=ctisync", f"--isolation=chroot --build-arg=BASE={BASE} --tag={IMAGE}"
    ).split()
    buildah(*words[1:], folder=context)
    name = buildah("from", IMAGE).strip()
    yield name
    buildah("rm", name)
    buildah("rmi", IMAGE, BASE)


@pytest.fixture(scope="module")
def config(container: str) -> Any:
    return json.loads(buildah("inspect", "--type", "container", container))["OCIv1"]["config"]


def run(container: str, config: Any, *arguments: str, **environ: str) -> str:
    """Its entry point with these arguments, as its user and with its environment."""
    options = [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
    command = [*config["Entrypoint"], *arguments]
    return buildah("run", "--isolation", "chroot", *options, container, "--", *command)


def test_it_runs_a_pass_as_a_fixed_user_on_its_volume(
    container: str, config: Any, feed: FeedSimulator
) -> None:
    assert (config["User"], list(config["Volumes"])) == ("10001:10001", ["/var/lib/ctisync"])
    assert config["StopSignal"] == "SIGTERM"
    assert config["Cmd"] == ["sync"]
    run(container, config, "sync", CTISYNC_CTI__URL=feed.url)
    consumer = json.loads(run(container, config, "status", "--json"))["consumers"][0]
    assert (consumer["phase"], consumer["behind"]) == ("ready", 0)
    owner = buildah(
        "run",
        "--isolation",
        "chroot",
        container,
        "--",
        "stat",
        "-c",
        "%u %g",
        "/var/lib/ctisync/ctisync.db",
    )
    assert owner == "10001 10001\n"


def test_a_volume_as_kubernetes_mounts_it_for_a_group_is_used(
    container: str, config: Any, feed: FeedSimulator
) -> None:
    mounted = Path(buildah("mount", container).strip())
    (mounted / "mnt").chmod(0o2775)
    os.chown(mounted / "mnt", 0, 10001)
    buildah("umount", container)
    cronjob = (ROOT / "examples" / "kubernetes" / "cronjob.yaml").read_text()
    (state,) = re.findall(r"value: /var/lib/ctisync(/\S+)", cronjob)
    (arguments,) = re.findall(r"args: \[(.*)\]", cronjob)
    environ = {"CTISYNC_CTI__URL": feed.url, "STATE_DIRECTORY": f"/mnt{state}"}
    printed = run(container, config, *arguments.split(", "), **environ)
    assert json.loads(printed.splitlines()[-1])["outcome"] == "up-to-date"


def test_the_content_is_that_of_the_feed(container: str, config: Any, feed: FeedSimulator) -> None:
    exported = run(container, config, "export")
    assert exported.splitlines() == [line.decode() for line in feed.expected_lines()]


def test_it_needs_no_shell(container: str, config: Any, newer: Packages) -> None:
    mounted = Path(buildah("mount", container).strip())
    shell = mounted / "usr" / "bin" / "sh"
    shell.rename(shell.with_name("sh.away"))
    try:
        assert run(container, config, "--version").startswith(f"ctisync {newer.version}\n")
    finally:
        shell.with_name("sh.away").rename(shell)
        buildah("umount", container)


def test_a_signal_to_the_first_process_of_a_container_ends_the_pass(container: str, config: Any) -> None:
    """The kernel sends the first process no signal that it does not handle."""
    place = Path(buildah("mount", container).strip())
    environ = {"CTISYNC_CTI__URL": "http://127.0.0.1:1", "STATE_DIRECTORY": "/var/lib/ctisync", "HOME": "/"}
    enter = ["/usr/bin/unshare", "--pid", "--fork", "/usr/sbin/chroot", "--userspec=10001:10001", str(place)]
    with ExitStack() as stack:
        stack.callback(buildah, "umount", container)
        mounted(stack, place / "proc", "-t", "proc", "proc")
        mounted(stack, place / "dev", "--bind", "/dev")
        process = subprocess.Popen(
            [*enter, *config["Entrypoint"], "sync"], env=environ, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        child = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        os.kill(int(child), signal.SIGTERM)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 143, first + printed
