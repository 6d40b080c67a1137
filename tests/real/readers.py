"""Readers that look every few milliseconds, and what they have seen."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

PACE: Final = 0.005

ContentCounts = Counter[int]
"""Of the records found, how many belong to which content."""


class Reader:
    """Calls `look` every PACE seconds in a thread of its own; before the first content it may find nothing.

    `sizes` tells how many records each content has.
    """

    def __init__(self, name: str, look: Callable[[], ContentCounts | None], sizes: dict[int, int]) -> None:
        self.name = name
        self._look = look
        self._sizes = sizes
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._had_content = False
        self.reads = 0
        self.contents: set[int] = set()
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._done.is_set():
            began = time.monotonic()
            try:
                self._judge(self._look())
            except Exception as error:  # noqa: BLE001  # whatever a reader meets is what is looked for
                self.wrong.append(f"{self.name}: {type(error).__name__}: {error}")
            self.reads += 1
            self._done.wait(max(0.0, PACE - (time.monotonic() - began)))

    def _judge(self, counts: ContentCounts | None) -> None:
        if not counts:
            if self._had_content:
                self.wrong.append(f"{self.name}: nothing")
            return
        self._had_content = True
        self.contents |= counts.keys()
        if len(counts) > 1:
            self.wrong.append(f"{self.name}: mixed, {dict(counts)}")
        elif any(self._sizes[content] != count for content, count in counts.items()):
            self.wrong.append(f"{self.name}: a part, {dict(counts)}")
