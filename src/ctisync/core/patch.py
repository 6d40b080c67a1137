"""JSON Patch (RFC 6902), strict and atomic.

`jsonpatch` reads the operations and `jsonpointer` the pointers (RFC 6901). This module executes an operation
itself where a version of the library is lax: it compares 1 with true, alters the caller's operations, moves
an array element into itself, copies the whole document into itself, does not accept a member with the name
"-", or fails with an exception of another library.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from jsonpatch import InvalidJsonPatch, JsonPatchConflict, JsonPatchException, PatchOperation
from jsonpointer import JsonPointer, JsonPointerException
from msgspec import Raw

from ctisync.core import json_text
from ctisync.core.json_text import TooDeep, check_depth, decode_members, opened, whole
from ctisync.core.limits import USUAL_LIMITS, Limits
from ctisync.core.model import Json
from ctisync.core.words import counted

_MAX_REASON: Final = 200

_SHIFTED: Final = 16
"""Elements of an array that are shifted in the time in which one byte of JSON is copied."""

_CHECK_EVERY: Final = 64
"""Operations between two calls of `check`."""


def unchecked() -> None:
    """A `check` that never ends the work."""


class PatchError(Exception):
    """A patch that cannot be applied. `operation`: the index of the failed operation, -1 if none is at fault.
    `reason`: one short line of printable characters."""

    def __init__(self, operation: int, reason: str) -> None:
        super().__init__(f"operation {operation}: {reason}" if operation >= 0 else reason)
        self.operation = operation
        self.reason = reason


def apply(document: Json, operations: object, limits: Limits = USUAL_LIMITS) -> Json:
    """The document after the operations (a JSON Patch: an array of objects).

    It shares nothing with the arguments, which are never altered. Raises PatchError.
    """
    working = Working(document, limits)
    working.apply(operations)
    return whole(working.document)


class Working:
    """A document to which a series of patches is applied, with one deep copy in total.

    The first `apply` copies the document, unless it is `owned`: then the caller no longer uses it and has
    checked its depth, and values in it may be text, in the result too (`json_text.opened`). A failed `apply`
    leaves the document half changed, so the object can no longer be used (RFC 6902, section 5, requires all
    or nothing): every later call raises RuntimeError. `limits`: the number of operations in a patch, the size
    that all operations may copy, and the depth of the document before, during and after a patch. `check` is
    called within a patch of many operations; what it raises ends the patch.
    """

    def __init__(
        self,
        document: Json,
        limits: Limits = USUAL_LIMITS,
        *,
        owned: bool = False,
        check: Callable[[], None] = unchecked,
    ) -> None:
        self._document = document
        self._max_operations = limits.patch_operations
        self._max_depth = limits.json_depth
        self._copies_left = limits.patch_copied_bytes
        self._is_own = owned
        self._check = check
        self._is_spent = False

    @property
    def document(self) -> Json:
        """The document after the last `apply`; before the first, the given one."""
        self._refuse_when_spent()
        return self._document

    def apply(self, operations: object) -> None:
        """Apply one patch. Raises PatchError; after that, this object can no longer be used."""
        self._refuse_when_spent()
        self._is_spent = True  # until the last operation has been applied
        if not isinstance(operations, list):
            raise PatchError(-1, "the operations are not an array")
        if len(operations) > self._max_operations:
            raise PatchError(-1, f"{len(operations)} operations, more than {self._max_operations}")
        self._take_document()
        for index, operation in enumerate(operations):
            if index % _CHECK_EVERY == _CHECK_EVERY - 1:
                self._check()
            try:
                self._perform(operation)
            except (JsonPatchException, JsonPointerException) as error:
                raise PatchError(index, _reason(operation, str(error))) from error
            except json_text.CannotDecode as error:
                raise PatchError(-1, f"the document cannot be decoded: {error}"[:_MAX_REASON]) from error
        self._is_spent = False

    def _refuse_when_spent(self) -> None:
        if self._is_spent:
            raise RuntimeError("a patch failed on this document; start again with the original")

    def _take_document(self) -> None:
        if self._is_own:
            return
        try:
            self._document = _copied(self._document, self._max_depth)
        except JsonPatchException as error:
            raise PatchError(-1, f"the document is {error}") from error
        self._is_own = True

    def _perform(self, operation: object) -> None:
        step = _read(operation, self._max_depth)
        self._document = step.apply(self._document)
        self._copies_left -= step.copied
        if self._copies_left < 0:
            raise JsonPatchConflict("the copies are larger than limits.patch_copied_bytes")


class _Pointer(JsonPointer):
    """A pointer whose path must exist. Unlike the library's errors, its errors do not contain the
    document.

    The library asks abstract classes for the kind of each container, which takes most of the time of a fold.
    What is no object goes to the library, which refuses values that are no container, and 01, -1, +1 in an
    array.
    """

    def __init__(self, pointer: str) -> None:
        if type(pointer) is str and pointer[:1] == "/" and "~" not in pointer:
            self.parts = pointer.split("/")[1:]
        else:
            super().__init__(pointer)

    def walk(self, doc: Json, part: str | int) -> Json:
        """The value one step ahead, which is opened in its place. Raises CannotDecode."""
        key, value = self._at(doc, part)
        if type(value) is Raw:
            value = doc[key] = opened(value)
        return value

    def check_exists(self, doc: Json) -> None:
        """`doc`: what contains the last step."""
        self._at(doc, self.parts[-1])

    def _at(self, doc: Json, part: str | int) -> tuple[str | int, Json]:
        key = part if type(doc) is dict else self.get_part(doc, part)
        if key == "-" and isinstance(doc, list):
            raise JsonPointerException("an array has no element '-'")
        try:
            return key, doc[key]
        except LookupError:
            raise JsonPointerException(f"'{part}' does not exist") from None

    def to_last(self, doc: Json) -> tuple[Json, str | int | None]:
        if not self.parts:
            return doc, None
        for part in self.parts[:-1]:
            doc = self.walk(doc, part)
        last = self.parts[-1]
        return doc, last if type(doc) is dict else self.get_part(doc, last)


class _Operation(PatchOperation):
    pointer: _Pointer
    max_depth = USUAL_LIMITS.json_depth

    copied = 0
    """Bytes that this operation has copied or shifted within the document (see `Limits`)."""

    def _member(self, name: str) -> Json:
        if name not in self.operation:
            raise InvalidJsonPatch(f"it has no '{name}'")
        return self.operation[name]

    def _value(self) -> Json:
        """A copy of `value`, so that no later operation alters the caller's value."""
        return self._fit(self._member("value"))

    def _source(self) -> _Pointer:
        """`from`. RFC 6902 does not mention the whole document there, so it is refused."""
        source = self._member("from")
        if not isinstance(source, str):
            raise InvalidJsonPatch("its 'from' is not a string")
        if not source:
            raise JsonPatchConflict("the whole document cannot be copied or moved")
        return _Pointer(source)

    def _fit(self, value: Json) -> Json:
        """A copy of a value, with a depth that is allowed at this operation's path."""
        return _copied(value, self.max_depth - len(self.pointer.parts))

    def _text(self, value: Json) -> bytes:
        """The text of a value of the document, which counts, with a depth that is allowed at this operation's
        path."""
        text = json_text.encode(value)
        self.copied += len(text)
        try:
            check_depth(text, self.max_depth - len(self.pointer.parts))
        except TooDeep:
            raise _too_deep() from None
        return text

    def _remove(self, document: Json, pointer: _Pointer) -> None:
        container, key = pointer.to_last(document)
        pointer.check_exists(container)
        del container[key]
        if isinstance(key, int):
            self.copied += (len(container) - key) // _SHIFTED

    def _insert(self, document: Json, value: Json) -> Json:
        container, key = self.pointer.to_last(document)
        if key is None:
            return value
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        elif isinstance(key, int) and key <= len(container):
            self.copied += (len(container) - key) // _SHIFTED
            container.insert(key, value)
        else:
            raise JsonPatchConflict(f"the array has only {counted(len(container), 'element')}")
        return document


