"""Which pictures there are."""

from pathlib import Path
from typing import Final

from tools.pictures import machine, terminal
from tools.pictures.walk import walked

FOLDER: Final = Path(__file__).parents[2] / "docs"


def made() -> dict[str, str]:
    """Each by the name of its file in `FOLDER`. The same program gives the same bytes."""
    printed = {f"{name}.svg": svg for name, svg in terminal.drawn().items()}
    return {"state-machine.svg": machine.drawn(walked()), **printed}
