"""What the database tells about itself, and the three checks that follow from it.

One observation feeds ``database`` (does it answer), ``migrations`` (does it hold what
Tasker's code expects) and ``configuration`` (is it the database that we were told of).
Ahead of what is expected is fine; behind is not.

Source: guide, *Readiness Probe*.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.checks import CheckResult
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["DATABASE_CHECKS", "DatabaseExpectations", "DatabaseFacts", "Generation", "judge"]


class Generation(StrEnum):
    """Tasker's two generations: the Rails engine and its Rust successor."""

    ENGINE = "engine"
    CORE = "core"


def _generations(found: Iterable[Generation]) -> frozenset[Generation]:
    return frozenset(found)


def _versions(versions: Iterable[str]) -> frozenset[str]:
    return frozenset(versions)


@attrs.frozen(kw_only=True)
class DatabaseFacts:
    """One observation of the database.

    Args:
        round_trip_ms: what the statement took, ≥ 0.
        found: the generations whose tables stand there, whole or in part.
        generation: the one that is read; None when it cannot be told.
        missing: tables and ``table.column`` of it that are not there.
        unreadable: tables of it that our role may not read.
        migrations: versions that were run; None when there is no such list.
        failed_migrations: versions that stopped half-way.
        writable: whether the database takes writes.
    """

    round_trip_ms: float = attrs.field(validator=attrs.validators.ge(0))
    found: frozenset[Generation] = attrs.field(converter=_generations)
    generation: Generation | None
    missing: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    migrations: frozenset[str] | None = None
    failed_migrations: tuple[str, ...] = ()
    writable: bool = True


@attrs.frozen(kw_only=True)
class DatabaseExpectations:
    """What the settings say of the database.

    Args:
        tasker_schema: the generation that stands in it, ``engine`` or ``core``; None, written
            ``auto``, to find out by looking.
        expected_migrations: versions that must have been run; more may have been.
        require_writable: whether a database that takes no writes is an error.
    """

    tasker_schema: Generation | None = None
    expected_migrations: frozenset[str] = attrs.field(default=frozenset(), converter=_versions)
    require_writable: bool = False


DATABASE_CHECKS: Final = ("database", "migrations", "configuration")
"""The guide's checks, in its order; what :func:`judge` answers."""


def judge(
    facts: DatabaseFacts, expectations: DatabaseExpectations, problem: Reason | None = None
) -> Sequence[CheckResult]:
    """Turn one observation into the three results.

    Args:
        facts: what was observed.
        expectations: what the settings say.
        problem: what is wrong with the configuration whatever the database says, as when a
            file that a setting names can no longer be read.
    """
    database = Reason.READ_ONLY if expectations.require_writable and not facts.writable else None
    return (
        attrs.evolve(_result("database", database), response_time_ms=round(facts.round_trip_ms)),
        _result("migrations", *_migrations(facts, expectations)),
        _result(
            "configuration", *((problem, "") if problem else _configuration(facts, expectations))
        ),
    )


def _migrations(
    facts: DatabaseFacts, expectations: DatabaseExpectations
) -> tuple[Reason | None, str]:
    if facts.generation is None:
        return (Reason.UNKNOWN if facts.found else Reason.PENDING), "no tables to look at"
    if facts.missing:
        return Reason.PENDING, f"missing: {_listed(facts.missing)}"
    if facts.unreadable:
        return Reason.FORBIDDEN, f"not readable: {_listed(facts.unreadable)}"
    if facts.failed_migrations:
        return Reason.FAILED_MIGRATION, f"failed: {_listed(facts.failed_migrations)}"
    behind = expectations.expected_migrations - (facts.migrations or frozenset())
    if behind:
        return Reason.PENDING, f"migrations not run: {_listed(behind)}"
    return None, ""


def _configuration(
    facts: DatabaseFacts, expectations: DatabaseExpectations
) -> tuple[Reason | None, str]:
    found = _listed(facts.found)
    if expectations.tasker_schema is None:
        return (Reason.AMBIGUOUS, f"found {found}") if len(facts.found) > 1 else (None, "")
    if facts.found and expectations.tasker_schema not in facts.found:
        return Reason.MISMATCH, f"told {expectations.tasker_schema}, found {found}"
    return None, ""


def _result(name: str, reason: Reason | None, detail: str = "") -> CheckResult:
    if reason is None:
        return CheckResult(name=name)
    return CheckResult.error(name, reason, detail=detail)


def _listed(names: Iterable[str]) -> str:
    """At most ten names, so that a log line stays a line."""
    ordered = sorted(names)
    return ", ".join(ordered[:10]) + (f" and {len(ordered) - 10} more" if ordered[10:] else "")
