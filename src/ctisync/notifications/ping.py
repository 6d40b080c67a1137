"""Pings a monitoring service such as healthchecks at the start and end of a call; it alerts if none comes.

POST {url}/start, {url}, {url}/fail (with one line: the reason)
"""

from typing import Final, Literal

from ctisync import __version__
from ctisync.system.threads import run_within

LONGEST_PING: Final = 10.0
"""Seconds from the name lookup to the headers of the reply. ctisync does not read its body."""

_PATHS: Final = {"start": "/start", "success": "", "fail": "/fail"}


def ping(
    url: str, what: Literal["start", "success", "fail"], said: str, longest: float = LONGEST_PING
) -> str | None:
    """None, or why the ping failed. ctisync does not follow redirects."""
    import httpx

    def told() -> int:
        with httpx.stream(
            "POST",
            url.rstrip("/") + _PATHS[what],
            content=said.encode(errors="replace"),
            headers={"User-Agent": f"ctisync/{__version__}", "Content-Type": "text/plain; charset=utf-8"},
            timeout=longest,
        ) as reply:
            return reply.status_code

    try:
        status = run_within(longest, told, "ping")
    except TimeoutError:
        return f"no answer within {longest:g} s"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        return str(error) or type(error).__name__
    return None if 200 <= status < 300 else f"it answers {status}"
