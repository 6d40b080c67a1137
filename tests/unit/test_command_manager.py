"""The update command: the body that the plugin takes, and what counts as its acceptance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import trustme

from ctisync import tls
from ctisync.command_manager import CommandManagerClient, _accepts
from ctisync.core.health import CheckResult
from ctisync.errors import CommandNotAccepted, ConfigurationError
from ctisync.ports import Clock
from ctisync.system.clock import SystemClock
from ctisync.tls import Files
from tests.support.clock import FakeClock
from tests.support.command_manager import PATH, Command, CommandManagerStandIn, Failure, refusal
from tests.support.feed_simulator import unused_port
from tests.support.http_proxy import tls_proxy

SYSTEM_CLOCK: Final = SystemClock()


@pytest.fixture
def manager() -> Iterator[CommandManagerStandIn]:
    with CommandManagerStandIn() as stand_in:
        yield stand_in


def client(
    *urls: str, timeout: float = 10.0, clock: Clock = SYSTEM_CLOCK, **credentials: Any
) -> CommandManagerClient:
    return CommandManagerClient(
        urls,
        clock,
        version="5.0.0",
        target_id="vulnerability-detector",
        timeout=timeout,
        **credentials,
    )


def test_the_command_is_the_one_that_the_plugin_documents(manager: CommandManagerStandIn) -> None:
    client(manager.url + "/").send_update("wazuh-cve", 1913009)

    ((headers, body),) = manager.requests
    assert body == {
        "commands": [
            {
                "action": {
                    "name": "update",
                    "args": {"index": "wazuh-cve", "offset": "1913009"},
                    "version": "5.0.0",
                },
                "source": "Content Manager",
                "timeout": 100,
                "target": {"id": "vulnerability-detector", "type": "server"},
            }
        ]
    }
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("ctisync/")
    assert manager.commands == [Command("wazuh-cve", "1913009")]


def test_the_stand_in_refuses_a_number_as_the_plugin_does() -> None:
    body = {
        "commands": [
            {
                "action": {"name": "update", "args": {"index": "i", "offset": 3}, "version": "5.0.0"},
                "source": "Content Manager",
                "timeout": 100,
                "target": {"id": "x", "type": "server"},
            }
        ]
    }
    assert refusal(body) == "a value is not a string"


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (400, "answered 400"),
        (401, "answered 401"),
        (404, "answered 404"),
        (429, "answered 429"),
        (500, "answered 500"),
        ("reset", "commands: "),
        ("stall", "commands: "),
        ("drip", "no complete answer within 0.5 s"),
        ("html", "answered 200, with: <html>Sign in</html>"),
        ("error-body", "illegal_argument_exception"),
        ("redirect", "answered 307"),
    ],
)
def test_whatever_is_not_an_acceptance_is_an_error_and_sent_only_once(
    manager: CommandManagerStandIn, failure: Failure, message: str
) -> None:
    manager.fail(failure, times=5)

    timeout = 0.5 if failure in ("stall", "drip") else 60.0
    with pytest.raises(CommandNotAccepted) as caught:
        client(manager.url, timeout=timeout).send_update("wazuh-cve", 3)

    assert message in caught.value.message
    assert caught.value.hint is not None
    assert manager.commands == []
    assert len(manager.requests) == 1


@pytest.mark.parametrize("answer", [b'{"result":"\xff"}', b"\xff", b"[" * 5000, b"null", b'"OK"', b"{}"])
def test_an_answer_that_nobody_can_read_is_no_acceptance_and_no_crash(answer: bytes) -> None:
    assert not _accepts(answer)


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CommandNotAccepted, match="cannot connect"):
        client(f"http://127.0.0.1:{unused_port()}").send_update("wazuh-cve", 3)


def test_of_several_hosts_the_first_that_can_be_connected_to_gets_it(manager: CommandManagerStandIn) -> None:
    client(f"http://127.0.0.1:{unused_port()}", manager.url).send_update("wazuh-cve", 3)

    assert len(manager.commands) == 1


def test_each_try_has_only_the_rest_of_the_time() -> None:
    """Else many hosts that are gone keep a pass for many times the timeout."""
    clock = FakeClock()
    seconds: list[float | None] = []

    def ask(http: httpx.Client, _: str) -> None:
        seconds.append(http.timeout.connect)
        clock.advance(seconds=4)
        raise httpx.ConnectTimeout("")

    manager = client("http://a", "http://b", "http://c", "http://d", clock=clock)
    with pytest.raises(CommandNotAccepted, match="cannot connect"):
        manager._first(ask)
    assert seconds == [10.0, 5.5, 1.0, 0.1]


def test_credentials_go_along_and_redirects_do_not_take_them_elsewhere(
    manager: CommandManagerStandIn,
) -> None:
    with CommandManagerStandIn(username="admin", password="p:w") as guarded:
        client(guarded.url, login=("admin", "p:w")).send_update("wazuh-cve", 3)
        assert len(guarded.commands) == 1
        with pytest.raises(CommandNotAccepted) as caught:
            client(guarded.url, login=("admin", "wrong")).send_update("wazuh-cve", 3)

    assert "answered 401" in caught.value.message
    assert "password_file" in (caught.value.hint or "")
    assert "wrong" not in caught.value.message
    client(manager.url).send_update("wazuh-cve", 3)
    assert "authorization" not in manager.requests[0][0]


def test_a_proxy_of_the_environment_does_not_get_it(
    manager: CommandManagerStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")

    client(manager.url).send_update("wazuh-cve", 3)

    assert len(manager.commands) == 1


def test_a_pass_that_sends_no_command_reads_no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most passes owe none."""
    read: list[object] = []

    def refused(files: object) -> None:
        read.append(files)
        raise ConfigurationError("read")

    monkeypatch.setattr(tls, "context", refused)
    unsent = client("https://h:9200")
    assert not read
    with pytest.raises(ConfigurationError):
        unsent.send_update("wazuh-cve", 1)
    assert read


