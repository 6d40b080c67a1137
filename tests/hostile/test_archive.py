"""T7: hostile archives meet the whole program. The content in use stays as it is, or is replaced by exactly
what the archive holds.

The directory at its end decides what is in an archive, as for every unpacker; the CRC there decides whether
it has come whole.
"""

import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.feed.crafted_zip import MEMBER
from tests.hostile.archives import CONTENT, ESCAPED, LINES, LOADED, REFUSED
from tests.hostile.assertions import assert_loaded, assert_refused_and_forgotten
from tests.hostile.in_use import InUse

WHAT: Final = "archives, each by both doors"


@pytest.mark.parametrize("row", REFUSED)
def test_the_content_stays_byte_for_byte_when_there_comes(
    in_use: InUse, counts: Counter[str], row: str
) -> None:
    assert_refused_and_forgotten(in_use, REFUSED[row])
    counts["refused"] += 1


@pytest.mark.parametrize("row", LOADED)
def test_exactly_what_the_member_holds_is_loaded_from_an_archive_with(
    in_use: InUse, counts: Counter[str], row: str
) -> None:
    """And nothing is ever written under a member's name."""
    assert_loaded(in_use, LOADED[row], LINES)
    assert list(in_use.folder.parent.rglob("*escaped*")) == []
    assert not Path(ESCAPED).exists()
    counts["loaded"] += 1


def test_an_archive_with_more_entries_than_a_zip_counts_is_read_when_the_limit_allows_it(
    in_use: InUse,
) -> None:
    """Their number is in the zip64 record alone."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(70_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.txt"), b"")
        archive.writestr(MEMBER, CONTENT, zipfile.ZIP_DEFLATED)
    path = in_use.snapshot_file(target.getvalue())
    usual = in_use.command("init-snapshot", "--from", str(path))
    assert usual.code == 6
    assert "limits.members" in usual.stderr
    raised = in_use.command("init-snapshot", "--from", str(path), CTISYNC_LIMITS__MEMBERS="80000")
    assert raised.code == 0, raised.stderr
    assert len(in_use.stored().exported) == len(LINES)
