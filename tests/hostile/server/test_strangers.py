"""Links and redirects that lead to where nobody allowed: not a byte goes there."""

from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import Judge, names_judged
from tests.hostile.server.ends import End, refused
from tests.hostile.server.passes import Case, Outcome, Passes, at_once
from tests.hostile.server.tally import Tally
from tests.support.lying_feed import in_turn, link, redirect
from tests.support.raw_server import Line, RawRequest, RawServer, head

ALLOW: Final = "set cti.allowed_hosts = "
HOST: Final = End(6, "leads to [^ ]+, which is not the feed's host", ALLOW)
NOT_NAMED: Final = refused("leads to [^ ]+, which is not the feed's host")
"""In characters that no setting takes, so that the hint is none of those to paste."""
NO_ADDRESS: Final = refused("leads to .*, which is not an http")
LOGIN: Final = refused("contains a user name or password: it leads to http://127.0.0.2:")

# `port` is where the stranger listens, on 127.0.0.2.
WAYS: Final[Mapping[str, tuple[str, End]]] = {
    "another address": ("http://127.0.0.2:{port}/x.zip", HOST),
    "another address, without a scheme": ("//127.0.0.2:{port}/x.zip", HOST),
    "the address as one number": ("http://2130706434:{port}/x.zip", HOST),
    "in hexadecimal": ("http://0x7f.0.0.2:{port}/x.zip", HOST),
    "in octal": ("http://0177.0.0.2:{port}/x.zip", HOST),
    "with parts left out": ("http://127.2:{port}/x.zip", HOST),
    "as IPv6": ("http://[::ffff:127.0.0.2]:{port}/x.zip", HOST),
    "as IPv6 in hexadecimal": ("http://[::ffff:7f00:2]:{port}/x.zip", HOST),
    "with a dot behind it": ("http://127.0.0.2.:{port}/x.zip", HOST),
    "in wide digits": ("http://\uff11\uff12\uff17.0.0.2:{port}/x.zip", NOT_NAMED),
    "with other dots": ("http://127\u30020\u30020\u30022:{port}/x.zip", NOT_NAMED),
    "a name of this machine": ("http://localhost:{port}/x.zip", HOST),
    "another port of the feed's host": ("http://127.0.0.1:{port}/x.zip", HOST),
    "with a login": ("http://me:word@127.0.0.2:{port}/x.zip", LOGIN),
    "with the feed's host as the login": ("http://127.0.0.1@127.0.0.2:{port}/x.zip", LOGIN),
    "with the feed's host in the fragment": ("http://127.0.0.2:{port}#@127.0.0.1/x.zip", HOST),
    "with a backslash": ("http://127.0.0.2:{port}\\@127.0.0.1/x.zip", NO_ADDRESS),
    "with a space": ("http://127.0.0.2:{port} /x.zip", NO_ADDRESS),
    "a file of this machine": ("file:///etc/hostname", NO_ADDRESS),
    "another protocol": ("ftp://127.0.0.2:{port}/x.zip", NO_ADDRESS),
    "a port that is none": ("http://127.0.0.2:99999/x.zip", NO_ADDRESS),
    "an address that is none": ("http://[127.0.0.2]:{port}/x.zip", NO_ADDRESS),
    "an address without end": ("/{long}", NO_ADDRESS),
}

ALSO_REDIRECTS: Final = (
    "another address",
    "another address, without a scheme",
    "the address as one number",
    "in octal",
    "as IPv6",
    "in wide digits",
    "a name of this machine",
    "another port of the feed's host",
    "with the feed's host as the login",
    "with a backslash",
    "a file of this machine",
    "an address that is none",
    "an address without end",
)
"""What an HTTP library reads otherwise in a header than in an address, or is in danger of following."""

NO_REDIRECT: Final = End(
    3, r"a redirect to http://127\.0\.0\.2:\d+/x\.zip; ctisync does not follow it", "set cti.url"
)


@pytest.fixture(scope="module")
def stranger() -> Iterator[RawServer]:
    """Listens to whoever comes, on every address of this machine; nobody should."""

    def answer(line: Line, _: RawRequest) -> None:
        line.send(head(200, "Content-Length: 0"))

    with RawServer(answer, "0.0.0.0") as stranger:  # noqa: S104
        yield stranger


def _cases(port: int) -> dict[str, Case]:
    cases = {}
    for name, (way, end) in WAYS.items():
        target = way.format(port=port, long="x" * 70_000)
        cases[f"link: {name}"] = Case({"info": link(target)}, end, "init-snapshot")
        if name in ALSO_REDIRECTS:
            # A header has bytes: text beyond Latin-1 comes as those of UTF-8.
            as_bytes = target.encode().decode("latin-1")
            cases[f"redirect: {name}"] = Case({"snapshot": redirect(as_bytes)}, end)
    there = f"http://127.0.0.2:{port}/x.zip"
    cases |= {f"redirect {status}": Case({"snapshot": redirect(there, status)}, HOST) for status in STATUSES}
    cases["redirect of a redirect"] = Case({"snapshot": in_turn(redirect("?again"), redirect(there))}, HOST)
    cases["redirect of the information"] = Case({"info": redirect(there)}, NO_REDIRECT)
    cases["redirect of the changes"] = Case({"changes": redirect(there, 307)}, NO_REDIRECT)
    return cases


STATUSES: Final = (301, 303, 307, 308)
NAMES: Final = tuple(_cases(0))


@pytest.fixture(scope="module")
def outcomes(
    passes: Passes, stranger: RawServer, request: pytest.FixtureRequest
) -> Mapping[str, tuple[Case, Outcome]]:
    cases = _cases(stranger.port)
    return at_once(lambda name: (cases[name], passes.play(name, cases[name])), names_judged(request))


@pytest.mark.parametrize("name", NAMES)
def test_nobody_knocks_where_the_settings_do_not_allow_it(
    name: str,
    outcomes: Mapping[str, tuple[Case, Outcome]],
    stranger: RawServer,
    judge: Judge,
    tally: Tally,
) -> None:
    judge(*outcomes[name])
    assert (stranger.connections, stranger.received) == (0, b"")
    tally.add_stranger()


def test_a_redirect_without_end_ends_after_five(passes: Passes, judge: Judge) -> None:
    case = Case({"snapshot": redirect("")}, refused("more than 5 redirects"))
    outcome = passes.play("a loop of redirects", case)
    judge(case, outcome)
    assert outcome.kinds.count("snapshot") == 6


def test_the_stranger_would_have_received_them(stranger: RawServer) -> None:
    """Last: from here on it has been knocked at."""
    import socket

    for address in ("127.0.0.1", "127.0.0.2"):
        with socket.create_connection((address, stranger.port)) as knocking:
            knocking.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert knocking.recv(100).startswith(b"HTTP/1.1 200")
    assert stranger.connections == 2
