"""What a doctor has to say: findings, worst first, with their remedies; and what they rest on.

Values only. The rules that make findings of facts are ``examining.py``; who gathers the
facts asks each thing once, with a bound, and writes nothing of Tasker's.

Source: guide, *Troubleshooting*.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import attrs

from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Area",
    "CacheTrial",
    "ClockReading",
    "Diagnosis",
    "Finding",
    "Grade",
    "PoolState",
    "PoolTrial",
    "RoleFacts",
    "ServerFacts",
    "WorkTime",
]

_not_negative: Any = attrs.validators.ge(0)


class Grade(StrEnum):
    """How bad a finding is, from best to worst."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"

    @property
    def severity(self) -> int:
        """0 for ok, rising."""
        return tuple(Grade).index(self)


class Area(StrEnum):
    """What was looked at, in the order in which it is looked at: each rests on those before."""

    DATABASE = "database"
    CONFIGURATION = "configuration"
    MIGRATIONS = "migrations"
    PRIVILEGES = "privileges"
    POOL = "pool"
    SERVER = "server"
    POOLER = "pooler"
    CLOCK = "clock"
    STATEMENTS = "statements"
    INDEXES = "indexes"
    CACHE = "cache"
    AUTHENTICATOR = "authenticator"
    COORDINATOR = "coordinator"
    TOKEN = "token"  # noqa: S105  no secret, a word


_ORDER: Final = {area: place for place, area in enumerate(Area)}


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that was looked at.

    Args:
        area: what.
        grade: how it is.
        seen: what was seen, in a phrase.
        remedy: what to do about it, in a sentence; empty when, and only when, all is well.
    """

    area: Area
    grade: Grade
    seen: str
    remedy: str = ""

    def __attrs_post_init__(self) -> None:
        if (self.grade is Grade.OK) is bool(self.remedy):
            raise ValueError("a remedy belongs to what is not ok, and to nothing else")


def _worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda f: (-f.grade.severity, _ORDER[f.area])))


@attrs.frozen(kw_only=True)
class Diagnosis:
    """All findings, worst first.

    Args:
        at: when, aware UTC.
        findings: in any order; they are kept worst first, then in the order of the areas.
    """

    at: datetime
    findings: tuple[Finding, ...] = attrs.field(converter=_worst_first)

    @property
    def grade(self) -> Grade:
        """The worst of the findings'."""
        return self.findings[0].grade if self.findings else Grade.OK


@attrs.frozen(kw_only=True)
class ClockReading:
    """How far another clock is from ours.

    Args:
        ahead_seconds: by how much it is ahead; negative when it is behind.
        within_seconds: how exactly that is known: half of what asking took.
    """

    ahead_seconds: float
    within_seconds: float = attrs.field(default=0.0, validator=_not_negative)


@attrs.frozen(kw_only=True)
class ServerFacts:
    """How the database server was met.

    Args:
        product: what it is, with its version.
        connect_ms: what opening a connection took.
        round_trip_ms: what one trivial statement took, the best of a few.
        clock: its clock against ours; None where it has none of its own.
        pooled: whether something between us and it shares its sessions out.
    """

    product: str
    connect_ms: float = attrs.field(validator=_not_negative)
    round_trip_ms: float = attrs.field(validator=_not_negative)
    clock: ClockReading | None = None
    pooled: bool = False


@attrs.frozen(kw_only=True)
class RoleFacts:
    """What our role is to the server.

    Args:
        may_write: Tasker's tables that it could write to.
        connections: sessions that it has, our own included; None where nobody counts.
        connections_allowed: how many it may have; None for no limit of its own.
        services: sessions of running services like us, our own apart.
        services_busy: how many of them are at work.
    """

    may_write: tuple[str, ...] = ()
    connections: int | None = None
    connections_allowed: int | None = None
    services: int = 0
    services_busy: int = 0


@attrs.frozen(kw_only=True)
class PoolState:
    """A connection pool at one moment: the guide's ``connection_pool.stat``.

    Args:
        size: how many connections it may hold.
        connections: how many it holds.
        checked_out: how many of them are in use.
        waiting: how many measurements wait for one.
        checkout_timeout_seconds: how long they wait at most.
    """

    size: int = attrs.field(validator=_not_negative)
    connections: int = attrs.field(validator=_not_negative)
    checked_out: int = attrs.field(validator=_not_negative)
    waiting: int = attrs.field(validator=_not_negative)
    checkout_timeout_seconds: float = attrs.field(validator=_not_negative)

    @property
    def idle(self) -> int:
        """How many connections wait to be used."""
        return max(0, self.connections - self.checked_out)


@attrs.frozen(kw_only=True)
class PoolTrial:
    """What came of filling the pool: all its connections at one time.

    Args:
        state: how it was when it was fullest.
        failure: why it could not be filled; None when it could.
    """

    state: PoolState
    failure: Reason | None = None


@attrs.frozen(kw_only=True)
class WorkTime:
    """What one part of a measurement took.

    Args:
        name: which part.
        took_ms: how long.
        whole_tables: large tables that the server reads from end to end for it, where the
            part was slow enough to ask; names only.
    """

    name: str
    took_ms: float = attrs.field(validator=_not_negative)
    whole_tables: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class CacheTrial:
    """What came of writing a report to the cache under a key of our own and reading it back.

    Args:
        store: what kind it is.
        put_ms: what writing took.
        get_ms: what reading took.
        came_back: whether what was read was what was written.
        failure: why it could not be done.
        clock: its clock against ours; None where it has none that it tells.
    """

    store: str
    put_ms: float = 0.0
    get_ms: float = 0.0
    came_back: bool = False
    failure: Reason | None = None
    clock: ClockReading | None = None
