"""Bytes taken for choices: a search then alters what is made of them without breaking its form."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Drawn:
    """Choices, one byte each; when there are no more bytes, the first of each."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """From 0 on; below 65,536."""
        size = 1 if below <= 256 else 2
        return int.from_bytes(self.take(size), "little") % below

    def choice(self, options: Sequence[T]) -> T:
        return options[self.number(len(options))]

    def take(self, most: int) -> bytes:
        piece = self._data[self._at : self._at + most]
        self._at += most
        return piece

    def text(self, most: int) -> str:
        return self.take(most).decode("utf-8", "replace")

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def split(self) -> Sequence[bytes]:
        """What is left, in up to eight pieces of drawn lengths."""
        lengths = [self.number(64) for _ in range(self.number(8))]
        pieces = [self.take(length) for length in lengths]
        return [*pieces, self.rest()]
