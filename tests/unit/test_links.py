"""What is remembered and shown of a snapshot's link."""

import pytest

from ctisync.core.links import place_of, public_link
from ctisync.core.model import Snapshot

PLACE = "https://host.example/store/1_1746459961.zip"


@pytest.mark.parametrize(
    "link",
    [
        PLACE,
        "http://[::1]:8080/x.zip",
        "cti.wazuh.com/store/1.zip",
        "/store/1.zip",
        "//host/1.zip",
        "https://host/me@home/1.zip",
        "",
    ],
)
def test_a_link_without_secrets_is_shown_as_it_is(link: str) -> None:
    assert public_link(link) == link
    assert Snapshot.announced(link, 1) == Snapshot(link, 1)


@pytest.mark.parametrize("link", [f"{PLACE}/{'x' * 100_000}", f"{PLACE}\x1b[2J\n\u202e", f"{PLACE}\udc9b"])
def test_of_a_link_that_cannot_be_used_a_part_is_kept_that_harms_nobody(link: str) -> None:
    kept = public_link(link)
    assert kept.isprintable()
    assert len(kept) < 8100
    assert kept != public_link(f"{link}s")
    assert Snapshot.announced(link, 1).address == link, "it is refused when it is wanted"


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        (f"{PLACE}?signature=canary", PLACE),
        (f"{PLACE}#canary", PLACE),
        (f"{PLACE}?a#canary?b", PLACE),
        ("https://me:canary@host.example/store/1_1746459961.zip", PLACE),
        ("https://me:c@nary@host.example/store/1_1746459961.zip", PLACE),
        ("https://me:canary@host.example", "https://host.example"),
        ("me:canary@host.example/1.zip", "host.example/1.zip"),
        ("//me:canary@host.example/1.zip", "//host.example/1.zip"),
        ("https://me:\udc80canary@host.example/1.zip", "https://host.example/1.zip"),
        ("?canary", ""),
        ("htt\nps:\t//me:canary@host.example/1.zip", "https://host.example/1.zip"),
        (" \x00https://me:canary@host.example/1.zip", "https://host.example/1.zip"),
        ("x@https://me:canary@host.example/1.zip", "https://host.example/1.zip"),
        ("x@ https://me:canary@host.example/1.zip", "https://host.example/1.zip"),
        ("https:x@//me:canary@host.example/1.zip", "//host.example/1.zip"),
    ],
)
def test_of_a_link_with_secrets_a_digest_is_shown(link: str, shown: str) -> None:
    place, mark, digest = public_link(link).partition("#")
    assert (place, mark) == (shown, "#")
    assert len(digest) == 16
    assert public_link(link) == public_link(link)
    assert public_link(link) != public_link(f"{link}s")
    assert Snapshot.announced(link, 1).address == link


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://me:canary@host.example/1.zip?canary", "https://***@host.example/1.zip"),
        ("me:canary@host.example/1.zip", "***@host.example/1.zip"),
        (PLACE, PLACE),
    ],
)
def test_other_text_stands_in_the_place_of_a_login(link: str, shown: str) -> None:
    assert place_of(link, "***@") == shown
