"""The commands in a hint, as a person finds them there: the rest is words."""

import re
from typing import Final

TOOLS: Final = (
    *("ctisync", "curl", "sudo", "mkdir", "mv", "rm", "chmod", "chown"),
    *("ls", "df", "fuser", "timedatectl", "pip"),
)
"""What a command begins with."""

_QUOTED: Final = r"""'[^']*'|"[^"]*\""""
_CLAUSE: Final = re.compile(rf"(?:(?<!\w)(?:{_QUOTED})|(?![;,:] | \(|\)(?:\W|$)).)+", re.DOTALL)
"""Up to what separates clauses; between quotes nothing does. An apostrophe in a word is no quote."""


def clauses(hint: str) -> list[str]:
    return [clause[0].strip(" ;,:()") for clause in _CLAUSE.finditer(hint)]


def commands(hint: str) -> list[str]:
    return [clause for clause in clauses(hint) if clause.split(" ")[0] in TOOLS]
