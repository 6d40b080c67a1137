"""Figures that tests count. The end of the run shows them, so that a page can quote them."""

_lines: list[str] = []


def figure(text: str) -> None:
    """Add a line to the figures of this run."""
    _lines.append(text)


def figures() -> tuple[str, ...]:
    """All figures of this run, in the order of the tests."""
    return tuple(_lines)
