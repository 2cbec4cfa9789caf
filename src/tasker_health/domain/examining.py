"""From facts to findings: the rules of the doctor, each a function of what was gathered.

Every rule says something: that all is well is a finding, too. No rule asks anything or
reads a clock, so that the same facts always get the same findings.

Source: guide, *Troubleshooting*, *Performance Tuning* and *Optimization Tips*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.database import judge
from tasker_health.domain.diagnosis import Area, Finding, Grade
from tasker_health.domain.reasons import ADVICE, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasker_health.domain.database import DatabaseExpectations, DatabaseFacts
    from tasker_health.domain.diagnosis import (
        CacheTrial,
        ClockReading,
        PoolTrial,
        RoleFacts,
        ServerFacts,
        WorkTime,
    )
    from tasker_health.domain.settings import Thresholds
    from tasker_health.domain.status import Vitals

__all__ = [
    "examine_cache",
    "examine_clock",
    "examine_connections",
    "examine_indexes",
    "examine_pool",
    "examine_pooler",
    "examine_privileges",
    "examine_server",
    "examine_standing",
    "examine_work",
    "failed",
    "unreachable",
]

_SLOW_CONNECT_MS: Final = 1000.0
_FEW_LEFT_SHARE: Final = 0.8
_SKEW_WARNING_SECONDS: Final = 2.0
_SKEW_PROBLEM_SECONDS: Final = 30.0


def failed(area: Area, reason: Reason, words: str = "") -> Finding:
    """Say that something could not be had at all, with the reason's own advice.

    Args:
        area: what.
        reason: the public reason.
        words: a vendor's, redacted by whoever gives them.
    """
    return _problem(area, f"{reason}: {words}" if words else f"{reason}", _sentence(ADVICE[reason]))


def unreachable(reason: Reason, words: str = "") -> Finding:
    """Say that no connection came about; a pooler that refuses our settings is told as such.

    Args:
        reason: the public reason.
        words: a vendor's, redacted by whoever gives them.
    """
    area = Area.POOLER if reason is Reason.POOLER else Area.DATABASE
    return failed(area, reason, words)


def examine_server(facts: ServerFacts, thresholds: Thresholds) -> Iterator[Finding]:
    """Judge the way to the database."""
    seen = (
        f"{facts.product}, connected in {_ms(facts.connect_ms)},"
        f" round trip {_ms(facts.round_trip_ms)}"
    )
    if facts.round_trip_ms > thresholds.degraded_response_time_ms:
        remedy = "Bring the two closer together, or find what keeps the server or network busy."
        yield _warning(Area.DATABASE, seen, remedy)
    elif facts.connect_ms > _SLOW_CONNECT_MS:
        remedy = "Look at name resolution, TLS and pg_hba.conf: the way in is slower than the work."
        yield _warning(Area.DATABASE, seen, remedy)
    else:
        yield _ok(Area.DATABASE, seen)


def examine_standing(facts: DatabaseFacts, expectations: DatabaseExpectations) -> Iterator[Finding]:
    """Judge what stands in the database, by the rules of readiness."""
    found = ", ".join(sorted(facts.found)) or "no Tasker"
    told = expectations.tasker_schema or "auto"
    well = {
        Area.CONFIGURATION: f"found {found}, as TASKER_SCHEMA ({told}) allows",
        Area.MIGRATIONS: _migrations(expectations),
    }
    for result in judge(facts, expectations):
        area = Area(result.name)
        if result.status is CheckStatus.OK:
            if area in well:
                yield _ok(area, well[area])
        elif result.reason is not Reason.FORBIDDEN:  # the privileges' finding says it
            yield failed(area, result.reason or Reason.FAILED, result.detail)


def _migrations(expectations: DatabaseExpectations) -> str:
    number = len(expectations.expected_migrations)
    versions = (
        f"the {number} of EXPECTED_MIGRATIONS were run"
        if number
        else "versions are not compared, as EXPECTED_MIGRATIONS is not set"
    )
    return f"all tables and columns that we read are there; {versions}"


def examine_privileges(
    role: RoleFacts, unreadable: Sequence[str], generation: str = ""
) -> Iterator[Finding]:
    """Judge what our role may: all that we read, and better nothing else."""
    if unreadable:
        which = _listed(unreadable)
        grant = f"GRANT SELECT ON {which} TO our role"
        usage = " and USAGE on schema tasker" if generation == "core" else ""
        yield _problem(Area.PRIVILEGES, f"SELECT is missing on {which}", f"{grant}{usage}.")
    elif role.may_write:
        remedy = "Use a role of our own that may only SELECT: we never write there."
        yield _warning(
            Area.PRIVILEGES, f"our role could write to {_listed(role.may_write)}", remedy
        )
    else:
        yield _ok(Area.PRIVILEGES, "our role may read what we read, and write none of it")


def examine_pool(trial: PoolTrial, role: RoleFacts | None = None) -> Iterator[Finding]:
    """Judge the pool, once it has been filled: the guide's ``waiting > 0`` among it."""
    state = trial.state
    seen = (
        f"size {state.size}, connections {state.connections}, checked out {state.checked_out},"
        f" idle {state.idle}, waiting {state.waiting},"
        f" checkout timeout {state.checkout_timeout_seconds:g} s"
    )
    if role is not None and role.services:
        seen += f"; running services hold {role.services} sessions, {role.services_busy} at work"
    if trial.failure is not None:
        seen = f"only {state.connections} of {state.size} could be opened: {trial.failure}; {seen}"
        remedy = "Lower POOL_SIZE, or allow our role and the server more connections."
        yield _problem(Area.POOL, seen, remedy)
    elif state.waiting:
        remedy = "Raise POOL_SIZE, or lower CHECKOUT_TIMEOUT_SECONDS to fail sooner."
        yield _problem(Area.POOL, seen, remedy)
    else:
        yield _ok(Area.POOL, seen)


