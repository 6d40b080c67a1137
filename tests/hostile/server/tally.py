"""What all cases of this directory come to."""


class Tally:
    """Counts only what was asserted: a case that failed is not in it."""

    def __init__(self) -> None:
        self._cases = 0
        self._peak = 0.0
        self._strange = 0

    def add(self, peak: float) -> None:
        """One case: it ended within its budget, told no secret, and had at most so many MiB."""
        self._cases += 1
        self._peak = max(self._peak, peak)

    def add_stranger(self) -> None:
        """One address that is not allowed, to which nothing went."""
        self._strange += 1

    def __str__(self) -> str:
        bounded = f"{self._cases} lies of servers, each ended within its budget"
        silent = f"{self._strange} ways to hosts that are not allowed: 0 bytes, 0 secrets sent there"
        return f"T8: {bounded}, peak memory {self._peak:.0f} MB; {silent}"
