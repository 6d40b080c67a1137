"""Collects mistakes in the settings, so that one does not hide the next."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ctisync.core.words import counted
from ctisync.errors import ConfigurationError


class Several(ConfigurationError):
    """More than one mistake, in `errors`. The message is that of the first, with the command that prints all
    of them."""

    def __init__(self, errors: Sequence[ConfigurationError]) -> None:
        first, *others = errors
        more = counted(len(others), "more mistake", "more mistakes")
        super().__init__(f"{first.message}; ctisync config check prints {more}", hint=first.hint)
        self.errors = tuple(errors)


class Mistakes:
    """The errors that blocks of `noted` have raised."""

    def __init__(self) -> None:
        self._found: list[ConfigurationError] = []
        self._about: set[str] = set()

    @contextmanager
    def noted(self, *settings: str) -> Iterator[None]:
        """Keep the ConfigurationError that the block raises, as a mistake in these settings; without
        `settings`, it is unknown which setting is affected."""
        try:
            yield
        except ConfigurationError as error:
            errors = error.errors if isinstance(error, Several) else (error,)
            told = {each.message for each in self._found}  # two consumers may have the same wrong context
            self._found += [each for each in errors if each.message not in told]
            self._about.update(settings or ("",))

    def spare(self, *settings: str) -> bool:
        """Whether no mistake noted so far affects these settings, so that a check of them finds a new mistake
        and not a consequence of a noted one."""
        return "" not in self._about and self._about.isdisjoint(settings)

    def raise_any(self) -> None:
        """Raise the one mistake that was noted, or Several; do nothing if there is none."""
        if len(self._found) > 1:
            raise Several(self._found)
        for error in self._found:
            raise error