def examine_connections(
    vitals: Vitals, role: RoleFacts, thresholds: Thresholds
) -> Iterator[Finding]:
    """Judge how near the server is to its last connection; SQLite has none."""
    taken, allowed = vitals.client_connections, vitals.connections_allowed
    if taken is None or allowed is None:
        return
    seen = f"{taken} of {allowed} connections are taken"
    limit, mine = role.connections_allowed, role.connections
    if limit is not None and mine is not None:
        seen += f", {mine} of our role's {limit}"
    own_share = mine / limit if limit and mine is not None else 0.0
    share = max(taken / allowed, own_share)
    remedy = "Pool less in the applications, put a pooler between, or raise max_connections."
    if share > thresholds.unhealthy_connections_ratio:
        yield _problem(Area.SERVER, seen, remedy)
    elif share > min(_FEW_LEFT_SHARE, thresholds.unhealthy_connections_ratio):
        yield _warning(Area.SERVER, seen, remedy)
    else:
        yield _ok(Area.SERVER, seen)


def examine_pooler(*, pooled: bool, prepared_statements: bool) -> Iterator[Finding]:
    """Judge whether a pooler between us and the server goes with prepared statements."""
    if not pooled:
        yield _ok(Area.POOLER, "we talk to the server itself")
    elif prepared_statements:
        remedy = "Set PREPARED_STATEMENTS=false unless the pooler keeps a session for each client."
        yield _warning(Area.POOLER, "a pooler shares the sessions; statements are prepared", remedy)
    else:
        yield _ok(Area.POOLER, "a pooler shares the sessions; no statement is prepared")


