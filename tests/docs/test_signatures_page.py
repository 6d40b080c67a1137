"""docs/signatures.md: what it lets you type signs a mirror, and lets another host refuse an unsigned one."""

import sys
import tomllib
from pathlib import Path
from typing import Final

from ctisync.core.trust import is_public_key
from tests.docs import page
from tests.docs.reader import Reader
from tests.docs.shell import ROOT
from tests.support.feed_history import churn, populate
from tests.support.feed_simulator import FeedSimulator

PAGE: Final = (ROOT / "docs" / "signatures.md").read_text()
TYPED: Final = {block.names[0]: block.text for block in page.blocks(PAGE, "sh")}
(TRUST,) = (block.text for block in page.blocks(PAGE, "toml"))


def reader(home: Path, feed: FeedSimulator | None, srv: Path) -> Reader:
    """A host whose `/srv/cti` is `srv`. Its minisign is a stand-in (tests/packages has the real one)."""
    host = Reader(home, feed)
    host.names |= {"/srv/cti": str(srv), "/media/stick/cti": str(srv)}
    stand_in = f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.docs.minisign "$@"\n'
    (host.bin / "minisign").write_text(stand_in)
    (host.bin / "minisign").chmod(0o755)
    return host


def test_each_block_is_typed_by_a_test() -> None:
    assert list(TYPED) == ["key", "sign", "anew", "by-hand", "check"]


def test_what_the_page_signs_is_followed_and_what_nobody_has_signed_is_not(tmp_path: Path) -> None:
    with FeedSimulator() as feed:
        populate(feed.history, 10)
        feed.publish_snapshot()
        outside, inside = (reader(tmp_path / name, feed, tmp_path / "srv") for name in ("outside", "inside"))
        key = outside.types(TYPED["key"]).strip()
        outside.types(TYPED["sign"])
        outside.types(TYPED["check"])
        (sample,) = tomllib.loads(TRUST)["cti"]["trusted_keys"]
        assert is_public_key(sample)
        settings = inside.home / ".config" / "ctisync" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(TRUST.replace(sample, key).replace("/media/stick/cti", str(tmp_path / "srv")))
        del inside.environ["CTISYNC_CTI__URL"]
        inside.types("ctisync sync")
        churn(feed.history, 5)
        outside.types("ctisync mirror /srv/cti")
        refused = inside.type("ctisync sync")
        assert refused.code == 6
        assert "it is not signed" in refused.text
        outside.types(TYPED["by-hand"])
        outside.types(TYPED["check"])
        inside.types("ctisync sync")
        inside.types(TYPED["anew"])
