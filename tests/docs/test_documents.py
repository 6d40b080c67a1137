"""What the README and the examples show is run, so that nobody types a command that doesn't work."""

import re
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from ctisync.core.findings import Kind
from ctisync.settings import load_settings
from tests.docs import page
from tests.docs.shell import ROOT, run
from tests.support.feed_simulator import FeedSimulator

README = (ROOT / "README.md").read_text()
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[str]:
    return [block.text for block in page.blocks(README, language)]


def test_the_commands_of_the_readme_and_of_the_settings_page_do_what_they_say(
    environment: dict[str, str], feed: FeedSimulator, tmp_path: Path
) -> None:
    (snapshot,) = feed.files.values()
    (tmp_path / "1901695_1746459961.zip").write_bytes(snapshot.body)
    lines = [line for script in blocks("sh") for line in page.commands(script)]
    typed = [line.split()[1] for line in lines]
    assert typed == ["sync", "status", "export", "init-snapshot", "examples"]
    settings = page.blocks((ROOT / "docs" / "settings.md").read_text(), "sh")
    for line in [*lines, *(line for block in settings for line in page.commands(block.text))]:
        result = run(line, environment, tmp_path)
        assert result.returncode == 0, f"{line}\n{result.stderr}"
    assert len((tmp_path / "cve.ndjson").read_bytes().splitlines()) == len(feed.expected_lines())


@pytest.mark.parametrize("document", ["README.md", "docs/quick-start.md", "docs/air-gap.md"])
def test_who_installs_as_a_document_says_gets_no_file_without_a_pinned_hash(document: str) -> None:
    """Packages come by their hashes, or from a folder that was filled so; ctisync's own wheel brings none.
    The first installation is the exception: the one line that most people type."""
    scripts = [block.text for block in page.blocks((ROOT / document).read_text(), "sh")]
    installs = re.compile(r"\bpipx? (install|download|inject|run)\b")
    lines = [line for text in scripts for line in text.splitlines() if installs.search(line)]
    if document != "docs/air-gap.md":
        assert lines.pop(0) == "pipx install ."
    assert len(lines) >= 2
    for line in lines:
        hashed = "--require-hashes" in line and "requirements" in line
        assert hashed or ("--no-index" in line and "ctisync-*.whl" in line), line


def test_the_readmes_query_finds_the_records(environment: dict[str, str], tmp_path: Path) -> None:
    assert run("ctisync sync -q", environment, tmp_path).stderr == ""
    (query,) = blocks("sql")
    database = next(tmp_path.rglob("ctisync.db"))
    with closing(sqlite3.connect(database)) as connection:
        assert len(connection.execute(query).fetchall()) == 5


def test_the_readmes_settings_are_settings(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    for name in ("password", "root-ca.pem"):
        (tmp_path / name).write_text("x")
    file = tmp_path / "config.toml"
    file.write_text(text.replace("/etc/ctisync/", f"{tmp_path}/"))
    assert tomllib.loads(text)["store"]["username"] == "ctisync"
    assert (
        load_settings(file, {"HOME": str(tmp_path)}, system_file=tmp_path / "none").settings.store.password
        is not None
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_to_a_heading_lead_to_one(document: Path) -> None:
    """As a checkout's pages name them; the site has its own test."""
    links = re.findall(r"\]\(([^):#]*\.md)?#([^)]+)\)", document.read_text())
    missing = []
    for path, place in links:
        target = document.parent / path if path else document
        if place not in map(page.anchor, page.headings(target.read_text())):
            missing.append((path, place))
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_elsewhere_look_like_links(document: Path) -> None:
    """Nobody is asked whether they lead somewhere: the tests need no network."""
    links = re.findall(r"\]\((\w+:[^)]*)\)", document.read_text())
    form = re.compile(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w./~%+#?=&-]*)?")
    assert [link for link in links if not form.fullmatch(link)] == []


def test_each_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    assert [path.name for path in folder.glob("0*.md") if path.name not in index] == []


def test_the_architecture_page_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path.name for path in (ROOT / "src" / "ctisync").iterdir() if not path.name.startswith("_")}
    unnamed = [room for room in rooms if room.removesuffix(".py") not in text and room != "py.typed"]
    assert unnamed == []


def test_each_kind_of_finding_is_in_the_page_about_verify() -> None:
    text = (ROOT / "docs" / "verify.md").read_text()
    assert [kind.label for kind in Kind if f"`{kind.label}`" not in text] == []
