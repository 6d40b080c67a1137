"""Links and addresses: where one leads is where it was said to lead, and what is shown of it is no secret."""

import ipaddress
import re
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import httpx

from ctisync.core.links import place_of, public_link
from ctisync.errors import SnapshotRefused
from ctisync.feed.http.token_exchange import is_signed_for
from ctisync.feed.http.url_policy import Origin, Reach, hop, is_public, origin, shown, snapshot_url
from tests.fuzz.drawing import Drawn
from tests.fuzz.printed import harmless, refusing
from tests.fuzz.target import target

# No name of these is ever resolved: the feed's own host is an address.
BASES: Final = ("https://192.0.2.7/api/v1", "http://192.0.2.7:8080/api/v1", "https://[2001:db8::7]:8443")
ALLOWED: Final = ("files.example", "*.cdn.example", "[2001:db8::9]:444", "odd.example:8443")

SEEDS: Final = (
    *"https://files.example/a/7_1746459961.zip?sig=x#y //files.example /store/x.zip ../x".split(),
    "host/x.zip",
    *"https://user:pass@files.example/x https://files.example:0/ https://files.example:99999/".split(),
    "http://[",
    *"https://a.cdn.example:443/%2e%2e/ HTTPS://FILES.EXAMPLE/".split(),
    *"https://files.example\\@evil.example/ ftp://x".split(),
    *"https://files.example. https://192.0.2.7%00/ https://0x7f.1/ http://1.1.1.1/".split(),
    "https://\u0430.example/",
    *"https://odd.example:8443/?@ https:///x https:files.example https://files.example;x".split(),
    "javascript://%0a",
)

TOKENS: Final = (
    *b"https:// http:// // @ :443 :0 %40 %2f \\ ? # .. [::1] ::ffff:".split(),
    *b"files.example cdn.example 127.0.0.1 192.0.2.7 \xe3\x80\x82 \xef\xbc\x8f xn-- \xc2\xad".split(),
    *b"\xe2\x80\xae \x1b[2J \x00 %00 \xc4\xb0 localhost ; &".split(),
    b"\n",
    b"\t",
    b" ",
    b"\xef\xbc\xa0",
)


@target(
    seeds=[bytes([base]) + seed.encode() for seed in SEEDS for base in (0, 1)], tokens=TOKENS, most_bytes=400
)
def links(data: bytes) -> None:
    """A link that is followed leads to a host that is allowed, also for the library that connects to it; it
    bears no login, does not leave https, and stays as it is when it is looked at again."""
    drawn = Drawn(data)
    base, link = BASES[drawn.number(len(BASES))], drawn.rest().decode("utf-8", "replace")
    with refusing(SnapshotRefused):
        url = snapshot_url(link, base)
        there = origin(url)
        assert url.isprintable(), "it can be printed"
        assert len(url) <= 8000
        assert there.scheme == "https" or base.startswith("http:"), "it leaves https"
        assert "@" not in urlsplit(url).netloc, "it bears a login"
        assert origin(hop(url, url)) == there, "it leads elsewhere when it is looked at again"
        Reach(base, ALLOWED).check(url)
        assert _allowed(there, origin(base)), f"{there} was not allowed"
        with suppress(httpx.InvalidURL, UnicodeError):
            theirs = httpx.URL(url)
            port = theirs.port or {"http": 80, "https": 443}[theirs.scheme]
            assert (theirs.scheme, theirs.host, port) == there, f"{there} was looked at, {theirs} is asked"
            assert not theirs.userinfo


def _allowed(there: Origin, base: Origin) -> bool:
    usual = there.port in (base.port, {"http": 80, "https": 443}[there.scheme])
    return (
        (usual and there.host in (base.host, "files.example"))
        or (usual and re.fullmatch(r"[^/@:]*\.cdn\.example", there.host) is not None)
        or (there.host, there.port) in (("2001:db8::9", 444), ("odd.example", 8443))
    )


