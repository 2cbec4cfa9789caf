"""The doctor's rules: each fact against its line, on both sides of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.database import DatabaseExpectations, DatabaseFacts, Generation
from tasker_health.domain.diagnosis import (
    Area,
    CacheTrial,
    ClockReading,
    Diagnosis,
    Finding,
    Grade,
    PoolState,
    PoolTrial,
    RoleFacts,
    ServerFacts,
    WorkTime,
)
from tasker_health.domain.examining import (
    examine_cache,
    examine_clock,
    examine_connections,
    examine_indexes,
    examine_pool,
    examine_pooler,
    examine_privileges,
    examine_server,
    examine_standing,
    examine_work,
    failed,
    unreachable,
)
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import Thresholds
from tasker_health.domain.status import Vitals

if TYPE_CHECKING:
    from collections.abc import Iterable

AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
OK, WARNING, PROBLEM = Grade
THRESHOLDS = Thresholds()
COMPLETE = "all tables and columns that we read are there"


def the(findings: Iterable[Finding]) -> Finding:
    """Give the one finding."""
    (finding,) = findings
    return finding


findings = st.builds(
    lambda area, grade: Finding(
        area=area, grade=grade, seen="x", remedy="" if grade is OK else "Do."
    ),
    st.sampled_from(Area),
    st.sampled_from(Grade),
)


@given(st.lists(findings))
def test_findings_stand_worst_first_then_in_the_order_of_the_areas(given: list[Finding]) -> None:
    """Whatever the order in which they came."""
    diagnosis = Diagnosis(at=AT, findings=tuple(given))
    places = [(-f.grade.severity, list(Area).index(f.area)) for f in diagnosis.findings]
    assert places == sorted(places)
    assert sorted(map(repr, diagnosis.findings)) == sorted(map(repr, given))
    assert diagnosis.grade.severity == max((f.grade.severity for f in given), default=0)


@pytest.mark.parametrize(("grade", "remedy"), [(OK, "Do."), (WARNING, ""), (PROBLEM, "")])
def test_a_remedy_belongs_to_what_is_not_ok(grade: Grade, remedy: str) -> None:
    """Neither a remedy without need nor a need without a remedy can be said."""
    with pytest.raises(ValueError, match="a remedy belongs to what is not ok"):
        Finding(area=Area.POOL, grade=grade, seen="x", remedy=remedy)


@pytest.mark.parametrize("reason", Reason)
def test_every_failure_has_a_remedy_in_a_sentence(reason: Reason) -> None:
    """Whatever the reason, what failed says what to do, from a capital to a full stop."""
    finding = failed(Area.CACHE, reason, "words")
    assert (finding.grade, finding.seen) == (PROBLEM, f"{reason}: words")
    assert finding.remedy[0].isupper()
    assert finding.remedy[-1] in ".?"


def test_a_question_needs_no_full_stop() -> None:
    """The advice is told whole, and a question mark ends it as well."""
    assert failed(Area.CACHE, Reason.DISK_FULL).remedy == "The server's disk is full."
    question = "Nothing listens there: is the server running, and on that port?"
    assert failed(Area.CACHE, Reason.REFUSED).remedy == question


@pytest.mark.parametrize(
    ("connect_ms", "round_trip_ms", "grade"),
    [
        (1000.0, 200.0, OK),
        (1000.1, 0.1, WARNING),
        (0.1, 200.1, WARNING),
    ],
)
def test_the_way_to_the_database(connect_ms: float, round_trip_ms: float, grade: Grade) -> None:
    """Beyond the guide's 200 ms, or a second to connect, it is slow."""
    facts = ServerFacts(product="P", connect_ms=connect_ms, round_trip_ms=round_trip_ms)
    finding = the(examine_server(facts, THRESHOLDS))
    assert finding.grade is grade
    assert finding.seen.startswith("P, connected in ")


