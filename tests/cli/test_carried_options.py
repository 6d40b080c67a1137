"""A hint acts on the settings and consumers that were named: it repeats `--config` and `--consumer`."""

import json
from pathlib import Path

import pytest

from ctisync.cli.invocation import CARRIED, with_options
from tests.cli.conftest import Ctisync
from tests.docs.command_tree import commands
from tests.support.feed_simulator import FeedSimulator, unused_port

OPTIONS = {"--config": "--config 'my own.toml'", "--consumer": "--consumer vd_4.8.0"}
BOTH = "--config 'my own.toml' --consumer vd_4.8.0"


@pytest.mark.parametrize(
    ("hint", "printed"),
    [
        ("ctisync sync", f"ctisync sync {BOTH}"),
        ("wait until then, or: ctisync sync --now", f"wait until then, or: ctisync sync {BOTH} --now"),
        (
            "ctisync init-snapshot && ctisync sync (loads it anew)",
            f"ctisync init-snapshot {BOTH} && ctisync sync {BOTH} (loads it anew)",
        ),
        ("ctisync sync --config x", "ctisync sync --consumer vd_4.8.0 --config x"),
        (
            "ctisync sync --consumer other; then: ctisync sync",
            f"ctisync sync --config 'my own.toml' --consumer other; then: ctisync sync {BOTH}",
        ),
        (
            "ctisync forget --consumer 'a; b' --yes",
            "ctisync forget --config 'my own.toml' --consumer 'a; b' --yes",
        ),
        ("ctisync config check", "ctisync config check --config 'my own.toml'"),
        ("ctisync examples opensearch --output roles", "ctisync examples opensearch --output roles"),
        ("ls -ld /var/lib/ctisync sync", "ls -ld /var/lib/ctisync sync"),
        ("ctisync synchronous", "ctisync synchronous"),
    ],
)
def test_each_command_in_a_hint_repeats_what_it_takes_and_has_not(hint: str, printed: str) -> None:
    assert with_options(hint, OPTIONS) == printed


@pytest.mark.parametrize("option", CARRIED)
def test_the_commands_that_repeat_an_option_are_those_that_accept_it(option: str) -> None:
    accepting = {each.path for each in commands() if option in each.names}
    assert accepting - CARRIED[option] == ({"forget"} if option == "--consumer" else set())
    assert CARRIED[option] <= accepting


@pytest.fixture
def elsewhere(ctisync: Ctisync, feed: FeedSimulator) -> Path:
    """Settings of another store than the one of the environment, whose feed is not there."""
    settings = ctisync.home / "my own.toml"
    consumers = '[[consumers]]\nindex = "a"\n[[consumers]]\nconsumer = "other"\nindex = "b"\n'
    settings.write_text(f'cti.url = "http://127.0.0.1:{unused_port()}"\n{consumers}')
    ctisync.environ.pop("CTISYNC_CTI__URL", None)
    ctisync.environ.pop("CTISYNC_CONSUMERS", None)
    return settings


def test_what_is_printed_of_other_settings_is_typed_for_those(ctisync: Ctisync, elsewhere: Path) -> None:
    options = ("--config", str(elsewhere), "--consumer", "other")
    typed = f"ctisync sync --config '{elsewhere}' --consumer other"
    assert f"try: {typed}\n" in ctisync.run("status", *options).stdout
    assert f"try: {typed}\n" in ctisync.run("export", *options).stderr
    assert f"try: {typed}\n" in ctisync.run("doctor", *options).stdout
    checks = json.loads(ctisync.run("doctor", *options, "--json").stdout)["checks"]
    assert typed in [each["to_do"] for each in checks]
    printed = ctisync.run("export", *options, "--log-format", "json").stderr
    assert json.loads(printed.splitlines()[-1])["hint"] == typed
    assert "try: ctisync sync\n" in ctisync.run("export", CTISYNC_CONFIG="").stderr


def test_so_is_what_an_audit_says_to_do(ctisync: Ctisync, feed: FeedSimulator) -> None:
    settings = ctisync.home / "settings.toml"
    settings.write_text(f'cti.url = "{feed.url}"\n')
    options = ("--config", str(settings))
    assert ctisync.run("sync", "-q", *options).returncode == 0
    audited = ctisync.run("verify", *options, CTISYNC_CONSUMERS='[{"resources": ["CVE-2004-*"]}]')
    assert f"try: ctisync init-snapshot --config {settings} && ctisync sync --config {settings}" in (
        audited.stdout
    )
