"""The documents' shapes as JSON Schema, each whole in itself.

Source: JSON Schema 2020-12, as OpenAPI 3.1 takes it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["json_schema"]

_AT: Final = "#/$defs/"


def json_schema(shape: type) -> dict[str, Any]:
    """Describe a document's type, without a reference to anywhere else."""
    described = msgspec.json.schema(shape)
    schema: dict[str, Any] = _inlined(described, described.get("$defs", {}))
    return schema


def _inlined(node: object, named: dict[str, Any]) -> Any:
    """Put every part in the place of what refers to it; no document holds itself."""
    if isinstance(node, dict):
        at = node.get("$ref")
        if isinstance(at, str):
            return _inlined(named[at.removeprefix(_AT)], named)
        return {key: _inlined(value, named) for key, value in node.items()}
    if isinstance(node, list):
        return [_inlined(member, named) for member in node]
    return node
