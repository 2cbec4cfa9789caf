"""What a setting's value may be: attrs validators whose errors name it and say what is allowed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tasker_health.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import attrs

    Validator = Callable[[object, attrs.Attribute[Any], Any], None]

__all__ = ["number", "ratio", "seconds", "switch", "whole"]


def number(low: float, high: float, unit: str, *, above: bool = False) -> Validator:
    """Accept a finite number of ``unit`` in low..high, or above low."""
    start = f"above {low:g} and up" if above else f"from {low:g}"
    allowed = f"a number of {unit} {start} to {high:g}"

    def check(_: object, attribute: attrs.Attribute[float], value: object) -> None:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or not low <= value <= high
            or (above and value == low)
        ):
            raise ConfigurationError(attribute.name, repr(value), allowed)

    return check


def seconds(low: float, high: float) -> Validator:
    """Accept seconds in low..high."""
    return number(low, high, "seconds")


def ratio() -> Validator:
    """Accept a part of the whole: above 0, up to 1."""
    return number(0, 1, "parts of the whole", above=True)


def whole(low: int, high: int | None = None) -> Validator:
    """Accept a whole number from low, up to high where there is one."""
    allowed = (
        f"a whole number, {low} or more" if high is None else f"a whole number from {low} to {high}"
    )

    def check(_: object, attribute: attrs.Attribute[int], value: object) -> None:
        if type(value) is not int or value < low or (high is not None and value > high):
            raise ConfigurationError(attribute.name, repr(value), allowed)

    return check


def switch(_: object, attribute: attrs.Attribute[bool], value: object) -> None:
    """Accept true and false."""
    if not isinstance(value, bool):
        raise ConfigurationError(attribute.name, repr(value), "true or false")
