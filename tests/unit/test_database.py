"""The guide's three checks, judged from one observation of the database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.database import (
    DATABASE_CHECKS,
    DatabaseExpectations,
    DatabaseFacts,
    Generation,
    judge,
)
from tasker_health.domain.reasons import Reason

ENGINE, CORE = Generation.ENGINE, Generation.CORE


def facts(**told: Any) -> DatabaseFacts:
    """Observe a well engine database that differs as told."""
    well: dict[str, Any] = {
        "round_trip_ms": 0,
        "found": frozenset({ENGINE}),
        "generation": ENGINE,
    }
    return DatabaseFacts(**{**well, **told})


def reasons(observed: DatabaseFacts, **expected: Any) -> dict[str, Reason | None]:
    """Judge and give the reason by name."""
    return {r.name: r.reason for r in judge(observed, DatabaseExpectations(**expected))}


WELL: dict[str, Reason | None] = {"database": None, "migrations": None, "configuration": None}


def test_a_well_database_is_ok_in_the_guides_order() -> None:
    """Three checks, and the time that the round trip took, rounded."""
    results = judge(facts(round_trip_ms=1.6), DatabaseExpectations())
    assert tuple(result.name for result in results) == DATABASE_CHECKS
    assert all(result.status is CheckStatus.OK for result in results)
    assert [result.response_time_ms for result in results] == [2, None, None]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"missing": ("tasker_tasks",)}, Reason.PENDING),
        ({"found": frozenset(), "generation": None}, Reason.PENDING),
        ({"unreadable": ("tasker_tasks",)}, Reason.FORBIDDEN),
        ({"failed_migrations": ("7",)}, Reason.FAILED_MIGRATION),
        ({"missing": ("a",), "unreadable": ("b",)}, Reason.PENDING),
    ],
)
def test_what_stands_in_the_database(told: dict[str, Any], reason: Reason) -> None:
    """Tables missing, not readable, or half migrated: each has its word."""
    assert reasons(facts(**told)) == {**WELL, "migrations": reason}


@pytest.mark.parametrize(
    ("run", "expected", "reason"),
    [
        (None, set(), None),
        (None, {"1"}, Reason.PENDING),
        (frozenset(), {"1"}, Reason.PENDING),
        (frozenset({"1"}), {"1"}, None),
        (frozenset({"1", "2"}), {"1"}, None),
        (frozenset({"2"}), {"1"}, Reason.PENDING),
    ],
)
def test_expected_migrations(
    run: frozenset[str] | None, expected: set[str], reason: Reason | None
) -> None:
    """Behind what is expected is pending; ahead of it is fine."""
    observed = facts(migrations=run)
    assert reasons(observed, expected_migrations=expected) == {**WELL, "migrations": reason}


@pytest.mark.parametrize(
    ("found", "told", "reason"),
    [
        ({ENGINE}, None, None),
        ({ENGINE}, ENGINE, None),
        ({ENGINE}, CORE, Reason.MISMATCH),
        ({ENGINE, CORE}, CORE, None),
        (set(), CORE, None),
        (set(), None, None),
    ],
)
def test_configuration_against_what_was_found(
    found: set[Generation], told: Generation | None, reason: Reason | None
) -> None:
    """The schema setting and the database must not disagree; an empty database cannot."""
    observed = facts(found=frozenset(found), generation=ENGINE)
    assert reasons(observed, tasker_schema=told)["configuration"] is reason


def test_two_generations_under_auto_are_ambiguous() -> None:
    """Which one to read cannot be guessed, so what stands in it is unknown."""
    both = facts(found=frozenset({ENGINE, CORE}), generation=None)
    assert reasons(both) == {
        "database": None,
        "migrations": Reason.UNKNOWN,
        "configuration": Reason.AMBIGUOUS,
    }


@pytest.mark.parametrize(
    ("writable", "required", "reason"),
    [
        (False, True, Reason.READ_ONLY),
        (False, False, None),
        (True, True, None),
    ],
)
def test_a_standby_is_judged_by_setting(
    writable: bool, required: bool, reason: Reason | None
) -> None:
    """A database that takes no writes is an error only where writing is required."""
    assert reasons(facts(writable=writable), require_writable=required)["database"] is reason
    assert reasons(facts(), require_writable=required) == WELL, "it takes writes unless told"
    if not required:
        assert reasons(facts(writable=writable)) == WELL, "nor is it, unless somebody says so"


def test_details_name_what_is_wrong_and_stay_short() -> None:
    """The log is told the first ten names and how many more there are."""
    names = tuple(f"table_{number:02}" for number in range(12))
    (_, migrations, _) = judge(facts(missing=names), DatabaseExpectations())
    assert migrations.detail.startswith("missing: table_00, ")
    assert migrations.detail.endswith("table_09 and 2 more")
    (_, ten, _) = judge(facts(missing=names[:10]), DatabaseExpectations())
    assert ten.detail.endswith("table_08, table_09")
    (_, eleven, _) = judge(facts(missing=names[:11]), DatabaseExpectations())
    assert eleven.detail.endswith("table_09 and 1 more")
    (_, _, configuration) = judge(facts(), DatabaseExpectations(tasker_schema=CORE))
    assert configuration.detail == "told core, found engine"


@given(st.frozensets(st.text(min_size=1)), st.frozensets(st.text(min_size=1)))
def test_more_migrations_never_hurt(run: frozenset[str], more: frozenset[str]) -> None:
    """A database ahead of what is expected stays as ready as it was."""
    before = reasons(facts(migrations=run), expected_migrations=run)
    after = reasons(facts(migrations=run | more), expected_migrations=run)
    assert before == after == WELL
