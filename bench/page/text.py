"""The places of docs/performance.md that are made from figures; all else is written by hand.

It stands between `<!-- figures: scale -->` and `<!-- end -->`.
"""

import re
from typing import Final

from bench.page.results import Results
from bench.page.tables import tables

_PLACE: Final = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def places(page: str) -> list[str]:
    return [match[2] for match in _PLACE.finditer(page)]


def filled(page: str, results: Results) -> str:
    """The page with what the figures say now. Raises KeyError for a place that no set has figures for."""
    made = tables(results)
    return _PLACE.sub(lambda match: f"{match[1]}\n{made[match[2]]}\n\n{match[3]}", page)
