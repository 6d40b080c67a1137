"""JSON Patches on values that tests write down: as a fold does it, but with the document as it was."""

from ctisync.core import json_text
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Json
from ctisync.core.patch import Working


def whole(value: Json) -> Json:
    """A value without members that are text."""
    return json_text.decode(json_text.encode(value))


def patched(document: Json, operations: list[Json], limits: Limits = USUAL_LIMITS) -> Json:
    """The document after the operations. Raises PatchError."""
    working = Working(whole(document), limits)
    working.apply(operations)
    return whole(working.document)
