"""Who is told a secret: the server that it was set for, at its own origin, and nobody else."""

import json
from urllib.parse import urlsplit

import pytest

from tests.secrets.conftest import MakeStage
from tests.secrets.settings import SECRETS
from tests.secrets.stage import ALL, COOKIE, LINK, PROXY, Stage
from tests.support.http_proxy import Answer, Received


def allowing_elsewhere(stage: Stage) -> None:
    host = urlsplit(stage.servers["elsewhere"].url).netloc
    stage.environ["CTISYNC_CTI__ALLOWED_HOSTS"] = json.dumps([host])


def test_a_link_to_another_host_goes_there_without_the_token(on_sqlite: MakeStage) -> None:
    stage = on_sqlite()
    allowing_elsewhere(stage)
    link = stage.feed.info["last_snapshot_link"]
    stage.feed.info["last_snapshot_link"] = link.replace(
        stage.servers["feed"].url, stage.servers["elsewhere"].url
    )

    ended = stage.run("init-snapshot", "-v")

    assert ended.code == 0, ended.stderr.decode()
    assert len(stage.servers["elsewhere"].received) == 1
    assert stage.strays(elsewhere=[LINK]) == []


def test_a_redirect_to_another_host_goes_there_without_the_token(on_sqlite: MakeStage) -> None:
    stage = on_sqlite()
    allowing_elsewhere(stage)

    def moved(request: Received) -> Answer | None:
        if "/store/" not in request.target:
            return None
        place, _, _ = request.target.partition("?")
        return Answer(302, b"", {"Location": f"{stage.servers['elsewhere'].url}{place}"})

    stage.servers["feed"].intercept = moved

    ended = stage.run("init-snapshot", "-v")

    assert ended.code == 0, ended.stderr.decode()
    assert len(stage.servers["elsewhere"].received) == 1
    assert stage.strays() == []


@pytest.mark.parametrize("arguments", [["init-snapshot", "--from"], ["verify", "--against"]])
def test_an_address_of_the_operator_does_not_get_the_token(
    on_sqlite: MakeStage, arguments: list[str]
) -> None:
    stage = on_sqlite()

    ended = stage.run(*arguments, stage.snapshot_url)

    assert ended.code == 0, ended.stderr.decode()
    assert len(stage.servers["elsewhere"].received) == 1
    assert stage.strays() == []


def test_a_cookie_is_not_kept(on_sqlite: MakeStage) -> None:
    """A cookie is a secret that nobody has set, and the port it came from does not bind it."""
    stage = on_sqlite()
    stage.publish()
    assert stage.run("sync").code == stage.run("init-snapshot").code == 0
    for each in stage.servers.values():
        assert not any("cookie" in request.headers for request in each.received)
    assert COOKIE.text == stage.servers["feed"].cookie


def test_a_manager_at_the_stores_own_url_gets_the_stores_password(on_opensearch: MakeStage) -> None:
    stage = on_opensearch()
    for name in ("URL", "USERNAME", "PASSWORD"):
        del stage.environ[f"CTISYNC_COMMAND_MANAGER__{name}"]
    commands: list[Received] = []

    def as_the_store(request: Received) -> Answer | None:
        if "_command_manager" not in request.target:
            return None
        commands.append(request)
        return Answer(200, b'{"result": "OK"}', {"Content-Type": "application/json"})

    stage.servers["store"].intercept = as_the_store

    ended = stage.run("sync", "-v")

    assert ended.code == 0, ended.stderr.decode()
    assert SECRETS["store.password"].text in commands[0].credentials
    assert stage.strays() == []


def test_a_manager_elsewhere_gets_no_password_but_its_own(on_opensearch: MakeStage) -> None:
    stage = on_opensearch()
    for name in ("USERNAME", "PASSWORD"):
        del stage.environ[f"CTISYNC_COMMAND_MANAGER__{name}"]

    ended = stage.run("sync", "-v")

    assert ended.code == 8, "it wants one"
    assert "authorization" not in stage.servers["manager"].received[0].headers
    assert stage.strays() == []
    assert ended.leaks() == []


def test_a_proxy_gets_its_password_and_what_goes_through_it(on_opensearch: MakeStage) -> None:
    """The feed's requests and the pings go through it, in this test unencrypted; those to store and manager
    do not."""
    stage = on_opensearch()
    proxy = stage.proxied()

    ended = stage.run("sync", "-v")

    assert ended.code == 0, ended.stderr.decode()
    through = tuple(stage.servers[name].url for name in ("feed", "ping"))
    assert all(request.target.startswith(through) for request in proxy.received)
    assert PROXY.text in proxy.received[0].credentials
    assert (
        stage.strays(proxy=[PROXY, SECRETS["cti.token"], SECRETS["cti.headers"], SECRETS["ping_url"], LINK])
        == []
    )
    assert ended.leaks() == []


def test_no_two_canaries_share_a_code() -> None:
    codes = [code for canary in ALL for code in canary.codes]
    assert len({code[:8] for code in codes} | {code[8:] for code in codes}) == 2 * len(codes)
