"""Made-up words and sentences: as much news a byte as prose has, none of it anybody's."""

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

_SYLLABLES: Final = (
    *("ba", "cor", "de", "fi", "gan", "hu", "in", "jo", "ka", "lem", "mi", "nor", "o", "pra"),
    *("qui", "ra", "so", "ter", "u", "ver", "wi", "xe", "ya", "zo", "st", "tion", "ment", "ar"),
)
_ACCENTED: Final = ("ción", "á", "é", "ñas", "í", "ó")
_WORDS: Final = 2500


class Words:
    """A vocabulary in which, as in prose, a few words come often (the n-th with weight 1/n)."""

    def __init__(self, chance: random.Random, *, accents: bool = False) -> None:
        syllables = _SYLLABLES + _ACCENTED * 2 if accents else _SYLLABLES
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
