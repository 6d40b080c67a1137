"""JSON Patch (RFC 6902), strict, and within the limits of a feed.

`jsonpatch` reads the operations and `jsonpointer` the pointers (RFC 6901). This module performs the
operations, since each version of the library is lax somewhere: it compares 1 with true, alters the caller's
operations, moves an element of an array into itself, does not accept a member with the name "-", or fails
with an exception of another library.

The RFC does not say what it means to remove, copy or move the whole document, so that is refused.
"""

import re
from collections.abc import Callable
from typing import Final

from jsonpatch import InvalidJsonPatch, JsonPatchConflict, JsonPatchException, PatchOperation
from jsonpointer import JsonPointer, JsonPointerException
from msgspec import Raw

from ctisync.core import json_text
from ctisync.core.json_text import CannotDecode, TooDeep, check_depth, decode_members, opened
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Json
from ctisync.core.words import counted

_MAX_REASON: Final = 200

_SHIFTED: Final = 16
"""Elements of an array that are shifted in the time in which one byte of JSON is copied."""

_CHECK_EVERY: Final = 64
"""Operations between two calls of `check`."""

_INDEX: Final = re.compile("0|[1-9][0-9]{0,17}")

_Path = list[str]
"""The tokens of a JSON Pointer, with an empty one for the whole document before them."""


class PatchError(Exception):
    """A patch that cannot be applied. `operation`: the index of the failed operation, None if none is at
    fault. `reason`: one short line of printable characters, without the document."""

    def __init__(self, operation: int | None, reason: str) -> None:
        super().__init__(reason)
        self.operation = operation
        self.reason = reason


class _Pointer(JsonPointer):
    """The library splits a pointer by regular expressions, which takes a fifth of the time of a fold."""

    def __init__(self, pointer: str) -> None:
        if type(pointer) is str and pointer[:1] == "/" and "~" not in pointer:
            self.parts = pointer.split("/")[1:]
        else:
            super().__init__(pointer)


class Working:
    """A document that a series of patches alters in its place.

    Its depth was checked, and values in it may be text (`json_text.opened`). After a failed `apply` it is
    half changed, and useless (RFC 6902, section 5, requires all or nothing). `limits`: the number of
    operations in a patch, the size that all operations may copy, and the depth of the document. `check` is
    called within a patch of many operations; what it raises ends the patch.
    """

    def __init__(
        self, document: Json, limits: Limits = USUAL_LIMITS, check: Callable[[], None] = lambda: None
    ) -> None:
        self._root = {"": document}
        self._limits = limits
        self._copies_left = limits.patch_copied_bytes
        self._check = check

    @property
    def document(self) -> Json:
        return self._root[""]

    def apply(self, operations: list[Json]) -> None:
        """Apply one patch. Raises PatchError."""
        most = self._limits.patch_operations
        if len(operations) > most:
            raise PatchError(None, f"{len(operations)} operations, more than {most}")
        for index, operation in enumerate(operations):
            if index % _CHECK_EVERY == _CHECK_EVERY - 1:
                self._check()
            try:
                self._perform(operation)
            except (JsonPatchException, JsonPointerException) as error:
                raise PatchError(index, _reason(operation, str(error))) from None
            except CannotDecode as error:
                raise PatchError(None, f"the document cannot be decoded: {error}"[:_MAX_REASON]) from None

    def _perform(self, operation: Json) -> None:
        if not isinstance(operation, dict):
            raise InvalidJsonPatch("it is not an object")
        path = ["", *PatchOperation(operation, pointer_cls=_Pointer).pointer.parts]
        match operation.get("op"):
            case "add":
                self._insert(path, self._new_value(path, operation))
            case "remove":
                self._remove(_inner(path, "removed"))
            case "replace":
                value = self._new_value(path, operation)
                container, key = self._find(path)
                container[key] = value
            case "move":
                self._move(_source(operation, "moved"), path)
            case "copy":
                source = _source(operation, "copied")
                self._insert(path, opened(self._copied_text(path, self._value(source))))
            case "test":
                if not equal(self._value(path), _member(operation, "value")):
                    raise JsonPatchConflict("the value differs")
            case _:
                raise InvalidJsonPatch("the operation is unknown")
        if self._copies_left < 0:
            raise JsonPatchConflict("the copies are larger than limits.patch_copied_bytes")

    def _move(self, source: _Path, path: _Path) -> None:
        value = self._value(source)
        if path == source:
            return
        if path[: len(source)] == source:
            raise JsonPatchConflict("a value cannot be moved into itself")
        if len(path) > len(source) and isinstance(value, dict | list):  # else it cannot be nested too deeply
            self._copied_text(path, value)
        self._remove(source)
        self._insert(path, value)

    def _value(self, path: _Path) -> Json:
        """The value at `path`. Each value on the way there that is text is opened in its place."""
        value: Json = self._root
        for part in path:
            container, key = value, _key(value, part)
            value = container[key]
            if type(value) is Raw:
                value = container[key] = opened(value)
        return value

    def _find(self, path: _Path) -> tuple[Json, str | int]:
        """The container of the value at `path`, and the value's key or index there."""
        container = self._value(path[:-1])
        return container, _key(container, path[-1])

    def _remove(self, path: _Path) -> None:
        container, key = self._find(path)
        del container[key]
        if isinstance(key, int):
            self._copies_left -= (len(container) - key) // _SHIFTED

    def _insert(self, path: _Path, value: Json) -> None:
        container, part = self._value(path[:-1]), path[-1]
        if type(container) is dict:
            container[part] = value
        elif type(container) is list and part == "-":
            container.append(value)
        else:
            index = _index(container, part)
            if index > len(container):
                raise JsonPatchConflict(f"the array has only {counted(len(container), 'element')}")
            self._copies_left -= (len(container) - index) // _SHIFTED
            container.insert(index, value)

    def _new_value(self, path: _Path, operation: dict[str, Json]) -> Json:
        """A copy of the operation's `value`, so that no later operation alters the caller's."""
        value = _member(operation, "value")
        return opened(self._text(path, value)) if isinstance(value, dict | list) else value

    def _copied_text(self, path: _Path, value: Json) -> bytes:
        """The text of a value of the document, which counts as copied."""
        text = self._text(path, value)
        self._copies_left -= len(text)
        return text

    def _text(self, path: _Path, value: Json) -> bytes:
        """The text of a value that may be at `path`, because it is not nested too deeply."""
        text = json_text.encode(value)
        try:
            check_depth(text, self._limits.json_depth + 1 - len(path))
        except TooDeep:
            raise JsonPatchConflict("nested deeper than limits.json_depth") from None
        return text


