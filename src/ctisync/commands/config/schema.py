"""`config schema`: a JSON Schema with which editors complete and check a settings file."""

from pathlib import Path
from typing import Any, Final

import msgspec

from ctisync.settings.model import Settings
from ctisync.settings.schema import Secret

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_TEXT_OR_FILE: Final = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
    ]
}
"""A value in a table of texts."""


def schema() -> dict[str, Any]:
    """The JSON Schema of a settings file in TOML."""
    return {"$schema": _DRAFT, **_as_toml_has_it(msgspec.json.schema(Settings, schema_hook=_text))}


def _text(kind: type) -> dict[str, Any]:
    if kind in (Path, Secret):
        return {"type": "string"}
    raise NotImplementedError


def _as_toml_has_it(node: Any) -> Any:
    """TOML has no null: an empty string means that nothing is set. A section needs no default."""
    match node:
        case {"type": "null"}:
            return {"const": ""}
        case {"default": None}:
            return _as_toml_has_it({**node, "default": ""})
        case {"$ref": _, "default": dict()}:
            return {"$ref": node["$ref"]}
        case {"additionalProperties": {"type": "string"}}:
            return {**node, "additionalProperties": _TEXT_OR_FILE}
        case dict():
            return {key: _as_toml_has_it(value) for key, value in node.items()}
        case list():
            return [_as_toml_has_it(value) for value in node]
        case _:
            return node
