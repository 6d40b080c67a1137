"""Figures that tests count. The end of the run shows them, so that a page can quote them."""

_told: list[str] = []


def figure(text: str) -> None:
    """Add a line to the figures of this run."""
    _told.append(text)


def told() -> tuple[str, ...]:
    """All figures of this run, in the order of the tests."""
    return tuple(_told)
