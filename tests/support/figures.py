"""What the tests have counted; shown at the end of the run, so that a page can quote it."""

_told: list[str] = []


def figure(text: str) -> None:
    _told.append(text)


def told() -> tuple[str, ...]:
    """All figures of this run, in the order of the tests."""
    return tuple(_told)
