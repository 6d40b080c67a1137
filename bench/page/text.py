"""The places of docs/performance.md that are made from figures; all else is written by hand.

It stands between `<!-- figures: scale -->` and `<!-- end -->`.
"""

import re
from typing import Final

from bench.page.results import Results
from bench.page.tables import tables

_PLACE: Final = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def places(page: str) -> list[str]:
    return [found[2] for found in _PLACE.finditer(page)]


def filled(page: str, results: Results) -> str:
    """The page with what the figures say now. Raises KeyError for a place that no set has figures for."""
    made = tables(results)
    return _PLACE.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n\n{found[3]}", page)
