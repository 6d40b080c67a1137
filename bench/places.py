"""Where things are: the checkout, its sources, and the folder that benches keep their data in."""

from pathlib import Path
from typing import Final

import ctisync

ROOT: Final = Path(__file__).resolve().parents[1]

SOURCES: Final = str(Path(ctisync.__file__).parents[1])
"""For PYTHONPATH: what this process runs, wherever the interpreter's own installation points."""

DATA: Final = ROOT / ".bench"
