"""What must come of a hostile snapshot: refused by both doors and nothing touched, or loaded to the byte."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ctisync.core import wire
from tests.hostile.in_use import UNIX_TIME, InUse
from tests.support.printed_error import assert_error


class Refused(NamedTuple):
    """What comes, and a regular expression that the message of its refusal fits."""

    words: str
    content: bytes


def assert_refused(in_use: InUse, file: Refused, served: Refused | None = None) -> None:
    """`file` from the disk, `served` by the feed (by default the same): exit code 6 in two lines. No byte of
    the content is touched, nothing is left over, no command goes out."""
    before, offset = in_use.stored(), in_use.state.offset
    assert offset > 0

    by_file = in_use.from_file(file.content)
    assert by_file.code == 6, by_file.stderr
    assert_error(by_file.stderr, rf"_{UNIX_TIME}\.zip: .*{file.words}", "pass a complete snapshot to --from")
    assert in_use.stored() == before
    assert (in_use.state.offset, in_use.state.phase) == (offset, "ready")

    served = file if served is None else served
    by_feed = in_use.from_feed(served.content)
    assert by_feed.code == 6, by_feed.stderr
    assert_error(by_feed.stderr, rf"{in_use.consumer}: .*{served.words}", "ctisync")
    assert in_use.stored() == before
    assert in_use.manager.commands == []


def assert_refused_and_forgotten(in_use: InUse, file: Refused) -> None:
    """And the next good snapshot is loaded."""
    assert_refused(in_use, file)
    good = in_use.from_feed()
    assert good.code == 0, good.stderr
    assert in_use.stored().exported == tuple(in_use.feed.expected_lines())


def assert_loaded(
    in_use: InUse, content: bytes, lines: Iterable[bytes], *, same: Callable[[bytes], Any] = bytes
) -> None:
    """By each door: exit code 0; the content is these lines, byte for byte unless `same` makes what is to be
    compared of them, and nothing is left over."""
    expected = [same(line) for line in in_order(lines)]
    files = in_use.stored().files
    for by in (in_use.from_file, in_use.from_feed):
        in_use.begin()
        ended = by(content)
        assert ended.code == 0, ended.stderr
        stored = in_use.stored()
        assert [same(line) for line in stored.exported] == expected
        assert tuple(line for _, _, line in stored.view) == stored.exported
        assert (stored.generations, stored.rows, stored.files) == (1, len(expected), files)
        last = in_use.feed.history.last_offset
        assert (in_use.state.offset, in_use.manager.commands[-1].offset) == (last, str(last))


def in_order(lines: Iterable[bytes]) -> tuple[bytes, ...]:
    """As an export gives them: by the names' UTF-8 bytes."""
    return tuple(sorted(lines, key=lambda line: wire.record(line).name.encode()))