def _member(operation: dict[str, Json], name: str) -> Json:
    if name not in operation:
        raise InvalidJsonPatch(f"it has no '{name}'")
    return operation[name]


def _source(operation: dict[str, Json], what: str) -> _Path:
    pointer = _member(operation, "from")
    if not isinstance(pointer, str):
        raise InvalidJsonPatch("its 'from' is not a string")
    return _inner(["", *_Pointer(pointer).parts], what)


def _inner(path: _Path, what: str) -> _Path:
    if len(path) == 1:
        raise JsonPatchConflict(f"the whole document cannot be {what}")
    return path


def _key(container: Json, part: str) -> str | int:
    """The key of a member, or the index of an element, that exists."""
    if type(container) is dict:
        if part in container:
            return part
    elif (index := _index(container, part)) < len(container):
        return index
    raise JsonPatchConflict(f"'{part}' does not exist")


def _index(container: Json, part: str) -> int:
    if type(container) is not list or not _INDEX.fullmatch(part):
        raise JsonPatchConflict(f"'{part}' does not exist")
    return int(part)


def _reason(operation: Json, what: str) -> str:
    """`what` after the operation's name and path, as one short line of printable characters."""
    parts = [operation.get("op"), operation.get("path")] if isinstance(operation, dict) else []
    name = " ".join(part[: _MAX_REASON // 3] for part in parts if isinstance(part, str))
    line = f"{name}: {what}" if name else what
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line[:_MAX_REASON])


def equal(left: Json, right: Json) -> bool:
    """Equality by RFC 6902, section 4.6: numbers by value (1 equals 1.0), but 1 does not equal true.

    What is text in `left` is decoded in its place, so that a second comparison need not do it again. Raises
    CannotDecode.
    """
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if isinstance(one, dict):
            if not isinstance(other, dict) or one.keys() != other.keys():
                return False
            decode_members(one)
            pending.extend((item, other[key]) for key, item in one.items())
        elif isinstance(one, list):
            if not isinstance(other, list) or len(one) != len(other):
                return False
            decode_members(one)
            pending.extend(zip(one, other, strict=True))
        elif isinstance(one, bool) or isinstance(other, bool):
            if one is not other:
                return False
        elif one != other:
            return False
    return True
