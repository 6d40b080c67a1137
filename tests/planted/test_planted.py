"""The planted bugs fit the code of today, say what they break, and name tests that exist."""

from pathlib import Path

import pytest

from tests.planted import patching
from tests.planted.patching import Patch

ROOT = Path(__file__).resolve().parents[2]
PATCHES = patching.all_patches()


def test_there_are_twenty_of_them() -> None:
    assert len(PATCHES) >= 20


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)
def test_a_planted_bug_fits_says_what_it_breaks_and_names_its_tests(patch: Patch) -> None:
    assert len(patch.breaks.split()) >= 8
    assert patch.hunks
    for hunk in patch.hunks:
        text = (ROOT / hunk.path).read_text(encoding="utf-8")
        broken = patching.applied(hunk, text)
        assert broken != text
        compile(broken, hunk.path, "exec")
    paths = [word for word in patch.tests if word.startswith("tests/")]
    assert paths
    assert all((ROOT / path).exists() for path in paths)


def test_a_patch_that_does_not_fit_any_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("one\ntwo\ntwo\n")
    patch = tmp_path / "x.patch"
    patch.write_text(
        "Breaks: nothing\nTests: none\n--- a/code.py\n+++ b/code.py\n@@ -1,1 +1,1 @@\n-two\n+three\n"
    )
    with pytest.raises(patching.DoesNotFit, match="2 times"):
        patching.apply(patching.read(patch), tmp_path)
