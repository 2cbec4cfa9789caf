"""Which of the offered media types a caller prefers, by their ``Accept``.

Parameters other than ``q`` are not looked at: ``application/json; charset=utf-8`` is met
by ``application/json``. A member that cannot be read is passed over; a header without any
readable member says nothing, as if it were not there.

Source: RFC 9110, 12.5.1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["choose"]

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  a token of the HTTP grammar, no secret
_RANGE: Final = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*", re.ASCII)
_WEIGHT: Final = re.compile(r"\s*[qQ]\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.ASCII)


@attrs.frozen
class _Range:
    """One member of the header: ``kind/subkind``, either of them ``*``, and its weight."""

    kind: str
    subkind: str
    weight: float

    def closeness(self, kind: str, subkind: str) -> int:
        """0 when it does not cover the media type; the more exactly it does, the more."""
        if (self.kind, self.subkind) == (kind, subkind):
            return 3
        if (self.kind, self.subkind) == (kind, "*"):
            return 2
        return 1 if (self.kind, self.subkind) == ("*", "*") else 0


def choose(accept: str, offered: Sequence[str]) -> str | None:
    """Choose a media type.

    Args:
        accept: the header's value; empty when it was not sent.
        offered: ``kind/subkind``, lower case, the server's favourite first.

    Returns:
        The offered type of the greatest weight, the earlier of equals; None when the
        caller accepts none of them.
    """
    if accept in {"", "*/*", offered[0]}:
        return offered[0]
    ranges = list(_parse(accept))
    if not ranges:
        return offered[0]
    weights = [_weight(ranges, media_type) for media_type in offered]
    best = max(weights)
    return offered[weights.index(best)] if best > 0 else None


def _parse(accept: str) -> Iterator[_Range]:
    for member in accept.split(","):
        media_range, *parameters = member.split(";")
        match = _RANGE.fullmatch(media_range)
        if match is not None:
            yield _Range(match[1].lower(), match[2].lower(), _quality(parameters))


def _quality(parameters: Sequence[str]) -> float:
    """Read ``q``; a weight that cannot be read counts as none given."""
    for parameter in parameters:
        match = _WEIGHT.fullmatch(parameter)
        if match is not None:
            return float(match[1])
    return 1.0


def _weight(ranges: Sequence[_Range], media_type: str) -> float:
    """Take the weight of the range that covers the type most exactly."""
    kind, _, subkind = media_type.partition("/")
    closest = max(ranges, key=lambda media_range: media_range.closeness(kind, subkind))
    return closest.weight if closest.closeness(kind, subkind) else 0.0
