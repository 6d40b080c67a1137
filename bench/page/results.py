"""The figures of docs/performance.json: for each set what its bench told, and whether to believe it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.places import ROOT

Json = Any
Results = Mapping[str, Json]
"""By the name of the bench: its line of JSON."""

SETS: Final = (
    *("scale", "overlap", "settings"),
    *("load-sqlite", "load-opensearch", "load-apart", "update-sqlite", "update-opensearch"),
    *("idle", "export", "disk"),
)


class Page(NamedTuple):
    """The files of the page, beside each other."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "performance.json"

    @property
    def text(self) -> Path:
        return self.folder / "performance.md"

    @property
    def picture(self) -> Path:
        return self.folder / "performance.svg"


PAGE: Final = Page(ROOT / "docs")


def read(page: Page) -> dict[str, Json]:
    by_set: dict[str, Json] = json.loads(page.results.read_text()) if page.results.exists() else {}
    return by_set


def write(page: Page, results: Results) -> None:
    ordered = {name: results[name] for name in SETS if name in results}
    page.results.write_text(json.dumps(ordered, indent=1) + "\n")