@target(seeds=[seed.encode() for seed in SEEDS], tokens=TOKENS, most_bytes=400)
def shown_links(data: bytes) -> None:
    """What is stored and shown of a link has neither login nor query; it is alike exactly when links are."""
    link = data.decode("utf-8", "replace")
    public = public_link(link)
    assert public_link(link) == public
    place, _, digest = public.partition("#")
    assert "?" not in place
    with suppress(ValueError):
        assert "@" not in urlsplit(place).netloc, "a login is stored"
    if public != link:
        assert re.fullmatch("[0-9a-f]{16}", digest), "what was taken away is told by a digest"
        assert public != public_link(link + "x"), "another link looks the same"
    assert place_of(place) == place, "what is left still holds something to take away"
    text = shown(link)
    assert "?" not in text
    assert "#" not in text
    with suppress(ValueError):
        parts = urlsplit(link)
        for secret in (parts.password, parts.username):
            if secret and len(secret) > 3 and link.lower().count(secret.lower()) == 1:
                assert secret not in text, "the login is shown"
                assert secret not in public, "the login is stored"


# What IANA's registries of special-purpose addresses have for not globally reachable, and what is no host's.
_NOT_PUBLIC: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *"192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24".split(),
            "224.0.0.0/4",
            *"240.0.0.0/4 ::/128 ::1/128 64:ff9b:1::/48 100::/64 2001:2::/48 2001:db8::/32".split(),
            *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
        ),
    )
)


@target(
    seeds=[
        each.packed
        for each in map(
            ipaddress.ip_address,
            (
                "10.1.2.3",
                "8.8.8.8",
                "::1",
                "::ffff:10.0.0.1",
                "64:ff9b::a00:1",
                "2002:a00:1::",
                "2606:4700::1111",
            ),
        )
    ],
    tokens=[net.network_address.packed for net in _NOT_PUBLIC],
    most_bytes=16,
)
def addresses(data: bytes) -> None:
    """No address of a net that is not public passes, however it is written."""
    if len(data) not in (4, 16):
        return
    address = ipaddress.ip_address(data)
    inner = {address}
    if isinstance(address, ipaddress.IPv6Address):
        embedded = (address.ipv4_mapped, address.sixtofour)
        inner |= {each for each in embedded if each is not None}
        if address in ipaddress.ip_network("64:ff9b::/96"):
            inner.add(ipaddress.ip_address(data[12:]))
    hidden = [each for each in inner for net in _NOT_PUBLIC if each.version == net.version and each in net]
    assert not (is_public(address) and hidden), f"{address} passes, although {hidden} is not public"
    assert harmless(str(address))


ADDRESSES: Final = (
    "https://192.0.2.7/api/v1/catalog/contexts/a/consumers/b",
    "https://192.0.2.7/api/v1/catalog/contexts/a/consumers/b/changes?from_offset=1&to_offset=9",
    "https://files.example:8443/store/7_1746459961.zip?sig=a%2Fb",
)


@target(
    seeds=[
        *(bytes([number]) + address.encode() + b"&verify=1-x" for number, address in enumerate(ADDRESSES)),
        b"\0" + ADDRESSES[0].encode() + b"?verify=1-x",
        b"\0https://elsewhere.example/api/v1/catalog/contexts/a/consumers/b?verify=1-x",
    ],
    tokens=(*TOKENS, *b"verify= from_offset=1 & = %2F".split(), *(each.encode() for each in ADDRESSES)),
    most_bytes=600,
)
def signed_links(data: bytes) -> None:
    """A link that is used leads to the wanted address, also for the library that connects to it: all that it
    may have in addition are parameters of other names."""
    drawn = Drawn(data)
    address, link = ADDRESSES[drawn.number(len(ADDRESSES))], drawn.rest().decode("utf-8", "replace")
    if not is_signed_for(address, link):
        return
    assert link.isprintable()
    one, other = httpx.URL(address), httpx.URL(link)
    assert (one.scheme, one.host, one.port, one.path) == (other.scheme, other.host, other.port, other.path)
    assert not other.userinfo
    for name in one.params:
        assert one.params.get_list(name) == other.params.get_list(name), name
