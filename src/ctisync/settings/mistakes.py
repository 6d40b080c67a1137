"""Mistakes in the settings, collected: one that is met does not hide the next."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ctisync.core.words import counted
from ctisync.errors import ConfigurationError


class Several(ConfigurationError):
    """More than one. It reads as the first of `errors`, and says where all of them are told."""

    def __init__(self, errors: Sequence[ConfigurationError]) -> None:
        first, *others = errors
        more = counted(len(others), "more mistake", "more mistakes")
        super().__init__(f"{first.message}; ctisync config check tells {more}", hint=first.hint)
        self.errors = tuple(errors)


class Mistakes:
    """What blocks of `noted` have raised."""

    def __init__(self) -> None:
        self._found: list[ConfigurationError] = []
        self._about: set[str] = set()

    @contextmanager
    def noted(self, *settings: str) -> Iterator[None]:
        """Keep the ConfigurationError that the block raises, as one of these settings; none: what it should
        have set is not known."""
        try:
            yield
        except ConfigurationError as error:
            errors = error.errors if isinstance(error, Several) else (error,)
            told = {each.message for each in self._found}  # two consumers may have the same wrong context
            self._found += [each for each in errors if each.message not in told]
            self._about.update(settings or ("",))

    def spare(self, *settings: str) -> bool:
        """Whether these settings are what somebody has set: what is wrong with them then is a mistake of its
        own, and does not follow from one that was noted."""
        return "" not in self._about and self._about.isdisjoint(settings)

    def raise_any(self) -> None:
        if len(self._found) > 1:
            raise Several(self._found)
        for error in self._found:
            raise error
