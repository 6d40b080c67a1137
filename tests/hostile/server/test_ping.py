"""A service for pings that lies: it costs its deadline and no more, and nothing that it says is read."""

from typing import Final

import pytest

from ctisync.notifications.hooks import ping
from tests.support.raw_server import FixedScript, RawServer, head, raw, silence, then_for_ever

LONGEST: Final = 0.5
SLOW: Final = "no answer within 0.5 s"

LIES: Final[dict[str, tuple[FixedScript, str | None]]] = {
    "silence": (silence, SLOW),
    "a head that drips": (then_for_ever(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.05), SLOW),
    "lines of a head that drip": (then_for_ever(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.05), SLOW),
    "a flood of interim answers": (then_for_ever(b"", head(100) * 100), SLOW),
    "a body without end": (then_for_ever(head(200), b" " * 65_536), None),
    "a body that drips": (then_for_ever(head(200), b" ", 0.05), None),
    "a body that is cut off": (raw(head(200, "Content-Length: 100"), b"OK"), None),
    "a refusal without end": (then_for_ever(head(500), b" " * 65_536), "it answers 500"),
    "no HTTP": (raw(b"\x1b[2J\r\n\r\n"), "illegal status line"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_reply_of_any_size_and_any_time_costs_the_deadline_at_most(name: str) -> None:
    script, why = LIES[name]
    with RawServer(script) as service:
        failure = ping(f"{service.origin}/uuid", "fail", "why", longest=LONGEST)
        assert [request.target for request in service.requests] == ["/uuid/fail"]
    assert failure == why or (why is not None and failure is not None and failure.startswith(why)), failure


def test_a_redirect_is_not_followed() -> None:
    with RawServer(raw(head(200))) as stranger:
        away = head(302, f"Location: {stranger.origin}/", "Content-Length: 0")
        with RawServer(raw(away)) as service:
            assert ping(service.origin, "start", "") == "it answers 302"
        assert stranger.connections == 0


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a\x00b/", "http://\udc9b/", f"http://h/{'x' * 10**6}"]
)
def test_an_address_that_no_request_can_be_sent_to_is_a_word_and_no_error(url: str) -> None:
    assert ping(url, "start", "a\ud800") is not None
