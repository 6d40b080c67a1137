"""Where things are: the checkout, its sources, and the folder that benches keep their data in."""

import sys
from pathlib import Path
from typing import Final

import ctisync

ROOT: Final = Path(__file__).resolve().parents[1]

SOURCES: Final = str(Path(ctisync.__file__).parents[1])
"""For PYTHONPATH: what this process runs, wherever the interpreter's own installation points."""

_USERS: Final = ROOT / ".venv-run" / "bin" / "python"
INTERPRETER: Final = str(_USERS) if _USERS.exists() else sys.executable
"""What a user has: in an environment with more packages some of ours find more to import."""

DATA: Final = ROOT / ".bench"