@pytest.mark.parametrize(
    ("took_ms", "told"), [(0.2, "0.2 ms"), (9.9, "9.9 ms"), (10.0, "10 ms"), (10.4, "10 ms")]
)
def test_what_takes_long_is_told_without_a_fraction(took_ms: float, told: str) -> None:
    """Below ten milliseconds a tenth matters, from there on it does not."""
    facts = ServerFacts(product="P", connect_ms=1.0, round_trip_ms=took_ms)
    seen = the(examine_server(facts, THRESHOLDS)).seen
    assert seen == f"P, connected in 1.0 ms, round trip {told}"


def test_a_pooler_that_refuses_our_session_is_told_as_such() -> None:
    """The refusal of pgbouncer, which knows few settings, is not about the database."""
    finding = unreachable(Reason.POOLER, "unsupported startup parameter")
    assert (finding.area, finding.grade) == (Area.POOLER, PROBLEM)
    assert "PREPARED_STATEMENTS=false" in finding.remedy
    assert unreachable(Reason.AUTH, "no").area is Area.DATABASE


@pytest.mark.parametrize(
    ("found", "schema", "versions", "told"),
    [
        (
            Generation.ENGINE,
            None,
            ("1", "2"),
            {
                "found engine, as TASKER_SCHEMA (auto) allows",
                f"{COMPLETE}; the 2 of EXPECTED_MIGRATIONS were run",
            },
        ),
        (
            Generation.CORE,
            Generation.CORE,
            (),
            {
                "found core, as TASKER_SCHEMA (core) allows",
                f"{COMPLETE}; versions are not compared, as EXPECTED_MIGRATIONS is not set",
            },
        ),
        (
            None,
            None,
            (),
            {
                "found no Tasker, as TASKER_SCHEMA (auto) allows",
                "pending: no tables to look at",
            },
        ),
    ],
)
def test_what_was_found_is_told_beside_what_was_asked_for(
    found: Generation | None,
    schema: Generation | None,
    versions: tuple[str, ...],
    told: set[str],
) -> None:
    """The generation with the setting that allows it, and whether versions were compared."""
    facts = DatabaseFacts(
        round_trip_ms=1,
        found=[found] if found else [],
        generation=found,
        migrations=frozenset(versions),
    )
    expectations = DatabaseExpectations(tasker_schema=schema, expected_migrations=versions)
    assert {finding.seen for finding in examine_standing(facts, expectations)} == told


def test_what_stands_there_is_judged_as_readiness_judges_it() -> None:
    """Well: two findings; a lack: the reason and what lacks; a lacking SELECT: not said twice."""
    well = DatabaseFacts(
        round_trip_ms=1,
        found=[Generation.ENGINE],
        generation=Generation.ENGINE,
        migrations=frozenset({"1"}),
    )
    told = DatabaseExpectations(expected_migrations=["1"])
    assert [(f.area, f.grade) for f in examine_standing(well, told)] == [
        (Area.MIGRATIONS, OK),
        (Area.CONFIGURATION, OK),
    ]
    behind = DatabaseExpectations(expected_migrations=["2"], require_writable=True)
    lacking = DatabaseFacts(
        round_trip_ms=1,
        found=[Generation.ENGINE],
        generation=Generation.ENGINE,
        migrations=frozenset({"1"}),
        writable=False,
    )
    assert [(f.area, f.seen) for f in examine_standing(lacking, behind) if f.grade is PROBLEM] == [
        (Area.DATABASE, "read_only"),
        (Area.MIGRATIONS, "pending: migrations not run: 2"),
    ]
    closed = DatabaseFacts(
        round_trip_ms=1,
        found=[Generation.ENGINE],
        generation=Generation.ENGINE,
        unreadable=("tasker_tasks",),
    )
    assert [f.grade for f in examine_standing(closed, DatabaseExpectations())] == [OK]


