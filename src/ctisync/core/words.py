"""Numbers with their nouns, and durations, as text."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 record`, `1,234 records`."""
    return f"{number:,} {noun_for(number, noun, plural)}"


def noun_for(number: int, noun: str, plural: str | None = None) -> str:
    return noun if number == 1 else plural or f"{noun}s"


def lasting(seconds: float) -> str:
    """A duration as text: `0.4 s`, `3 s`, `12 min`, `1.5 h`."""
    if seconds < 0.95:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7170 else f"{seconds / 3600:,.1f} h"