class _Add(_Operation):
    def apply(self, obj: Json) -> Json:
        return self._insert(obj, self._value())


class _Remove(_Operation):
    def apply(self, obj: Json) -> Json:
        if not self.pointer.parts:
            raise JsonPatchConflict("the whole document cannot be removed")
        self._remove(obj, self.pointer)
        return obj


class _Replace(_Operation):
    def apply(self, obj: Json) -> Json:
        value = self._value()
        container, key = self.pointer.to_last(obj)
        if key is None:
            return value
        self.pointer.check_exists(container)  # the value to replace
        container[key] = value
        return obj


class _Move(_Operation):
    def apply(self, obj: Json) -> Json:
        source = self._source()
        value = source.resolve(obj)
        if self.pointer == source:
            return obj
        if self.pointer.contains(source):
            raise JsonPatchConflict("a value cannot be moved into itself")
        deeper = len(self.pointer.parts) > len(source.parts)
        if deeper and isinstance(value, (dict, list)):  # only there it may be nested too deeply
            self._text(value)
        self._remove(obj, source)
        return self._insert(obj, value)


class _Copy(_Operation):
    def apply(self, obj: Json) -> Json:
        return self._insert(obj, opened(self._text(self._source().resolve(obj))))


class _Test(_Operation):
    def apply(self, obj: Json) -> Json:
        if not equal(self.pointer.resolve(obj), self._member("value")):
            raise JsonPatchConflict("the value differs")
        return obj


_OPERATIONS: Final = MappingProxyType(
    {"add": _Add, "remove": _Remove, "replace": _Replace, "move": _Move, "copy": _Copy, "test": _Test}
)


def _read(operation: object, max_depth: int) -> _Operation:
    if not isinstance(operation, dict):
        raise InvalidJsonPatch("it is not an object")
    name = operation.get("op")
    kind = _OPERATIONS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidJsonPatch("the operation is unknown")
    step = kind(operation, pointer_cls=_Pointer)
    step.max_depth = max_depth
    return step


def _reason(operation: object, what: str) -> str:
    """`what` after the operation's name and path, as one short line of printable characters."""
    parts = [operation.get("op"), operation.get("path")] if isinstance(operation, dict) else []
    name = " ".join(part[: _MAX_REASON // 3] for part in parts if isinstance(part, str))
    line = f"{name}: {what}" if name else what
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line[:_MAX_REASON])


def _copied(value: Json, levels: int) -> Json:
    """A deep copy of a value with at most so many nested containers.

    It is several times as fast as `copy.deepcopy`, and works without recursion.
    """
    if not isinstance(value, (dict, list)):
        return value
    copied = value.copy()
    pending = [(copied, levels)]
    while pending:
        container, levels_left = pending.pop()
        if levels_left <= 0:
            raise _too_deep()
        for key, item in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(item, (dict, list)):
                container[key] = item.copy()
                pending.append((container[key], levels_left - 1))
    return copied


def _too_deep() -> JsonPatchConflict:
    return JsonPatchConflict("nested deeper than limits.json_depth")


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
