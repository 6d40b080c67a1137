"""Objects whose members may have any form, as structs: what does not fit is left out, not refused."""

import functools
from decimal import Decimal
from typing import Any, TypeVar, cast

from msgspec import UNSET
from msgspec.inspect import (
    DecimalType,
    ListType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from ctisync.core.model import Json

_Struct = TypeVar("_Struct")


def as_object(value: Json) -> dict[str, Any]:
    """The object; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def as_struct(value: Json, struct: type[_Struct]) -> _Struct:
    """The struct from a decoded object, without what has another form."""
    kind = _kind_of(struct)  # type: ignore[arg-type]  # a class is hashable
    return cast("_Struct", _fit(value, kind))


@functools.cache  # it takes a hundred times as long as to read an object
def _kind_of(struct: type) -> Type:
    return type_info(struct)


def _fit(value: Json, kind: Type) -> Any:
    """The value as a struct, list or scalar of this kind; UNSET if it has another form."""
    match kind:
        case StructType():
            if not isinstance(value, dict):
                return UNSET
            fields = {
                field.name: member
                for field in kind.fields
                if (member := _fit(value.get(field.encode_name), field.type)) is not UNSET
            }
            return kind.cls(**fields)
        case UnionType():
            of_each = (_fit(value, each) for each in kind.types)
            return next((member for member in of_each if member is not UNSET), UNSET)
        case ListType(item_type) | VarTupleType(item_type):
            if not isinstance(value, list):
                return UNSET
            members = [member for each in value if (member := _fit(each, item_type)) is not UNSET]
            return members if isinstance(kind, ListType) else tuple(members)
        case DecimalType():
            is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
            return Decimal(value) if is_number else UNSET
        case StrType():
            return value if isinstance(value, str) else UNSET
        case _:
            return UNSET
