"""Hosts that the settings allow: they are asked for the file, and told nothing else."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
import trustme

from tests.hostile.server.conftest import Judge
from tests.hostile.server.ends import LOADS, End, refused
from tests.hostile.server.passes import TOKEN, Case, Outcome, Passes, secrets_in
from tests.hostile.server.tally import Tally
from tests.support.feed_server import Kind
from tests.support.lying_feed import Lie, LyingFeed, in_turn, link, redirect, tell, whole
from tests.support.raw_server import Line, RawRequest, RawServer, head, response

TAKES_COOKIES: Final = "Set-Cookie: session=canary-cookie; Path=/"
NOT_PUBLIC: Final = End(6, "is not a public one", "ctisync init-snapshot --from URL")


class Storage(RawServer):
    """Another host, which hands out the feed's snapshot; `elsewhere` is where it redirects to instead."""

    def __init__(self, passes: Passes, elsewhere: str | None = None) -> None:
        self.elsewhere = elsewhere
        [*_, self._last] = passes.feed.files.values()
        super().__init__(self._answer, "127.0.0.3")

    def _answer(self, line: Line, _: RawRequest) -> None:
        if self.elsewhere is not None:
            line.send(head(302, f"Location: {self.elsewhere}", TAKES_COOKIES))
        else:
            body = self._last.body
            line.send(response(200, body, TAKES_COOKIES))

    @property
    def file(self) -> str:
        return f"{self.origin}/x.zip"

    @property
    def setting(self) -> dict[str, str]:
        return {"CTISYNC_CTI__ALLOWED_HOSTS": f'["{self.place}"]'}


@pytest.fixture
def storage(passes: Passes) -> Iterator[Storage]:
    with Storage(passes) as storage:
        yield storage


@pytest.fixture
def stranger() -> Iterator[RawServer]:
    with RawServer(lambda line, _: line.send(head(404)), "127.0.0.2") as stranger:
        yield stranger


def _got_no_secret(server: RawServer) -> bool:
    text = server.received.decode("latin-1").lower()
    return secrets_in(text) == () and "authorization" not in text and "cookie" not in text


def _leading_to(storage: Storage, how: str) -> Mapping[Kind, Lie]:
    return {"info": link(storage.file)} if how == "link" else {"snapshot": redirect(storage.file)}


@pytest.mark.parametrize("how", ["link", "redirect"])
def test_an_allowed_host_gets_the_question_and_no_secret(
    passes: Passes, judge: Judge, storage: Storage, how: str
) -> None:
    lies = _leading_to(storage, how)
    case = Case(lies, LOADS, "init-snapshot", settings=storage.setting)

    outcome = passes.play(f"allowed {how}", case)

    judge(case, outcome)
    assert [request.target for request in storage.requests] == ["/x.zip"]
    assert _got_no_secret(storage)
    assert all(request.headers["authorization"] == f"Bearer {TOKEN}" for request in outcome.requests)


def test_an_allowed_host_does_not_lead_on_to_one_that_is_not(
    passes: Passes, judge: Judge, tally: Tally, storage: Storage, stranger: RawServer
) -> None:
    storage.elsewhere = f"{stranger.origin}/x.zip"
    end = End(6, f"leads to {stranger.place}, which is not the feed's host", "set cti.allowed_hosts")
    case = Case({"info": link(storage.file)}, end, "init-snapshot", settings=storage.setting)

    judge(case, passes.play("allowed leads on", case))

    assert stranger.connections == 0
    tally.add_stranger()


def test_a_cookie_does_not_even_go_back_to_its_own_host(passes: Passes, judge: Judge) -> None:
    case = Case({"info": whole(bytes, TAKES_COOKIES)}, LOADS)

    outcome = passes.play("cookies", case)

    judge(case, outcome)
    assert outcome.kinds == ("info", "changes")
    assert [request for request in outcome.requests if "cookie" in request.headers] == []


def test_a_fragment_is_cut_off_and_a_relative_redirect_stays_on_the_host(
    passes: Passes, judge: Judge
) -> None:
    case = Case({"snapshot": in_turn(redirect("?again#here"), tell)}, LOADS)

    outcome = passes.play("relative redirect", case)

    judge(case, outcome)
    first, second = (request.target for request in outcome.requests if "/store/" in request.target)
    assert second == f"{first}?again"


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A certificate for 127.0.0.1, and the file with who vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return context, str(tmp_path / "ca.pem")


@pytest.mark.parametrize("how", ["link", "redirect"])
def test_https_never_leads_to_http_however_allowed_the_host_is(
    passes: Passes,
    judge: Judge,
    tally: Tally,
    storage: Storage,
    authority: tuple[ssl.SSLContext, str],
    how: str,
) -> None:
    context, ca_file = authority
    lies = _leading_to(storage, how)
    settings = {**storage.setting, "CTISYNC_CTI__CA_FILE": ca_file}
    case = Case(
        lies, refused("leaves https: it leads to http://127.0.0.3:"), "init-snapshot", settings=settings
    )

    judge(case, passes.play(f"https {how}", case, context))

    assert storage.connections == 0
    tally.add_stranger()


INSIDE: Final = {
    "of this machine": "127.0.0.2:{port}",
    "of this machine, as IPv6": "[::ffff:127.0.0.2]:{port}",
    "of this machine, unspecified": "0.0.0.0:{port}",
    "of a private net": "10.0.0.5:{port}",
    "of a cloud's metadata": "169.254.169.254",
}


class Proxy(LyingFeed):
    """The way to a feed outside, whose name only the proxy can resolve."""

    BASE: Final = "http://feed.invalid"

    def settings(self, allowed: str) -> dict[str, str]:
        return {
            "CTISYNC_CTI__URL": self.url.replace(self.origin, self.BASE),
            "CTISYNC_CTI__ALLOWED_HOSTS": f'["{allowed}"]',
            "HTTP_PROXY": self.origin,
        }


@pytest.mark.parametrize("name", INSIDE)
def test_a_feed_outside_leads_to_no_address_inside_even_on_an_allowed_host(
    passes: Passes, judge: Judge, tally: Tally, stranger: RawServer, name: str
) -> None:
    place = INSIDE[name].format(port=stranger.port)
    home = passes.begun(f"inside, {name}")
    before = passes.kept(home)
    with Proxy(passes.feed, {"info": link(f"http://{place}/x.zip")}) as proxy:
        ended = passes.run(home, "init-snapshot", **proxy.settings(place))

    judge(Case({}, NOT_PUBLIC), Outcome(ended, before, passes.kept(home), (), ()))
    assert proxy.kinds == ["info"]
    assert stranger.connections == 0
    tally.add_stranger()


def test_a_name_that_leads_inside_is_refused_at_the_connection_before_a_byte_is_sent(
    passes: Passes, judge: Judge, tally: Tally
) -> None:
    home = passes.begun("a name that leads inside")
    before = passes.kept(home)
    with RawServer(lambda line, _: line.send(head(404)), "127.0.0.1") as stranger:
        place = f"localhost:{stranger.port}"
        with Proxy(passes.feed, {"info": link(f"http://{place}/x.zip")}) as proxy:
            ended = passes.run(home, "init-snapshot", NO_PROXY="localhost", **proxy.settings(place))

        judge(Case({}, NOT_PUBLIC), Outcome(ended, before, passes.kept(home), (), ()))
        assert (stranger.connections, stranger.received) == (1, b"")
    tally.add_stranger()