def test_privileges_want_reading_and_nothing_else() -> None:
    """No SELECT is a problem, a right to write a warning, and the first is told first."""
    writer = RoleFacts(may_write=("tasks",))
    assert the(examine_privileges(writer, ("t",), "core")).remedy == (
        "GRANT SELECT ON t TO our role and USAGE on schema tasker."
    )
    assert the(examine_privileges(writer, ("t",), "engine")).grade is PROBLEM
    assert the(examine_privileges(writer, ())).grade is WARNING
    assert the(examine_privileges(RoleFacts(), ())).grade is OK


@pytest.mark.parametrize(("number", "end"), [(10, ", t9"), (11, ", t9 and 1 more")])
def test_long_lists_are_cut(number: int, end: str) -> None:
    """Ten names, and how many more."""
    finding = the(examine_privileges(RoleFacts(), [f"t{n}" for n in range(number)]))
    assert finding.seen.endswith(end)


def state(*, waiting: int = 0) -> PoolState:
    """Give a pool of two, full."""
    return PoolState(
        size=2, connections=2, checked_out=2, waiting=waiting, checkout_timeout_seconds=5.0
    )


def test_the_pool_tells_the_guides_figures() -> None:
    """All figures of the guide's pool.stat, and the sessions of services that run."""
    finding = the(examine_pool(PoolTrial(state=state()), RoleFacts(services=3, services_busy=1)))
    assert finding.grade is OK
    assert finding.seen == (
        "size 2, connections 2, checked out 2, idle 0, waiting 0, checkout timeout 5 s;"
        " running services hold 3 sessions, 1 at work"
    )


def test_who_waits_for_the_pool_is_a_problem() -> None:
    """The guide's rule: waiting above 0 calls for a larger pool or a shorter wait."""
    finding = the(examine_pool(PoolTrial(state=state(waiting=1))))
    assert finding.grade is PROBLEM
    assert "Raise POOL_SIZE" in finding.remedy


def test_a_pool_that_could_not_be_filled_is_a_problem() -> None:
    """What could be opened is told with why it was no more."""
    trial = PoolTrial(state=state(), failure=Reason.TOO_MANY_CONNECTIONS)
    assert the(examine_pool(trial)).seen.startswith(
        "only 2 of 2 could be opened: too_many_connections; size 2"
    )


@pytest.mark.parametrize(
    ("taken", "mine", "limit", "grade"),
    [
        (80, 1, None, OK),
        (81, 1, None, WARNING),
        (90, 1, None, WARNING),
        (91, 1, None, PROBLEM),
        (1, 9, 10, WARNING),
        (1, 10, 10, PROBLEM),
        (1, 8, 10, OK),
    ],
)
def test_connections_run_out_on_the_server_or_for_our_role(
    taken: int, mine: int, limit: int | None, grade: Grade
) -> None:
    """Above 80 % it is a warning, above the threshold of the verdict a problem."""
    vitals = Vitals(round_trip_ms=1, client_connections=taken, connections_allowed=100)
    role = RoleFacts(connections=mine, connections_allowed=limit)
    finding = the(examine_connections(vitals, role, THRESHOLDS))
    assert finding.grade is grade
    assert (f"{mine} of our role's {limit}" in finding.seen) is (limit is not None)


@pytest.mark.parametrize(("taken", "allowed"), [(None, None), (1, None), (None, 1)])
def test_sqlite_has_no_connections_to_run_out_of(taken: int | None, allowed: int | None) -> None:
    """Where they are not counted, or have no bound, nothing is said."""
    vitals = Vitals(round_trip_ms=1, client_connections=taken, connections_allowed=allowed)
    assert not list(examine_connections(vitals, RoleFacts(), THRESHOLDS))


@pytest.mark.parametrize(
    ("pooled", "prepared", "grade"),
    [(False, True, OK), (True, False, OK), (True, True, WARNING)],
)
def test_a_pooler_and_prepared_statements(pooled: bool, prepared: bool, grade: Grade) -> None:
    """Only both together are worth a warning."""
    assert the(examine_pooler(pooled=pooled, prepared_statements=prepared)).grade is grade


