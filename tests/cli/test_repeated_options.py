"""A hint acts on the settings and consumers that were named: it repeats `--config` and `--consumer`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctisync import hints
from tests.cli.conftest import Ctisync
from tests.docs.command_tree import commands
from tests.support.feed_simulator import FeedSimulator, unused_port

BOTH = "--config 'my own.toml' --consumer vd_4.8.0"


@pytest.fixture
def both() -> Iterator[None]:
    """As `set_up_console` does it, which then has a process of its own."""
    hints.repeat("--config", ["my own.toml"])
    hints.repeat("--consumer", ["vd_4.8.0"])
    yield
    hints.repeat("--config", [])
    hints.repeat("--consumer", [])


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    ("name", "options", "printed"),
    [
        ("sync", "", f"ctisync sync {BOTH}"),
        ("sync", "--now", f"ctisync sync {BOTH} --now"),
        ("sync", "--config x", "ctisync sync --consumer vd_4.8.0 --config x"),
        ("sync", "--consumer other", "ctisync sync --config 'my own.toml' --consumer other"),
        (
            "forget",
            "--consumer 'a; b' --yes",
            "ctisync forget --config 'my own.toml' --consumer 'a; b' --yes",
        ),
        ("config check", "", "ctisync config check --config 'my own.toml'"),
        ("examples", "opensearch --output roles", "ctisync examples opensearch --output roles"),
    ],
)
def test_a_command_in_a_hint_repeats_what_it_takes_and_has_not(name: str, options: str, printed: str) -> None:
    assert hints.command(name, options) == printed


@pytest.mark.usefixtures("both")
def test_both_commands_of_a_new_load_repeat_them() -> None:
    assert hints.load_anew() == f"ctisync init-snapshot {BOTH} && ctisync sync {BOTH}"


@pytest.mark.parametrize("option", hints.ACCEPTED)
def test_the_commands_that_repeat_an_option_are_those_that_accept_it(option: str) -> None:
    accepting = {each.path for each in commands() if option in each.names}
    assert accepting - hints.ACCEPTED[option] == ({"forget"} if option == "--consumer" else set())
    assert hints.ACCEPTED[option] <= accepting


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
    planned = ctisync.run("sync", *options, "--dry-run", "--metrics", "figures.prom")
    assert f"try: {typed} --dry-run\n" in planned.stderr
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
