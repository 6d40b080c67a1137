"""Addresses: which belong to the feed, where a snapshot's link may lead and a connection is open to, and what
messages show of them."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from ctisync import hints
from ctisync.core.links import LONGEST_LINK
from ctisync.errors import ConfigurationError, SnapshotRefused
from ctisync.feed.http.budget import ReadDeadline

_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
"""The hosts that `cti.allowed_hosts` can contain: names and addresses."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL: Final = ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20")
_NOT_PUBLIC: Final = tuple(map(ipaddress.ip_network, _SPECIAL))
"""Special-purpose nets (IANA) that `is_global` counts as public, at least in one version of Python."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454, 4). The token belongs to one origin."""

    scheme: str
    host: str
    port: int | None


def origin(url: str) -> Origin:
    """The origin of an address; an empty one for an address that is invalid."""
    try:
        parts = urlsplit(url)
        return Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme))
    except ValueError:
        return Origin("", "", None)


def shown(url: str) -> str:
    """The address for messages: without user, password, query and fragment, which may be secrets."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an invalid address"
    return urlunsplit(SplitResult(parts.scheme, host + port, parts.path, "", ""))


def has_login(url: str) -> bool:
    """Whether the address contains a user name or a password, which would be sent."""
    return "@" in urlsplit(url).netloc


def is_plain(url: str) -> bool:
    """Whether all programs read the address alike, and send all of it."""
    return url.isprintable() and " " not in url and "\\" not in url and len(url) <= LONGEST_LINK


def snapshot_url(link: str, base_url: str) -> str:
    """The address of a snapshot's link. One without a scheme (API fact) gets the feed's scheme.

    Raises SnapshotRefused for an invalid address, one with a login, and one that leaves https.
    """
    if "://" not in link and not link.startswith("/"):
        link = f"{urlsplit(base_url).scheme}://{link}"
    return hop(base_url, link)


def hop(current: str, target: str) -> str:
    """The address that a link or a redirect found at `current` leads to; see `snapshot_url`."""
    try:
        url = urljoin(current, target)
    except ValueError:
        url = ""
    there = origin(url)
    if there.scheme not in _PORTS or not there.host or not is_plain(url):
        raise SnapshotRefused(
            f"the snapshot's link leads to {shown(target)[:200]!r}, which is not an http(s) address"
        )
    if has_login(url):
        raise SnapshotRefused(
            f"the snapshot's link contains a user name or password: it leads to {shown(url)}"
        )
    if origin(current).scheme == "https" and there.scheme == "http":
        raise SnapshotRefused(f"the snapshot's link leaves https: it leads to {shown(url)}")
    return url


class Reach:
    """The hosts to which the feed's links and redirects may lead, so that a server cannot send us anywhere.

    These are the host of `cti.url` and those of `cti.allowed_hosts`, each on the port of `cti.url`, on the
    scheme's default port, or on the listed port. Their addresses must be public, unless the host of `cti.url`
    has an address that is not. An address is checked once the connection is open, before anything is sent, so
    that a name which later resolves differently gains nothing. Behind a proxy, the proxy resolves names: an
    address is then checked only if the link contains it.
    """

    def __init__(self, base_url: str, allowed_hosts: Sequence[str] = ()) -> None:
        """`allowed_hosts`: `host`, `*.domain` (each host below it), either with `:port`."""
        self._base = origin(base_url)
        entries = (urlsplit(f"//{entry}") for entry in allowed_hosts)
        self._allowed = [(self._base.host, None), *((entry.hostname or "", entry.port) for entry in entries)]

    def check(self, url: str) -> None:
        """Raises SnapshotRefused, which names host and setting, for an address that is not allowed."""
        there = origin(url)
        if not self._is_allowed(there):
            entry = f"[{there.host}]" if ":" in there.host else there.host
            if there.port not in self._usual_ports(there):
                entry += f":{there.port}"
            hint = f'if this is expected, set cti.allowed_hosts = ["{entry}"]'
            raise SnapshotRefused(
                f"the snapshot's link leads to {entry}, which is not the feed's host",
                hint=hint if _NAME.fullmatch(there.host) else None,
            )
        try:
            spelt_out = ipaddress.ip_address(there.host)
        except ValueError:
            return
        self.check_address(there.host, spelt_out)

    def check_address(self, host: str, address: IpAddress) -> None:
        """Raises SnapshotRefused if `host` has an address in a net that is not public."""
        if not is_public(address) and not self._starts_inside:
            raise SnapshotRefused(
                f"the snapshot's link leads to {host}, whose address {address} is not a public one",
                hint=f"if this is expected, load it yourself: {hints.command('init-snapshot', '--from URL')}",
            )

    def _is_allowed(self, there: Origin) -> bool:
        usual = self._usual_ports(there)
        return any(
            _matches(there.host, host) and there.port in ({port} if port else usual)
            for host, port in self._allowed
        )

    def _usual_ports(self, there: Origin) -> set[int | None]:
        return {self._base.port, _PORTS[there.scheme]}

    @cached_property
    def _starts_inside(self) -> bool:
        """Whether the host of `cti.url` has an address that is not public."""
        try:
            addresses = socket.getaddrinfo(self._base.host, self._base.port, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return not all(is_public(ipaddress.ip_address(address[0])) for *_, address in addresses)


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def is_public(address: IpAddress) -> bool:
    """Whether an address is on the internet: not private, shared, link-local, site-local, loopback,
    multicast, reserved or unspecified. An IPv6 address that represents an IPv4 address is checked as the
    latter.

    In IPv6, IANA has assigned only 2000::/3 as global unicast.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL:
            return False
    if any(address in net for net in _NOT_PUBLIC if net.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


_CONNECTING: Final = ".connect_tcp.started"
_CONNECTED: Final = ".connect_tcp.complete"
_ENCRYPTED: Final = ".start_tls.complete"
_FIRST_HOP: Final = "connection."
"""Begins the names of steps with the host that is connected to: the server, or a proxy."""
_SENDING: Final = ".send_request_headers.started"


class ConnectionWatch:
    """The watch on the connection of one request: its address, and the read deadline of each part of the
    answer. A connection to another host than the one in the request's address is one to a proxy.

    httpx reports each step of a request to the `trace` function of its extensions, but does not guarantee the
    steps' names (https://www.python-httpx.org/advanced/extensions/). So a connection that was not reported is
    not trusted.
    """

    def __init__(self, url: str, deadline: ReadDeadline, reach: Reach | None, *, checked: bool) -> None:
        """`reach` None: any address is allowed. `checked`: the request may use a connection that was
        checked."""
        self._url = url
        self._deadline = deadline
        self._reach = reach
        self._connecting_to: tuple[str, int | None] = ("", 0)
        self._is_checked = checked
        self.reached = False
        """Whether the server itself has accepted the connection. A proxy alone is not the server."""

    def step(self, name: str, info: dict[str, Any]) -> None:
        """Called by httpx. Raises SnapshotRefused for an address that is not allowed, and what `check`
        does."""
        if name.endswith(_CONNECTING):
            self._connecting_to = info["host"], info.get("port")
        elif name.endswith(_CONNECTED):
            self._check_address(info["return_value"])
            self._is_checked = True
        elif name.endswith(_ENCRYPTED) and not name.startswith(_FIRST_HOP):
            self.reached = True  # through the tunnel of a proxy
        elif name.endswith(_SENDING):
            self.check()
        if name.endswith((_CONNECTED, _ENCRYPTED)):
            self._deadline.watch(info["return_value"])

    def check(self) -> None:
        """Raises ConfigurationError if httpx has not reported the request's connection."""
        if not self._is_checked:
            raise ConfigurationError(
                f"ctisync cannot check the address of {shown(self._url)}, so it sends no request: "
                "it does not support the installed versions of httpx and httpcore",
                hint="pip install --requirement requirements/runtime.txt (of the release that is installed)",
            )

    def _check_address(self, stream: Any) -> None:
        import httpx

        address = httpx.URL(self._url)
        host = address.raw_host.decode("ascii")
        port = address.port or _PORTS[address.scheme]
        if self._reach is not None and self._connecting_to[0] == host:
            try:
                self._reach.check_address(host, ipaddress.ip_address(stream.get_extra_info("server_addr")[0]))
            except BaseException:
                stream.close()
                raise
        self.reached = self._connecting_to == (host, port)