@pytest.mark.parametrize(
    ("ahead", "within", "grade"),
    [
        (0.0, 0.0, OK),
        (2.0, 0.0, OK),
        (-2.5, 0.0, WARNING),
        (2.5, 1.0, OK),
        (-30.0, 0.0, WARNING),
        (30.5, 0.0, PROBLEM),
        (-31.0, 2.0, WARNING),
    ],
)
def test_a_skew_counts_only_as_far_as_it_is_certain(
    ahead: float, within: float, grade: Grade
) -> None:
    """Two seconds are a warning and thirty a problem, on either side, beyond the doubt."""
    reading = ClockReading(ahead_seconds=ahead, within_seconds=within)
    finding = the(examine_clock("cache", reading))
    assert finding.grade is grade
    side = "behind" if ahead < 0 else "ahead of"
    assert finding.seen.startswith(f"the cache's clock is {abs(ahead):.3f} s {side} ours")


def test_work_is_slow_beyond_200_ms_and_too_slow_beyond_the_limit() -> None:
    """One slow part is a warning that names what is read whole; the sum decides what fails."""
    quick = [WorkTime(name="counts", took_ms=200.0, whole_tables=("t",))]
    slow = [*quick, WorkTime(name="activity", took_ms=201.0, whole_tables=("b", "a"))]
    assert the(examine_work(quick, THRESHOLDS, 10)).grade is OK
    finding = the(examine_work(slow, THRESHOLDS, 10))
    assert finding.grade is WARNING
    assert finding.seen == "counts 200 ms, activity 201 ms; read from end to end: a, b"
    assert the(examine_work(slow, THRESHOLDS, 0.401)).grade is WARNING
    assert the(examine_work(slow, THRESHOLDS, 0.4008)).grade is PROBLEM


def test_indexes_are_told_as_they_would_be_made() -> None:
    """None missing is well; a missing one is written out."""
    assert the(examine_indexes(())).grade is OK
    finding = the(examine_indexes(["a (b)", "c (d) WHERE most_recent"]))
    assert (finding.grade, finding.seen) == (WARNING, "missing: a (b); c (d) WHERE most_recent")


@pytest.mark.parametrize(
    ("trial", "grade", "seen"),
    [
        (CacheTrial(store="redis", put_ms=1, get_ms=25, came_back=True), OK, "redis: written in"),
        (CacheTrial(store="redis", put_ms=25.01, came_back=True), WARNING, ", of 25 ms allowed"),
        (CacheTrial(store="redis", put_ms=1, get_ms=1), PROBLEM, "not what was written"),
        (CacheTrial(store="redis", failure=Reason.AUTH), PROBLEM, "auth: redis"),
    ],
)
def test_the_cache_gives_back_what_was_written_in_time(
    trial: CacheTrial, grade: Grade, seen: str
) -> None:
    """It is well only when it answers, in time, with the same report."""
    finding = the(examine_cache(trial, 0.025))
    assert finding.grade is grade
    assert seen in finding.seen


def test_what_was_not_found_out_is_nothing() -> None:
    """Unless told, a clock is exact, nobody pools, no service is there and nothing took time."""
    assert ClockReading(ahead_seconds=1.0).within_seconds == 0
    assert not ServerFacts(product="x", connect_ms=0, round_trip_ms=0).pooled
    assert (RoleFacts().services, RoleFacts().services_busy) == (0, 0)
    assert (CacheTrial(store="x").put_ms, CacheTrial(store="x").get_ms) == (0, 0)


def test_grades_are_ordered() -> None:
    """Ok is better than a warning, and a warning than a problem."""
    assert [grade.severity for grade in (Grade.OK, Grade.WARNING, Grade.PROBLEM)] == [0, 1, 2]
