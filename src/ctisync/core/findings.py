"""The findings of `verify`.

A *difference* is something that is wrong; a *note* is something that an operator should know, or that the
stored data does not show.
"""

from enum import Enum
from typing import Final, Literal

import msgspec

from ctisync.errors import LOAD_ANEW

Check = Literal[
    "store", "state", "command", "settings", "generations", "writers", "count", "offsets", "records",
    "deep", "against",
]  # fmt: skip
Weight = Literal["difference", "note"]

_SHOW_ALL: Final = "give the user a role that hides nothing (ctisync doctor); then: ctisync verify"
_GO_ON: Final = "ctisync sync"
_LEFT_BEHIND: Final = "ctisync sync; the next pass that has something to write removes it"
_REPAIR_STORE: Final = "restore the store from a backup, or move it away; then: ctisync sync"
_ONCE_CORRECT: Final = f"{LOAD_ANEW} (once the feed's snapshot is correct)"
_ONCE_ENDED: Final = "ctisync verify, once that pass has ended"
_AS_OWNER: Final = "as the user of the passes: ctisync verify"


class Kind(Enum):
    """A kind of finding: its name for programs, its check, its weight, and what to type."""

    STORE_DAMAGED = ("store-damaged", "store", "difference", _REPAIR_STORE)
    STORE_SCHEMA = ("store-schema", "store", "difference", _REPAIR_STORE)
    STORE_HIDDEN = ("store-hidden", "store", "note", _SHOW_ALL)
    STORE_ORPHANS = ("store-orphans", "store", "difference", _REPAIR_STORE)
    STATE_WRONG = ("state-wrong", "state", "difference", LOAD_ANEW)
    STATE_UNSETTLED = ("state-unsettled", "state", "note", _GO_ON)
    COMMAND_WRONG = ("command-wrong", "command", "difference", LOAD_ANEW)
    SETTINGS_DIFFER = ("settings-differ", "settings", "note", LOAD_ANEW)
    GENERATION_WRONG = ("generation-wrong", "generations", "difference", LOAD_ANEW)
    GENERATION_STRAY = ("generation-stray", "generations", "difference", _LEFT_BEHIND)
    GENERATION_LEFT = ("generation-left", "generations", "note", _LEFT_BEHIND)
    WRITER_DEAD = ("writer-dead", "writers", "difference", _LEFT_BEHIND)
    WRITER_AT_WORK = ("writer-at-work", "writers", "note", _ONCE_ENDED)
    WRITER_UNKNOWN = ("writer-unknown", "writers", "note", _AS_OWNER)
    COUNT_WRONG = ("count-wrong", "count", "difference", LOAD_ANEW)
    OFFSET_TOO_HIGH = ("offset-too-high", "offsets", "difference", LOAD_ANEW)
    OFFSET_AHEAD = ("offset-ahead", "offsets", "note", _GO_ON)
    OFFSET_NOT_JUDGED = ("offset-not-judged", "offsets", "note", _GO_ON)
    RECORD_UNREADABLE = ("record-unreadable", "records", "difference", LOAD_ANEW)
    RECORD_MISLABELLED = ("record-mislabelled", "records", "difference", LOAD_ANEW)
    RECORD_UNWANTED = ("record-unwanted", "records", "difference", LOAD_ANEW)
    PAYLOAD_UNREADABLE = ("payload-unreadable", "deep", "difference", _ONCE_CORRECT)
    PAYLOAD_TWICE = ("payload-key-twice", "deep", "difference", _ONCE_CORRECT)
    PAYLOAD_DEEP = ("payload-too-deep", "deep", "difference", _ONCE_CORRECT)
    AGAINST_MISSING = ("against-missing", "against", "difference", LOAD_ANEW)
    AGAINST_EXTRA = ("against-extra", "against", "difference", LOAD_ANEW)
    AGAINST_OLDER = ("against-older", "against", "difference", LOAD_ANEW)
    AGAINST_NEWER = ("against-newer", "against", "difference", LOAD_ANEW)
    AGAINST_DIFFERENT = ("against-different", "against", "difference", LOAD_ANEW)
    AGAINST_NOT_JUDGED = ("against-not-judged", "against", "note", _GO_ON)

    def __init__(self, label: str, check: Check, weight: Weight, hint: str) -> None:
        self.label = label
        self.check = check
        self.weight = weight
        self.hint = hint


class Finding(msgspec.Struct, frozen=True):
    """One finding of `verify`. `subject`: what it is about (a record, a field). `hint`: what to type, None
    for the text of its kind."""

    kind: Kind
    subject: str
    detail: str
    hint: str | None = None
