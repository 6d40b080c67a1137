"""Made-up words and sentences: as much news a byte as prose has, none of it anybody's."""

import random
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

_SYLLABLES: Final = (
    *("ba", "cor", "de", "fi", "gan", "hu", "in", "jo", "ka", "lem", "mi", "nor", "o", "pra"),
    *("qui", "ra", "so", "ter", "u", "ver", "wi", "xe", "ya", "zo", "st", "tion", "ment", "ar"),
)
SPANISH: Final = _SYLLABLES + ("ción", "á", "é", "ñas", "í", "ó") * 2

SCRIPTS: Final[Mapping[bytes, Sequence[str]]] = {
    b"ru": [chr(0x430 + 2 * n) + chr(0x44F - 3 * n) for n in range(10)],
    b"ja": [chr(0x3042 + n) for n in range(80)],
}
"""Of two and of three bytes a character."""

_WORDS: Final = 5000


class Words:
    """A vocabulary in which, as in prose, a few words come often (the n-th with weight 1/n)."""

    def __init__(self, chance: random.Random, syllables: Sequence[str] = _SYLLABLES) -> None:
        self._chance = chance
        self.all = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(_WORDS)]
        self._weights = list(accumulate(1 / (rank + 3) for rank in range(_WORDS)))

    def sentence(self) -> str:
        """Some 40 to 200 characters."""
        words = self._chance.choices(self.all, cum_weights=self._weights, k=self._chance.randint(8, 28))
        return " ".join(words).capitalize() + "."

    def name(self, joint: str = "-", most: int = 3) -> str:
        """A product's or package's: rare words, joined."""
        return joint.join(self._chance.choices(self.all, k=self._chance.randint(1, most)))


def sentences(words: Words, count: int) -> Sequence[bytes]:
    return [words.sentence().encode() for _ in range(count)]
