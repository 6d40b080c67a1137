"""What is meant by a name that does not exist."""

import re
from collections.abc import Sequence
from difflib import get_close_matches


def or_near(word: str, names: Sequence[str]) -> str:
    """The names that are like `word` as a whole or in a part, nearest first; all of them if none is."""
    parts = {part: name for name in reversed(names) for part in (*re.split("[/_]", name), name)}
    near = dict.fromkeys(parts[each] for each in get_close_matches(word, parts))
    return f"near: {', '.join(near)}" if near else f"there are: {', '.join(names)}"
