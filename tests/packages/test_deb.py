"""The .deb on clean hosts of Debian: installed, used, upgraded, downgraded, removed, purged, installed again.

The tests of one host are one story, in the order of this file.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.packages.conftest import PAGE, Packages, command_for, lines_of
from tests.support.feed_history import churn
from tests.support.feed_simulator import FeedSimulator
from tests.support.figures import figure
from tests.support.root_folder import Root, root
from tests.support.unit_filter import values

SUITES = {"bookworm": "3.11", "trixie": "3.13"}
MEGABYTES = 60
STATE = "/var/lib/ctisync"
CONFIG = "/etc/ctisync/config.toml"
SERVICE = "/usr/lib/systemd/system/ctisync.service"
BASH = """source /usr/share/bash-completion/bash_completion
declare -F _comp_load >/dev/null && _comp_load ctisync || __load_completion ctisync
COMP_WORDS=(ctisync sta) COMP_CWORD=1
$(complete -p ctisync | sed 's/.*-F \\([^ ]*\\).*/\\1/') ctisync
echo "${COMPREPLY[@]}"
"""
INSTALL = command_for("Debian 12 and 13")
DOWNGRADE = INSTALL.replace("install", "install --allow-downgrades")


@pytest.fixture(scope="module", params=SUITES)
def host(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    older: Packages,
    newer: Packages,
) -> Iterator[Root]:
    with root(request.param, tmp_path_factory.mktemp(request.param)) as made:
        made.run("apt-get install sudo")
        for packages, folder in ((older, "/srv/older"), (newer, "/srv/newer")):
            made.add(packages.deb, folder)
        yield made


def run_pass(host: Root, *, expected: int = 0) -> str:
    """The command of the installed unit, as its user and with its umask and state folder."""
    unit = host.path(SERVICE).read_text()
    (command,), (user,), (umask,) = (values(unit, key) for key in ("ExecStart", "User", "UMask"))
    return host.run(command, user=user, umask=umask, expected=expected, STATE_DIRECTORY=STATE)


def state(host: Root) -> Any:
    text = host.run("ctisync status --json", user="ctisync", STATE_DIRECTORY=STATE)
    return json.loads(text)["consumers"][0]


def doc(host: Root) -> str:
    """The description of the code that runs, which the two commits differ in."""
    python = f"/usr/bin/python{SUITES[host.suite]}"
    code = "import sys; sys.path.insert(0, '/usr/lib/ctisync'); import ctisync; print(ctisync.__doc__)"
    return host.run(f'{python} -I -S -c "{code}"').strip()


def test_apt_installs_it_with_a_python_and_nothing_else_is_needed(host: Root, older: Packages) -> None:
    printed = host.run(f"cd /srv/older; {INSTALL}")
    assert re.findall(r"(?m)^  (sudo .*)$", printed) == lines_of("start").splitlines()
    lines = host.run("ctisync --version", user="nobody").splitlines()
    assert lines[0] == f"ctisync {older.version}"
    assert lines[1].startswith(f"Python {SUITES[host.suite]}.")
    assert [line for line in lines if "not installed" in line] == []


def test_installing_starts_nothing(host: Root) -> None:
    assert not list(host.path("/etc/systemd/system").rglob("*ctisync*"))
    assert not host.path("/etc/cron.d/ctisync").exists()
    assert not list(host.path(STATE).iterdir())


def test_it_takes_little_space(host: Root) -> None:
    size = sum(path.lstat().st_size for path in host.path("/usr/lib/ctisync").rglob("*"))
    figure(f"{host.suite}: {size / 1e6:.1f} MB installed beyond Python")
    assert size < MEGABYTES * 1e6


def test_what_a_pass_loads_is_compiled_though_the_pass_cannot_write_there(host: Root) -> None:
    tag = f"cpython-{SUITES[host.suite].replace('.', '')}"
    for place in ("ctisync/cli", "httpx"):
        folder = host.path(f"/usr/lib/ctisync/{place}")
        compiled = {path.name for path in (folder / "__pycache__").iterdir()}
        assert {f"{path.stem}.{tag}.pyc" for path in folder.glob("*.py")} == compiled
    host.run("test -w /usr/lib/ctisync/ctisync/__pycache__", user="ctisync", expected=1)


def test_a_user_of_the_host_sees_the_demo_with_the_fast_libraries(host: Root) -> None:
    assert "up to date" in host.run("ctisync demo", user="nobody")
    code = "import sys; sys.path.insert(0, '/usr/lib/ctisync'); sys.argv = ['ctisync', '--version']\n"
    code += "try: exec(open('/usr/lib/ctisync/__main__.py').read())\n"
    code += "except SystemExit: import simdjson, isal; print(simdjson.Parser().parse('[1]').as_list())"
    python = f"/usr/bin/python{SUITES[host.suite]}"
    assert host.run(f'{python} -I -S -c "{code}"', user="nobody").endswith("[1]\n")


def test_the_hosts_own_packages_and_variables_do_not_change_what_runs(host: Root) -> None:
    host.path("/srv/typer.py").write_text("raise SystemExit('typer of the host')")
    assert "ctisync" in host.run("cd /srv; ctisync --version", PYTHONPATH="/srv", PYTHONHOME="/srv")


def test_systemd_takes_the_units_and_they_let_a_pass_do_little(host: Root) -> None:
    host.run("apt-get install systemd")
    units = "ctisync.service ctisync.timer ctisync@north.service ctisync@north.timer"
    printed = host.run(f"systemd-analyze verify --man=no {units}")
    assert [line for line in printed.splitlines() if "ctisync" in line] == []
    for unit in ("ctisync.service", "ctisync@north.service"):
        analysis = host.run(f"systemd-analyze security --offline=yes --threshold=15 {unit}")
        (exposure,) = re.findall(rf"exposure level for {unit}: ([\d.]+)", analysis)
        figure(f"{host.suite}: exposure level of {unit}: {exposure}")


def test_the_manual_and_completion_are_where_shells_look(host: Root) -> None:
    host.run("apt-get install man-db bash-completion zsh fish")
    assert "CTISYNC(1)" in host.run("man -P cat ctisync")
    assert "CTISYNC(1)" in host.run("man -P cat $(ctisync help --man)")
    host.path("/srv/complete").write_text(BASH)
    assert host.run("bash /srv/complete") == "status\n"
    assert "status" in host.run("fish -c 'complete -C \"ctisync sta\"'", HOME="/srv")
    zsh = "autoload -U compinit; compinit -D -u; echo $_comps[ctisync]"
    assert host.run(f"zsh -fc '{zsh}'").strip() == "_ctisync"


def test_a_pass_of_the_service_stores_what_a_member_of_its_group_can_read(
    host: Root, feed: FeedSimulator
) -> None:
    # Port 1 has no Command Manager: the command stays owed.
    settings = f'[cti]\nurl = "{feed.url}"\n[command_manager]\nurl = "http://127.0.0.1:1"\ntimeout = 1\n'
    host.path(CONFIG).write_text(settings)
    run_pass(host, expected=8)
    assert state(host)["pending_command"] is not None

    host.run("useradd --system monitoring; useradd --system stranger")
    assert "CTISYNC WARNING" in host.run(lines_of("readers"), expected=1), "an owed command is a warning"
    check = "ctisync status --check"
    host.run(f"ls {STATE}", user="stranger", expected=2)
    assert "CTISYNC UNKNOWN" in host.run(check, user="stranger", expected=3, STATE_DIRECTORY=STATE)
    host.run(f"touch {STATE}/x", user="monitoring", expected=1)


def test_an_upgrade_keeps_content_owed_command_and_settings(host: Root, newer: Packages) -> None:
    before, settings = state(host), host.path(CONFIG).read_text()
    host.run(lines_of("secret"))
    host.run("test -r /etc/ctisync/password", user="ctisync")
    host.run("test -r /etc/ctisync/password", user="stranger", expected=1)
    host.run(f"cd /srv/newer; {INSTALL}")
    assert host.run("ctisync --version").startswith(f"ctisync {newer.version}\n")
    assert doc(host) == "newer", "an older build's bytecode runs"
    assert host.path(CONFIG).read_text() == settings
    assert state(host) == before


def test_a_person_looks_at_the_content_of_the_timer(host: Root) -> None:
    assert "ready" in host.run(lines_of("as-the-user"))


def test_a_pass_of_the_newer_build_continues(host: Root, feed: FeedSimulator) -> None:
    before = state(host)
    churn(feed.history, 5, seed=1)
    run_pass(host, expected=8)
    assert state(host)["offset"] == before["offset"] + 5


def test_a_downgrade_is_what_apt_does(host: Root) -> None:
    assert f"`{DOWNGRADE}`" in PAGE
    host.run(f"cd /srv/older; {INSTALL}", expected=100)
    before = state(host)
    host.run(f"cd /srv/older; {DOWNGRADE}")
    assert (doc(host), state(host)) == ("older", before)


def test_a_python_that_the_host_gets_later_has_its_bytecode(host: Root) -> None:
    host.run("find /usr/lib/ctisync -name __pycache__ -prune -exec rm -r {} +")
    host.run(f"apt-get install --reinstall python{SUITES[host.suite]}-minimal")
    assert list(host.path("/usr/lib/ctisync/ctisync/__pycache__").iterdir())


def test_a_schedule_is_set_by_the_lines_that_were_printed_and_ends_with_the_package(host: Root) -> None:
    host.run("systemctl enable ctisync.timer ctisync@north.timer")
    wants = host.path("/etc/systemd/system/timers.target.wants")
    assert {path.name for path in wants.glob("ctisync*")} == {"ctisync.timer", "ctisync@north.timer"}
    host.run(lines_of("remove").splitlines()[0])
    assert list(wants.glob("ctisync*")) == []


def test_what_is_removed_keeps_content_and_settings(host: Root) -> None:
    assert not host.path("/usr/lib/ctisync").exists()
    assert not host.path("/usr/bin/ctisync").exists()
    assert host.path(f"{STATE}/ctisync.db").exists()
    assert "[command_manager]" in host.path(CONFIG).read_text()


def test_a_purge_removes_the_rest_and_says_what_it_left(host: Root) -> None:
    printed = host.run(lines_of("remove").splitlines()[1])
    assert "  /etc/ctisync/password\n" in printed
    assert not host.path(STATE).exists()
    assert [path.name for path in host.path("/etc/ctisync").iterdir()] == ["password"]
    assert host.run("getent passwd ctisync"), "it owns a file that stays"


def test_it_can_be_installed_again_and_purged_without_a_trace(host: Root, feed: FeedSimulator) -> None:
    host.run("rm /etc/ctisync/password")
    host.run(f"cd /srv/newer; {INSTALL}")
    assert host.path(CONFIG).read_text().startswith("# The settings of ctisync.")
    host.path(CONFIG).write_text(f'[cti]\nurl = "{feed.url}"\n')
    run_pass(host)
    assert state(host)["phase"] == "ready"

    assert "is purged, except" not in host.run("apt-get purge ctisync")
    host.run("getent passwd ctisync", expected=2)
    host.run("getent group ctisync", expected=2)
    assert host.run("find /etc /usr /run /var -xdev -name '*ctisync*' -not -path '/var/cache/man/*'") == ""
