"""The findings of `verify`.

A *difference* is something that is wrong; a *note* is something that an operator should know, or that the
stored data does not show.
"""

from collections.abc import Callable
from enum import Enum
from typing import Literal

import msgspec

from ctisync.hints import command, load_anew

Check = Literal[
    "store", "state", "command", "settings", "generations", "writers", "count", "offsets", "records",
    "deep", "against",
]  # fmt: skip
Weight = Literal["difference", "note"]

Hint = Callable[[], str]


def _show_all() -> str:
    return f"give the user a role that hides nothing ({command('doctor')}); then: {command('verify')}"


def _go_on() -> str:
    return command("sync")


def _leave_behind() -> str:
    return f"{command('sync')}; the next pass that has something to write removes it"


def _repair_store() -> str:
    return f"restore the store from a backup, or move it away; then: {command('sync')}"


def _load_correct() -> str:
    return f"{load_anew()} (once the feed's snapshot is correct)"


def _wait() -> str:
    return f"{command('verify')}, once that pass has ended"


def _ask_owner() -> str:
    return f"as the user of the passes: {command('verify')}"


class Kind(Enum):
    """A kind of finding: its name for programs, its check, its weight, and what to type."""

    STORE_DAMAGED = ("store-damaged", "store", "difference", _repair_store)
    STORE_SCHEMA = ("store-schema", "store", "difference", _repair_store)
    STORE_HIDDEN = ("store-hidden", "store", "note", _show_all)
    STORE_ORPHANS = ("store-orphans", "store", "difference", _repair_store)
    STATE_WRONG = ("state-wrong", "state", "difference", load_anew)
    STATE_UNSETTLED = ("state-unsettled", "state", "note", _go_on)
    COMMAND_WRONG = ("command-wrong", "command", "difference", load_anew)
    SETTINGS_DIFFER = ("settings-differ", "settings", "note", load_anew)
    GENERATION_WRONG = ("generation-wrong", "generations", "difference", load_anew)
    GENERATION_STRAY = ("generation-stray", "generations", "difference", _leave_behind)
    GENERATION_LEFT = ("generation-left", "generations", "note", _leave_behind)
    GENERATION_FACTS_BEHIND = ("generation-facts-behind", "generations", "note", _go_on)
    GENERATION_FACTS_WRONG = ("generation-facts-wrong", "generations", "difference", load_anew)
    WRITER_DEAD = ("writer-dead", "writers", "difference", _leave_behind)
    WRITER_AT_WORK = ("writer-at-work", "writers", "note", _wait)
    WRITER_UNKNOWN = ("writer-unknown", "writers", "note", _ask_owner)
    COUNT_WRONG = ("count-wrong", "count", "difference", load_anew)
    OFFSET_TOO_HIGH = ("offset-too-high", "offsets", "difference", load_anew)
    OFFSET_AHEAD = ("offset-ahead", "offsets", "note", _go_on)
    OFFSET_NOT_JUDGED = ("offset-not-judged", "offsets", "note", _go_on)
    RECORD_UNREADABLE = ("record-unreadable", "records", "difference", load_anew)
    RECORD_MISLABELLED = ("record-mislabelled", "records", "difference", load_anew)
    RECORD_UNWANTED = ("record-unwanted", "records", "difference", load_anew)
    PAYLOAD_UNREADABLE = ("payload-unreadable", "deep", "difference", _load_correct)
    PAYLOAD_TWICE = ("payload-key-twice", "deep", "difference", _load_correct)
    PAYLOAD_DEEP = ("payload-too-deep", "deep", "difference", _load_correct)
    AGAINST_MISSING = ("against-missing", "against", "difference", load_anew)
    AGAINST_EXTRA = ("against-extra", "against", "difference", load_anew)
    AGAINST_OLDER = ("against-older", "against", "difference", load_anew)
    AGAINST_NEWER = ("against-newer", "against", "difference", load_anew)
    AGAINST_DIFFERENT = ("against-different", "against", "difference", load_anew)
    AGAINST_NOT_JUDGED = ("against-not-judged", "against", "note", _go_on)

    def __init__(self, label: str, check: Check, weight: Weight, hint: Hint) -> None:
        self.label = label
        self.check = check
        self.weight = weight
        self._hint = hint

    @property
    def hint(self) -> str:
        return self._hint()


class Finding(msgspec.Struct, frozen=True):
    """One finding of `verify`. `subject`: what it is about (a record, a field). `hint`: what to type, None
    for the text of its kind."""

    kind: Kind
    subject: str
    detail: str
    hint: str | None = None
