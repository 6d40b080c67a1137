"""All errors, their exit codes and their usual hints.

    CtisyncError
    ├── UsageError            2  the command line is not valid
    ├── ConfigurationError    3  settings, or a refusal that only you can resolve
    │   ├── AccessRefused     3  401, 403, 404 or a TLS refusal of feed or store
    │   ├── ForeignIndex      3  an index of another program has the name of the alias
    │   └── SettingsChanged   3  the settings differ from those of the stored content
    ├── AnotherPass           4  another pass is running for this consumer
    ├── FeedUnreachable       5  network, 429, 5xx, a spent retry budget: try again later
    │   └── SnapshotChanged   5  the server replaced the snapshot during the download
    ├── FeedRefused           6  the feed's data cannot be used
    │   ├── SnapshotRefused   6  ... and it is the snapshot
    │   ├── ReplyTooLarge     6  ... because the request was for too many changes
    │   └── Blocked           6  a change cannot be applied, and initialising again did not help
    ├── StoreUnavailable      7  the store is unreachable, refuses writes, or is full
    ├── CommandNotAccepted    8  the content is current, the command is still owed
    ├── AuditFailed           9  verify found differences
    ├── EmptyStore           10  the store holds no content yet
    ├── HookFailed           11  the pass succeeded, but a hook failed
    ├── Unexpected            1  a bug: any other exception
    └── Stopped         130/143  a signal ended the pass

Each error says whether a later try can succeed (`transient`), what you type (`hint`), and the exit code
(`exit_code`). Any other exception that escapes is a bug and becomes Unexpected. The exit code 12 is no error:
`search --exit-code` ends with it if records match.
"""

import re
from collections.abc import Iterable
from typing import ClassVar, Final, Self

from ctisync import __version__, hints
from ctisync.escaping import escape, one_line

DONE: Final = 0
BUG: Final = 1
HITS: Final = 12
"""With `--exit-code`: there are records that match."""

# If one call runs several consumers, the worst exit code wins, in this order.
_WORST_FIRST: Final = (130, 143, BUG, 7, 3, 6, 5, 8, 4, 10, 11)


_EACH_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


class CtisyncError(Exception):
    """An error for the operator: `message` says what is wrong and why, `hint` what to type (None: the usual
    hint of the class).

    In a hint, `: `, `; ` or `, ` separates a command from other words; a remark in brackets may follow it.
    That way `tests/docs/hinted.py` finds the commands.

    Both are one line of harmless text, even if parts come from servers or files; paths and names in a hint
    are `quoted`.
    """

    exit_code: ClassVar[int]
    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = one_line(message)
        super().__init__(self.message)
        self.hint = self.usual_hint() if hint is None else escape(hint)

    @classmethod
    def usual_hint(cls) -> str | None:
        """What to type if there is nothing better to say."""
        return None

    @property
    def kind(self) -> str:
        """The name of the class in kebab-case, for programs: "store-unavailable"."""
        return _EACH_CAPITAL.sub("-", type(self).__name__).lower()

    def about(self, subject: object) -> str:
        """The message with the subject before it, unless it names that already."""
        return self.message if str(subject) in self.message else one_line(f"{subject}: {self.message}")


class UsageError(CtisyncError):
    exit_code = 2


class ConfigurationError(CtisyncError):
    exit_code = 3


class AccessRefused(ConfigurationError):
    pass


class ForeignIndex(ConfigurationError):
    pass


class SettingsChanged(ConfigurationError):
    pass


class AnotherPass(CtisyncError):
    exit_code = 4
    transient = True

    @classmethod
    def usual_hint(cls) -> str:
        return "wait until it ends, then run the same command again"


class FeedUnreachable(CtisyncError):
    """`cooldown`: length of the cool-down in seconds; None if the feed does not ask for one. `is_missing`: a
    mirror has not the file that was to be read, so a newer head may name another one."""

    exit_code = 5
    transient = True

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        cooldown: float | None = None,
        is_missing: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.cooldown = cooldown
        self.is_missing = is_missing


class SnapshotChanged(FeedUnreachable):
    """The received part is of no use; the same pass downloads all of the new snapshot, then loads it."""


class FeedRefused(CtisyncError):
    exit_code = 6

    @classmethod
    def usual_hint(cls) -> str:
        return (
            f"try again later: {hints.command('sync')} (nothing was changed; only the feed can correct this)"
        )


class SnapshotRefused(FeedRefused):
    """`body`: announced ETag and size of a refused download, to recognise it later; None if the refusal does
    not depend on the body. `limit`: the setting in `[limits]` that is exceeded, if it is that."""

    def __init__(
        self, message: str, *, hint: str | None = None, body: tuple[str | None, int | None] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.body = body
        self.limit: str | None = None

    @classmethod
    def usual_hint(cls) -> str:
        later = f"try again later: {hints.command('sync')} (it loads the next snapshot)"
        return f"{later}; to retry this one: {hints.load_anew()}"

    @classmethod
    def over_limit(cls, limit: str, what: str) -> Self:
        """The error for a snapshot that exceeds a limit; `what` says how."""
        error = cls(
            f"{what} (limits.{limit})",
            hint=f"if this is expected, raise limits.{limit}, then: {hints.load_anew()}",
        )
        error.limit = limit
        return error


class ReplyTooLarge(FeedRefused):
    pass


class Blocked(FeedRefused):
    pass


class StoreUnavailable(CtisyncError):
    exit_code = 7
    transient = True

    @classmethod
    def usual_hint(cls) -> str:
        return f"check the store and its log, then: {hints.command('sync')}; stored data is unchanged"


class CommandNotAccepted(CtisyncError):
    exit_code = 8
    transient = True


class AuditFailed(CtisyncError):
    exit_code = 9


class EmptyStore(CtisyncError):
    exit_code = 10


class HookFailed(CtisyncError):
    exit_code = 11

    @classmethod
    def usual_hint(cls) -> str:
        return "run the hook by hand; the pass is done and does not run it again"


class Unexpected(CtisyncError):
    """Another exception than a CtisyncError ended a command or a pass; it is the `__cause__`."""

    exit_code = BUG

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"a bug in ctisync {__version__}: {in_words(error)}")
        self.__cause__ = error

    @classmethod
    def usual_hint(cls) -> str:
        return "run the same command with -v, and report its output"


def in_words(error: BaseException) -> str:
    """The type of the error and its message, if it has one."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


class Stopped(CtisyncError):
    """A signal ended the command; `exit_code` is 128 + the number of the signal. `then`: what happens next,
    if anything."""

    exit_code = 130
    transient = True

    def __init__(self, signal_number: int, then: str = "") -> None:
        super().__init__(f"stopped by signal {signal_number}" + (f"; {then}" if then else ""))
        self.exit_code = 128 + signal_number  # type: ignore[misc]  # one class, two signals


_GOES_ON: Final = "the next pass continues from here"

AFTER_STOP: Final = {
    "sync": _GOES_ON,
    "update": _GOES_ON,
    "mirror": _GOES_ON,
    "init-snapshot": "run the same command again",
}
"""What happens next after a stop, by command. Other commands leave nothing to continue."""


def after_request(consumer: object) -> str:
    """The same after ctisync has stored the request for an initialisation."""
    return f"the next ctisync sync continues the initialisation of {consumer}; --keep cancels it"


def worst(codes: Iterable[int]) -> int:
    """The exit code of a call with several passes: the first in the documented order, else 0."""
    failures = set(codes) - {DONE}
    return next((code for code in _WORST_FIRST if code in failures), max(failures, default=DONE))
