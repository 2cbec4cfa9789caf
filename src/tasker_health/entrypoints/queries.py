"""What a query may ask for: its fields, read and refused.

Fields that mean nothing to an endpoint are passed over. A bad value is told with its
field, escaped and capped, and with what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

import attrs

from tasker_health.domain.status import Verdict

__all__ = ["BadFieldError", "Detail", "detail", "fail_on", "shown"]

_SHOWN: Final = 64
"""So many characters of a bad value are given back."""
_MOST_FIELDS: Final = 100


@attrs.frozen
class BadFieldError(ValueError):
    """A query field that cannot be had.

    Args:
        field: its name.
        given: what was given, as it may be shown.
        allowed: what would be accepted, as a phrase.
    """

    field: str
    given: str
    allowed: str

    def __str__(self) -> str:
        """One line: the field, what was given, what is allowed."""
        return f"{self.field} is {self.given}: allowed is {self.allowed}"


@attrs.frozen
class Detail:
    """How readiness should be told, where its plain answer is not enough.

    Args:
        verbose: whether every check should have its line in a text.
        exclude: checks to leave out.
    """

    verbose: bool = False
    exclude: Sequence[str] = ()

    @property
    def plain(self) -> bool:
        """Whether the plain answer is enough."""
        return not (self.verbose or self.exclude)


_PLAIN: Final = Detail()


def detail(query: str) -> Detail:
    """Read ``verbose``, which is on when it is there, and ``exclude``, which may be repeated.

    Raises:
        BadFieldError: there are too many fields.
    """
    if not query:
        return _PLAIN
    fields = _fields(query)
    verbose = any(name == "verbose" for name, _ in fields)
    exclude = tuple(value for name, value in fields if name == "exclude")
    return Detail(verbose, exclude)


def fail_on(query: str) -> Verdict | None:
    """Read ``fail_on``: the verdict from which on the code should be 503.

    Raises:
        BadFieldError: it was given twice, or is none of the verdicts that can fail.
    """
    allowed = (Verdict.UNHEALTHY, Verdict.DEGRADED)
    given = [value for name, value in _fields(query) if name == "fail_on"]
    if not given:
        return None
    if len(given) > 1 or given[0] not in allowed:
        raise BadFieldError("fail_on", shown(" and ".join(given)), " or ".join(allowed))
    return Verdict(given[0])


def shown(given: str) -> str:
    """Write what was given so that it is safe to show: quoted, in ASCII, cut."""
    return ascii(given[:_SHOWN]) + ("..." if len(given) > _SHOWN else "")


def _fields(query: str) -> Sequence[tuple[str, str]]:
    if not query:
        return ()
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise BadFieldError("query", "more", f"at most {_MOST_FIELDS} fields") from error
