"""Time and peak memory against the number of records, as an SVG that needs nothing beside it.

The same figures give the same bytes. Dark on white, whatever the page around it is.
"""

import io
import re
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.page.results import Results

Json = Any

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, and found by a search
    "svg.hashsalt": "ctisync",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_COLOURS: Final = {"sqlite": "#0072B2", "opensearch": "#D55E00", "cluster": "#009E73"}
"""Told apart by those who see no red or no green, too."""

_NAMES: Final = {
    "sqlite": "SQLite",
    "opensearch": "OpenSearch, one node",
    "cluster": "OpenSearch, three nodes",
}
_STEPS: Final = (("load", "load", "-"), ("update", "update of a tenth", "--"))
_NO_METADATA: Final = {"Date": None, "Creator": None, "Format": None, "Type": None}


def picture(results: Results) -> str:
    """SVG of the set `scale`."""
    stores = results["scale"]["stores"]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.6, 3.8), facecolor="white", layout="constrained")
        time, memory = figure.subplots(1, 2)
        _draw(time, stores, "seconds", "seconds")
        _draw(memory, stores, "peak_mb", "peak memory of ctisync, MB")
        figure.legend(
            *time.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=max(1, len(stores)),
            frameon=False,
        )
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=_NO_METADATA)
    return _alone(text.getvalue())


def _draw(axes: Axes, stores: Json, field: str, label: str) -> None:
    for store, points in stores.items():
        sizes = [int(records) / 1000 for records in points["sizes"]]
        for step, name, style in _STEPS:
            values = [each[step][field] for each in points["sizes"].values()]
            axes.plot(
                *(sizes, values, style),
                color=_COLOURS[store],
                marker="o",
                markersize=3,
                label=f"{_NAMES[store]}: {name}",
            )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("records, thousands")
    axes.set_ylabel(label)
    axes.grid(visible=True, color="#E0E0E0", linewidth=0.6)


def _alone(svg: str) -> str:
    """Without what points elsewhere: a document type, and metadata."""
    svg = re.sub(r"<!DOCTYPE.*?>\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r" *<metadata>.*?</metadata>\n?", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
