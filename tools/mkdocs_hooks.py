"""What MkDocs is told, so that pages which are written for a plain checkout make a site as well.

Pages link to files outside docs/, such as CHANGELOG.md or an example: these become pages of the site, and
links to them lead there. A link to anything else is left as it is, and MkDocs warns of it. The words behind a
fence's language are names for the tests; MkDocs would not take such a fence for one, nor a list right below a
line of text for a list.
"""

import posixpath
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ADOPTED: Final = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "tests/mutants/survivors.md": "survivors.md",
}
"""Files of the repository, and the pages that they are in the site."""

EXAMPLES: Final = "examples.md"
"""The page of all that lies in examples/."""

_HOME: Final = {uri: path for path, uri in ADOPTED.items()} | {EXAMPLES: "examples/README.md"}
_FENCE: Final = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_NAMED_FENCE: Final = re.compile(r"^(```\w+) .*$", re.MULTILINE)
_LIST_BELOW_TEXT: Final = re.compile(r"^(?![-\s|#])(.+)\n(?=- )", re.MULTILINE)
_LINK: Final = re.compile(r"(?<=\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Each decision is in the navigation, so that a new one need not be named there."""
    decisions = sorted(path.name for path in Path(config.docs_dir, "adr").glob("0*.md"))
    for part in config.nav or []:
        if isinstance(part, dict) and "Decisions" in part:
            part["Decisions"] += [f"adr/{name}" for name in decisions]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    root = _root(config)
    for path, uri in ADOPTED.items():
        files.append(File.generated(config, uri, abs_src_path=str(root / path)))
    files.append(File.generated(config, EXAMPLES, content="\n".join(_examples(root / "examples"))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    uri = page.file.src_uri
    here = posixpath.dirname(_HOME.get(uri, f"docs/{uri}"))

    def fit(text: str) -> str:
        return _LIST_BELOW_TEXT.sub(r"\1\n\n", _LINK.sub(led, text))

    def led(link: re.Match[str]) -> str:
        place = _place(posixpath.normpath(posixpath.join(here, link[1])), _root(config))
        if place is None:
            return link[0]
        return posixpath.relpath(place, posixpath.dirname(uri) or ".") + (link[2] or "")

    text = _NAMED_FENCE.sub(r"\1", markdown)
    fences = [fence.span() for fence in _FENCE.finditer(text)]
    ends = [0, *(place for span in fences for place in span), len(text)]
    parts = [text[begin:end] for begin, end in pairwise(ends)]
    return "".join(part if number % 2 else fit(part) for number, part in enumerate(parts))


def _place(path: str, root: Path) -> str | None:
    """Where in the site a file or folder of the repository is; None for what is not in it."""
    if path in ADOPTED:
        return ADOPTED[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.partition("/")[0] == "examples" and (root / path).exists():
        return f"{EXAMPLES}#{_anchor(path)}"
    return None


def _examples(folder: Path) -> Iterator[str]:
    yield f'<a id="{_anchor("examples")}"></a>\n\n# Examples\n'
    yield "They come along with the program: `ctisync examples` lists them, prints them, writes them.\n"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        level = "#" * (1 + len(Path(name).parts))
        yield f'<a id="{_anchor(f"examples/{name}")}"></a>\n\n{level} {path.name}\n'
        if path.is_file():
            yield f"````\n{path.read_text(encoding='utf-8').rstrip()}\n````\n"


def _anchor(path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", path.lower())


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
