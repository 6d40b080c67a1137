"""`make docs`: the pages make a site without a warning, and load nothing from elsewhere; a fault ends it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

from tests.docs import page
from tests.docs.shell import ROOT
from tools.mkdocs_hooks import ADOPTED

DOCS = ROOT / "docs"
PAGES = {path.relative_to(ROOT).as_posix(): path.relative_to(DOCS) for path in sorted(DOCS.rglob("*.md"))}
PAGES |= {path: Path(uri) for path, uri in ADOPTED.items()}


def build(root: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    """What `make docs` does with that tree."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


def html_of(site: Path, source: str) -> str:
    uri = PAGES[source]
    name = uri.with_name("index.html") if uri.name == "README.md" else uri.with_suffix(".html")
    return (site / name).read_text()


class _Loaded(HTMLParser):
    """What a browser fetches by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "embed", "video", "audio"):
            self.addresses.append(attributes.get("src") or "")
        if tag == "link":
            self.addresses.append(attributes.get("href") or "")


def test_a_page_of_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = []
    for file in site.rglob("*.html"):
        parser = _Loaded()
        parser.feed(file.read_text())
        loaded += [(file.name, place) for place in parser.addresses]
    styles = [
        (file.name, place)
        for file in site.rglob("*.css")
        for place in re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")]+)", file.read_text())
    ]
    assert ("index.html", "css/theme.css") in loaded, "nothing was looked at"
    elsewhere = re.compile(r"(?!data:)(\w+:|//)")
    assert [(name, place) for name, place in (*loaded, *styles) if elsewhere.match(place)] == []


@pytest.mark.parametrize("source", PAGES)
def test_each_block_of_a_page_is_a_block_of_the_site(site: Path, source: str) -> None:
    """A fence that MkDocs does not take for one spoils all that comes after it."""
    text = html_of(site, source)
    shown = [unescape(block) for block in re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", text, re.DOTALL)]
    blocks = [block.text for block in page.blocks((ROOT / source).read_text())]
    assert [block for block in blocks if block not in shown] == []
    assert "```" not in text


@pytest.mark.parametrize("source", PAGES)
def test_nothing_of_a_page_is_left_as_it_was_typed(site: Path, source: str) -> None:
    """Lists, tables, links and emphasis that MkDocs takes for text: it is stricter than a checkout's page."""
    text = re.sub(r"<(pre|code)\b.*?</\1>", "", html_of(site, source), flags=re.DOTALL)
    signs = (r"\n- .*", r"\n1\. .*", r"\n\|.*\|", r"\S*\]\(\S*", r"\*\*.*")
    assert [match for sign in signs for match in re.findall(sign, text)] == []


def test_each_example_can_be_read_in_the_site(site: Path) -> None:
    text = (site / "examples.html").read_text()
    files = [path for path in (ROOT / "examples").rglob("*") if path.is_file()]
    assert text.count("<pre>") == len(files)
    assert all(f">{path.name}<" in text for path in files)


def _link(target: str) -> Callable[[Path], None]:
    def spoil(docs: Path) -> None:
        _write(docs / "faq.md", f"{(docs / 'faq.md').read_text()}\n[there]({target})\n")

    return spoil


def _write(file: Path, text: str) -> None:
    file.write_text(text)


FAULTS: Final[dict[str, Callable[[Path], None]]] = {
    "a link to no page": _link("nothing.md"),
    "a link to no heading": _link("operations.md#no-such-heading"),
    "a link to a file that is not in the site": _link("../pyproject.toml"),
    "a link to no example": _link("../examples/nothing"),
    "a page that no menu names": lambda docs: _write(docs / "another.md", "# Another"),
    "a menu that leads nowhere": lambda docs: (docs / "faq.md").unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_ends_the_build(tmp_path: Path, fault: str) -> None:
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("tests/mutants", "tools"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("mkdocs.yml", "tools/mkdocs_hooks.py", *ADOPTED):
        shutil.copy(ROOT / name, tmp_path / name)
    FAULTS[fault](tmp_path / "docs")

    built = build(tmp_path, tmp_path / "site")

    assert built.returncode != 0
    assert "WARNING" in built.stderr