def examine_clock(whose: str, reading: ClockReading) -> Iterator[Finding]:
    """Judge another clock against ours, as far as it can be told."""
    ahead, within = reading.ahead_seconds, reading.within_seconds
    seen = (
        f"the {whose}'s clock is {abs(ahead):.3f} s {'ahead of' if ahead >= 0 else 'behind'} ours"
    )
    certain = abs(ahead) - within
    remedy = "Synchronise both machines' clocks (NTP): ages, windows and expiries rest on them."
    if certain > _SKEW_PROBLEM_SECONDS:
        yield _problem(Area.CLOCK, seen, remedy)
    elif certain > _SKEW_WARNING_SECONDS:
        yield _warning(Area.CLOCK, seen, remedy)
    else:
        yield _ok(Area.CLOCK, f"{seen}, give or take {within:.3f} s")


def examine_work(
    parts: Iterable[WorkTime], thresholds: Thresholds, limit_seconds: float
) -> Iterator[Finding]:
    """Judge what a measurement takes, part by part; 200 ms is the guide's own line."""
    parts = tuple(parts)
    slow = [part for part in parts if part.took_ms > thresholds.degraded_response_time_ms]
    seen = ", ".join(f"{part.name} {_ms(part.took_ms)}" for part in parts)
    read_whole = sorted({table for part in slow for table in part.whole_tables})
    if read_whole:
        seen += f"; read from end to end: {_listed(read_whole)}"
    if sum(part.took_ms for part in parts) > limit_seconds * 1000:
        remedy = "Archive old tasks, or raise MEASUREMENT_TIMEOUT_SECONDS: no report comes in time."
        yield _problem(Area.STATEMENTS, seen, remedy)
    elif slow:
        remedy = "Let ANALYZE run on Tasker's tables and see that no recommended index is missing."
        yield _warning(Area.STATEMENTS, seen, remedy)
    else:
        yield _ok(Area.STATEMENTS, seen)


def examine_indexes(missing: Sequence[str]) -> Iterator[Finding]:
    """Judge the indexes that our statements count on."""
    if not missing:
        yield _ok(Area.INDEXES, "every index that our statements count on is there")
        return
    remedy = "Run Tasker's migrations, or CREATE INDEX CONCURRENTLY as written here."
    yield _warning(Area.INDEXES, f"missing: {'; '.join(missing)}", remedy)


def examine_cache(trial: CacheTrial, timeout_seconds: float) -> Iterator[Finding]:
    """Judge whether what is written to the cache can be read again, and how fast."""
    if trial.failure is not None:
        yield failed(Area.CACHE, trial.failure, trial.store)
        return
    seen = f"{trial.store}: written in {_ms(trial.put_ms)}, read back in {_ms(trial.get_ms)}"
    slowest, allowed_ms = max(trial.put_ms, trial.get_ms), timeout_seconds * 1000
    if not trial.came_back:
        remedy = "See that it keeps keys for their time and evicts none: what we wrote was gone."
        yield _problem(Area.CACHE, f"{seen}, and it was not what was written", remedy)
    elif slowest > allowed_ms:
        remedy = "Bring the cache closer, or raise CACHE_TIMEOUT_SECONDS: it is passed over now."
        yield _warning(Area.CACHE, f"{seen}, of {allowed_ms:g} ms allowed", remedy)
    else:
        yield _ok(Area.CACHE, seen)


def _ok(area: Area, seen: str) -> Finding:
    return Finding(area=area, grade=Grade.OK, seen=seen)


def _warning(area: Area, seen: str, remedy: str) -> Finding:
    return Finding(area=area, grade=Grade.WARNING, seen=seen, remedy=remedy)


def _problem(area: Area, seen: str, remedy: str) -> Finding:
    return Finding(area=area, grade=Grade.PROBLEM, seen=seen, remedy=remedy)


def _sentence(phrase: str) -> str:
    end = "" if phrase.endswith("?") else "."
    return f"{phrase[:1].upper()}{phrase[1:]}{end}"


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"  # noqa: PLR2004  one digit


def _listed(names: Sequence[str]) -> str:
    """At most ten names, so that a line stays one."""
    more = f" and {len(names) - 10} more" if names[10:] else ""
    return ", ".join(names[:10]) + more
