"""The examples that `--help` and the manual show are run, on a host where there is what they are about."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctisync.cli.help import HELP_TEXTS
from tests.docs.shell import path_with, run, tools
from tests.docs.stage import LAST_OFFSET, RECORDS, Stage
from tests.support.authority import Authority
from tests.support.command_manager import CommandManagerStandIn
from tests.support.feed_simulator import FeedSimulator
from tests.support.scanner_tables import PAYLOADS

FOLDERS = (".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """The files that the examples name, and a content with the record that they name."""
    with FeedSimulator(first_offset=LAST_OFFSET - RECORDS) as feed, CommandManagerStandIn() as manager:
        host = Stage(tmp_path, feed, manager, None)
        (snapshot,) = feed.files.values()
        lines = b"\n".join(feed.expected_lines())
        files = {
            "1901695_1746459961.zip": snapshot.body,
            **dict.fromkeys(("snapshot.ndjson", "old.ndjson"), lines),
            "new.ndjson": b"\n".join(feed.expected_lines()[1:]),
            "new.toml": b"",
            "packages.txt": b"openssl\t3.0.2-1\tDebian OpenSSL Team\tii \n",
            "inventory.ndjson": b'{"host": {"os": {"platform": "rhel", "version": "9.4"}}}\n',
        }
        for name, body in files.items():
            (tmp_path / name).write_bytes(body)
        for folder in FOLDERS:
            (tmp_path / folder).mkdir(parents=True)
        feed.history.create("CVE-2024-3094")
        for name, payload in PAYLOADS.items():
            feed.history.create(name, payload)
        (tmp_path / "on-match").write_text("#!/bin/sh\ngrep -q our.edge\n")
        (tmp_path / "on-match").chmod(0o755)
        host.environ["CTISYNC_WATCH"] = '[{"name": "our edge", "product": ["openssl"]}]'
        host.follow()
        yield host


def pack(stage: Stage) -> None:
    """The mirror and the bundles that the examples name."""
    mirror = str(stage.home / "srv")
    assert stage.run("mirror", mirror).code == 0
    for name in ("first.tar", "next.tar"):
        assert stage.run("bundle", mirror, "--since", "none", "--output", name).code == 0


def until_it_serves(typed: str, home: Path) -> str:
    """A script that serves a mirror in this folder, at a free port of this host, until that is logged. The
    server is a process that the shell can end."""
    listens = typed if "--listen" in typed else f"{typed} --listen 192.0.2.7:8080"
    here = listens.replace("192.0.2.7:8080", "127.0.0.1:0").replace(
        "ctisync ", f"{sys.executable} -m ctisync "
    )
    pair = Authority(home).issue("server")
    return "\n".join(
        [
            f"cp {pair.certificate} cert.pem",
            f"cp {pair.key} key.pem",
            f"ctisync mirror {home / 'srv'}",
            "mkfifo log",
            f"{here} 2> log &",
            "exec 3< log",
            "grep -q -m 1 serve-loaded <&3",
            "rm log",
            "kill $!",
            'wait $! || test "$?" = 143',
        ]
    )


@pytest.mark.parametrize("path", HELP_TEXTS, ids=lambda path: f"ctisync {path}".strip())
def test_each_example_does_what_it_says(stage: Stage, path: str) -> None:
    on_path = path_with(tools(stage.home / "bin", "tests.docs.hurried"))
    if path in ("bundle", "import"):
        pack(stage)
    for example in HELP_TEXTS[path].examples:
        typed = example.typed.replace("/srv/cti", str(stage.home / "srv"))
        typed = until_it_serves(typed, stage.home) if path == "serve" else typed
        ended = run(typed, {**stage.environ, "PATH": on_path}, stage.home)
        assert ended.returncode == example.code, f"{example.typed}\n{ended.stdout}{ended.stderr}"
