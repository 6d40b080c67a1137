"""Addresses: which are the feed's own, where a snapshot's link leads, what may be shown of them."""

from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ctisync.errors import SnapshotRefused

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454, 4): what the token is meant for."""

    scheme: str
    host: str
    port: int | None


def origin(url: str) -> Origin:
    """Raises ValueError for an address that is none."""
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme))


def shown(url: str) -> str:
    """The address for messages: without user, password, query and fragment, which may be secrets."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    return urlunsplit(SplitResult(parts.scheme, host + port, parts.path, "", ""))


def snapshot_url(link: str, base_url: str) -> str:
    """Where a snapshot's link leads. One without a scheme (the API gives such addresses) has the feed's.

    Raises SnapshotRefused for an address that is none, and for one that leaves https.
    """
    if "://" not in link and not link.startswith("/"):
        link = f"{urlsplit(base_url).scheme}://{link}"
    return hop(base_url, link)


def hop(current: str, target: str) -> str:
    """The address that a link or a redirect found at `current` leads to; see `snapshot_url`."""
    try:
        url = urljoin(current, target)
        there = origin(url)
    except ValueError:
        there = Origin("", "", None)
        url = ""
    if there.scheme not in _PORTS or not there.host or not url.isprintable() or " " in url:
        raise SnapshotRefused(f"the snapshot's link leads to {target[:200]!r}, which is no http(s) address")
    if origin(current).scheme == "https" and there.scheme == "http":
        raise SnapshotRefused(f"the snapshot's link leaves https: it leads to {shown(url)}")
    return url
