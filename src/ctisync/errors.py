"""Everything that can go wrong for a user, and what each of it means.

    CtisyncError
    ├── UsageError            2  the command line asks for something that makes no sense
    ├── ConfigurationError    3  settings, or a refusal that only a person can lift
    │   ├── AccessRefused     3  401, 403, 404 or a TLS refusal of feed or store
    │   ├── ForeignIndex      3  another program's index stands where our alias belongs
    │   └── SettingsChanged   3  the settings no longer fit what is stored
    ├── AnotherPass           4  somebody else is working on this consumer
    ├── FeedUnreachable       5  network, 429, 5xx, a spent time budget: try again later
    │   └── SnapshotChanged   5  what was loaded while it came in can't be gone on with
    ├── FeedRefused           6  the feed's data cannot be used
    │   ├── SnapshotRefused   6  ... and it is the snapshot
    │   ├── ReplyTooLarge     6  ... because so much was asked for at once
    │   └── Blocked           6  a change cannot be applied, and initialising again did not help
    ├── StoreUnavailable      7  the store is unreachable, refuses writes, or is full
    ├── CommandNotAccepted    8  the content is current, the command is still owed
    ├── AuditFailed           9  verify found differences
    ├── EmptyStore           10  the store holds no content yet
    ├── HookFailed           11  the pass was good, what was to run after it was not
    ├── Unexpected            1  a bug: anything that is none of these
    └── Stopped         130/143  a signal ended the pass

Each error answers three questions: can it be tried again (`transient`), what should the person
type (`hint`), which exit code (`exit_code`). Anything else that escapes is a bug, told as Unexpected.
"""

import re
from collections.abc import Iterable
from typing import ClassVar, Final

from ctisync import __version__
from ctisync.harmless import harmless, one_line

DONE: Final = 0
BUG: Final = 1

# Several consumers run in one call; the worst of their exit codes wins, in this order.
_WORST_FIRST: Final = (130, 143, BUG, 7, 3, 6, 5, 8, 4, 10, 11)


LOAD_ANEW: Final = "ctisync init-snapshot && ctisync sync"
"""In a hint: the first puts readers back to the snapshot's offset, the second takes them on to the feed's."""

_EACH_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


class CtisyncError(Exception):
    """What an operator is told: `message` says what and why, `hint` what to type (None: `usual_hint`).

    A command in a hint stands between words and `: `, `; ` or `, `, with a remark in brackets behind it, so
    that it can be told from the words (`tests/docs/hinted.py`).

    Both are one line of harmless text, whatever servers and files have put in; a path or a name in a hint
    is `quoted`.
    """

    exit_code: ClassVar[int]
    transient: ClassVar[bool] = False
    usual_hint: ClassVar[str | None] = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = one_line(message)
        super().__init__(self.message)
        self.hint = self.usual_hint if hint is None else harmless(hint)

    @property
    def kind(self) -> str:
        """The class's name in kebab-case, for programs: "store-unavailable"."""
        return _EACH_CAPITAL.sub("-", type(self).__name__).lower()

    def about(self, subject: object) -> str:
        """The message with what it is about before it, unless it names that already."""
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
    usual_hint = "wait for it; the next call goes on"


class FeedUnreachable(CtisyncError):
    """`come_back_in`: seconds for which the feed is to be left alone, None when nobody says."""

    exit_code = 5
    transient = True

    def __init__(self, message: str, *, hint: str | None = None, come_back_in: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.come_back_in = come_back_in


class SnapshotChanged(FeedUnreachable):
    """What has come in so far is worth nothing; the same pass fetches the whole, then loads."""


class FeedRefused(CtisyncError):
    exit_code = 6
    usual_hint = "later: ctisync sync (nothing was changed, and only the feed can mend this)"


class SnapshotRefused(FeedRefused):
    """`body`: ETag and size, as announced, of what was downloaded only to be found no good, so that it can
    be recognised; None when that shows without reading a body."""

    usual_hint = f"later: ctisync sync (takes another snapshot by itself); to try this one again: {LOAD_ANEW}"

    def __init__(
        self, message: str, *, hint: str | None = None, body: tuple[str | None, int | None] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.body = body


class ReplyTooLarge(FeedRefused):
    pass


class Blocked(FeedRefused):
    pass


class StoreUnavailable(CtisyncError):
    exit_code = 7
    transient = True
    usual_hint = "look at the store and its log, then: ctisync sync; what is stored stays as it is"


class CommandNotAccepted(CtisyncError):
    exit_code = 8
    transient = True


class AuditFailed(CtisyncError):
    exit_code = 9


class EmptyStore(CtisyncError):
    exit_code = 10


class HookFailed(CtisyncError):
    exit_code = 11
    usual_hint = "run it by hand; the pass itself is done, and a hook is not run again for it"


class Unexpected(CtisyncError):
    """What is no CtisyncError has ended a command, or the pass over one consumer; it is the `__cause__`."""

    exit_code = BUG
    usual_hint = "the same command with -v, and report what it shows"

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"a bug in ctisync {__version__}: {in_words(error)}")
        self.__cause__ = error


def in_words(error: BaseException) -> str:
    """What kind of error it is, and what it says, if anything."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


class Stopped(CtisyncError):
    """A signal ended the command; `exit_code` is 128 + the signal's number. `then`: how it goes on, if it
    does."""

    exit_code = 130
    transient = True

    def __init__(self, signal_number: int, then: str = "") -> None:
        super().__init__(f"stopped by signal {signal_number}" + (f"; {then}" if then else ""))
        self.exit_code = 128 + signal_number  # type: ignore[misc]  # one class, two signals


_GOES_ON: Final = "the next pass goes on from here"

AFTER_STOP: Final = {"sync": _GOES_ON, "update": _GOES_ON, "init-snapshot": "run the same command again"}
"""What is true after a stop, from a command's first moment on; of other commands nothing is left to go on."""


def after_asked(consumer: object) -> str:
    """The same once an initialisation is stored as asked for."""
    return f"the next ctisync sync goes on to initialise {consumer}, or gives that up with --keep"


def worst(codes: Iterable[int]) -> int:
    """The exit code of a call that ran several passes: the first of the documented order, else 0."""
    found = set(codes) - {DONE}
    return next((code for code in _WORST_FIRST if code in found), max(found, default=DONE))
