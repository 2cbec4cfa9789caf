"""Incidents as the bytes that the processes of a fleet share, and back, exactly.

Strict and typed, as ``snapshot.py`` is and for the same reasons: what is not exactly a list
of incidents of this version is refused before any is made of it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from tasker_health.domain.alerting import AlertRule, Incident, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LARGEST_BYTES", "VERSION", "decode", "encode"]

VERSION: Final = 1
"""Raised with every change of what is written below."""

LARGEST_BYTES: Final = 64 * 1024
"""An incident takes about 700 bytes, and there is one a rule."""


class _Incident(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    key: str
    rule: AlertRule
    phase: Phase
    revision: Annotated[int, msgspec.Meta(ge=1)]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    observed: float
    threshold: float
    summary: str
    numbers: dict[str, int | float | None]
    told: frozenset[str]


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: Literal[1]
    incidents: list[_Incident]


_decoder: Final = msgspec.json.Decoder(_Document, strict=True)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def encode(incidents: Iterable[Incident]) -> bytes:
    """Write incidents, of which :func:`decode` makes equal ones.

    Raises:
        ValueError: no equal ones could be read back.
    """
    try:
        records = [msgspec.convert(one, _Incident, from_attributes=True) for one in incidents]
        data = _encode(_Document(version=VERSION, incidents=records))
        decode(data)
    except (msgspec.MsgspecError, OverflowError, TypeError, ValueError) as error:
        raise ValueError("the incidents cannot be written so that they can be read back") from error
    return data


def decode(data: bytes) -> tuple[Incident, ...]:
    """Read incidents.

    Args:
        data: whatever was found.

    Raises:
        ValueError: these bytes are no incidents of this version.
    """
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"{len(data)} bytes, where incidents have at most {LARGEST_BYTES}")
    try:
        found = _decoder.decode(data).incidents
        return tuple(_incident(one) for one in found)
    except (msgspec.MsgspecError, RecursionError, OverflowError) as error:
        raise ValueError("these bytes are no incidents of this version") from error


def _incident(record: _Incident) -> Incident:
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    return Incident(**{**fields, "at": record.at.astimezone(UTC)})
