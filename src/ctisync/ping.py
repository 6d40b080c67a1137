"""Tells a service such as healthchecks that a run has begun, and how it has ended; silence is its alarm.

GET {url}/start        POST {url}, {url}/fail (a line that says why)
"""

from typing import Final, Literal

from ctisync import __version__
from ctisync.ports import Report

_TIMEOUT: Final = 10.0

_PATHS: Final = {"start": "/start", "success": "", "fail": "/fail"}


def ping(url: str, what: Literal["start", "success", "fail"], said: str, report: Report) -> None:
    """Best effort: a service that does not answer is a warning and no more."""
    import httpx

    try:
        reply = httpx.post(
            url.rstrip("/") + _PATHS[what],
            content=said.encode(),
            headers={"User-Agent": f"ctisync/{__version__}", "Content-Type": "text/plain; charset=utf-8"},
            timeout=_TIMEOUT,
        )
        reply.raise_for_status()
    except httpx.HTTPStatusError as error:
        report.event("warning", "ping-failed", ping=what, why=f"it answers {error.response.status_code}")
    except (httpx.HTTPError, OSError) as error:
        report.event("warning", "ping-failed", ping=what, why=str(error) or type(error).__name__)