def test_a_ca_file_that_is_none_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")

    with pytest.raises(ConfigurationError, match=r"ca_file .* cannot be used"):
        client("https://h:9200", files=Files("command_manager", tmp_path / "ca.pem"))


def feed_answered(*urls: str, timeout: float = 60.0, **credentials: Any) -> CheckResult:
    (result,) = client(*urls, timeout=timeout, **credentials).diagnose()
    assert result.health == "ok" or result.hint
    return result


def test_a_look_finds_the_command_manager_and_sends_no_command(manager: CommandManagerStandIn) -> None:
    assert feed_answered(manager.url).health == "ok"
    assert manager.looks == ["/", PATH]
    assert manager.requests == []


def test_a_look_at_a_server_without_the_plugin_says_so(manager: CommandManagerStandIn) -> None:
    result = feed_answered(f"{manager.url}/elsewhere")
    assert result.health == "failed"
    assert "no Command Manager" in result.text
    assert "enabled = false" in str(result.hint)


def test_a_check_distinguishes_a_wrong_password_from_a_right_one() -> None:
    with CommandManagerStandIn(username="admin", password="p:w") as guarded:
        assert feed_answered(guarded.url, login=("admin", "p:w")).health == "ok"
        result = feed_answered(guarded.url, login=("admin", "wrong"))
    assert result.health == "failed"
    assert "password_file" in str(result.hint)
    assert "wrong" not in result.text


@pytest.mark.parametrize(
    ("failure", "health"),
    [("html", "warning"), (403, "warning"), (500, "failed"), ("redirect", "warning"), ("stall", "failed")],
)
def test_a_check_of_what_answers_otherwise_meets_no_command_manager(
    manager: CommandManagerStandIn, failure: Failure, health: str
) -> None:
    manager.fail(failure, 2)
    assert feed_answered(manager.url, timeout=0.5 if failure == "stall" else 60.0).health == health


def test_a_look_goes_to_the_next_url_when_nobody_is_at_the_first(manager: CommandManagerStandIn) -> None:
    nobody = f"http://127.0.0.1:{unused_port()}"
    assert feed_answered(nobody, manager.url).health == "ok"
    result = feed_answered(nobody)
    assert (result.health, "cannot connect" in result.text) == ("failed", True)


def test_a_look_hands_back_nothing_that_the_server_gave(manager: CommandManagerStandIn) -> None:
    """Its two requests share a client, and a cookie may be somebody's session."""
    manager.cookie = "session=canary"
    assert feed_answered(manager.url).health == "ok"
    assert manager.cookies == [None, None]


def test_a_look_refuses_a_certificate_that_nobody_vouches_for(manager: CommandManagerStandIn) -> None:
    with tls_proxy(manager.url, trustme.CA().issue_cert("localhost")) as proxy:
        result = feed_answered(f"https://localhost:{proxy.port}")
    assert (result.health, "the authority of the certificate" in result.text) == ("failed", True)
    assert "ca_file" in str(result.hint)
    assert manager.looks == []
