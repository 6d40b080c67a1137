"""How a pass that was lied to ends: its exit code, what it says (a regular expression), what it advises."""

from typing import Final, NamedTuple


class End(NamedTuple):
    code: int
    says: str = ""
    advises: str = ""


LOADS: Final = End(0)
"""There was nothing to refuse: the content is the feed's."""

LATER: Final = "run the same command later"
LOOK: Final = "check which server answers at cti.url"

OVER_SECONDS: Final = 2.0
"""What a pass may take that is not to end otherwise."""

OVER: Final = End(
    5, f"the pass took longer than limits.pass_seconds, {OVER_SECONDS:.0f} s", "raise limits.pass_seconds"
)
CUT_OFF: Final = End(5, "the reply of [^ ]* is incomplete", LATER)
INCOMPLETE: Final = End(6, "the reply of [^ ]* is incomplete", LOOK)
NO_JSON: Final = End(6, "the reply of [^ ]* is not JSON", LOOK)
NO_ZIP: Final = End(6, "the snapshot is (a ZIP that is )?(truncated|damaged)", "later: ctisync sync")
NO_ANSWER: Final = End(5, "sends an invalid HTTP response: Server disconnected", LATER)
REPLY_TOO_LARGE: Final = End(6, r"\(limits\.reply_bytes\)", "raise limits.reply_bytes")
SNAPSHOT_TOO_LARGE: Final = End(6, "limits.snapshot_bytes is", "raise limits.snapshot_bytes")


def no_http(why: str) -> End:
    return End(5, f"sends an invalid HTTP response: {why}", LATER)


def refused(why: str) -> End:
    """The feed's data cannot be used, and nobody can do anything about it here."""
    return End(6, why, "later: ctisync sync")
