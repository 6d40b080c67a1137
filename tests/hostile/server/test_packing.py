"""Bombs and other lies about how a body is packed."""

import gzip
import zlib
from collections.abc import Mapping
from typing import Final

import pytest

from tests.hostile.server.conftest import Judge
from tests.hostile.server.ends import LOADS, LOOK, NO_JSON, REPLY_TOO_LARGE, End, refused
from tests.hostile.server.passes import REPLY_BYTES, Case, Outcome
from tests.support.lying_feed import Edit, Lie, body, whole
from tests.support.raw_server import bomb, head, then_for_ever

PACKED: Final = "Content-Encoding: gzip"
BOMB: Final = bomb(200)
DAMAGED: Final = End(6, "the reply's gzip is damaged", LOOK)
INCOMPLETE: Final = End(6, "the reply's gzip is incomplete", LOOK)
ENCODED: Final = refused("the server sends the snapshot with an unexpected Content-Encoding")
AN_EMPTY_BLOCK: Final = b"\0\0\0\xff\xff"
GZIP_HEADER: Final = gzip.compress(b"")[:10]


def _packed(edit: Edit) -> Lie:
    return whole(edit, PACKED)


def _encoded(encoding: str, edit: Edit = bytes) -> tuple[Lie, End]:
    end = End(6, f"the reply has an unexpected encoding: '{encoding}'", LOOK)
    return whole(edit, f"Content-Encoding: {encoding}"), end


LIES: Final[Mapping[str, tuple[Lie, End]]] = {
    "a bomb": (body(BOMB, PACKED), REPLY_TOO_LARGE),
    "a bomb within a bomb": _encoded("gzip, gzip", lambda _: gzip.compress(BOMB)),
    "three layers": _encoded("identity, gzip, gzip", lambda text: gzip.compress(gzip.compress(text))),
    "deflate": _encoded("deflate", zlib.compress),
    "brotli": _encoded("br"),
    "zstd": _encoded("zstd"),
    "empty blocks without end": (
        then_for_ever(head(200, PACKED) + GZIP_HEADER, AN_EMPTY_BLOCK * 10_000),
        REPLY_TOO_LARGE,
    ),
    "empty members without end": (
        then_for_ever(head(200, PACKED), gzip.compress(b"") * 1000),
        REPLY_TOO_LARGE,
    ),
    "cut off": (_packed(lambda text: gzip.compress(text)[:-20]), INCOMPLETE),
    "without its checksum": (_packed(lambda text: gzip.compress(text)[:-8]), INCOMPLETE),
    "with a wrong checksum": (
        _packed(lambda text: gzip.compress(text)[:-8] + bytes(4) + gzip.compress(text)[-4:]),
        DAMAGED,
    ),
    "with a wrong size": (_packed(lambda text: gzip.compress(text)[:-4] + bytes(4)), DAMAGED),
    "with something behind it": (_packed(lambda text: gzip.compress(text) + b"something"), DAMAGED),
    "with another answer behind it": (_packed(lambda text: gzip.compress(text) * 2), NO_JSON),
    "in two members": (_packed(lambda text: gzip.compress(text[:50]) + gzip.compress(text[50:])), LOADS),
    "not at all, in spite of its head": (_packed(bytes), DAMAGED),
    "in spite of its head": (whole(gzip.compress), NO_JSON),
}

CASES: Final = {
    **{f"info: {name}": Case({"info": lie}, end) for name, (lie, end) in LIES.items()},
    "changes: a bomb": Case({"changes": body(BOMB, PACKED)}, REPLY_TOO_LARGE),
    "snapshot: gzip": Case({"snapshot": whole(gzip.compress, PACKED)}, ENCODED),
    "snapshot: a bomb": Case({"snapshot": body(BOMB, PACKED)}, ENCODED),
    "snapshot: identity": Case({"snapshot": whole(bytes, "Content-Encoding: Identity")}, LOADS),
    "snapshot: gzip in spite of its head": Case(
        {"snapshot": whole(gzip.compress)}, refused("line 1 of the snapshot is not a record: it is not JSON")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_packed_is_unpacked_within_bounds_or_refused(
    name: str, outcomes: Mapping[str, Outcome], judge: Judge
) -> None:
    judge(CASES[name], outcomes[name])


def test_the_bomb_would_have_been_one() -> None:
    assert len(BOMB) * 900 < len(gzip.decompress(BOMB)) == 200 << 20
    assert len(BOMB) < REPLY_BYTES
