"""Incidents as bytes that processes share: back exactly, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.alerting import AlertRule, Incident, Phase
from tasker_health.formats.alerts import message_id
from tasker_health.formats.incidents import LARGEST_BYTES, decode, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
INCIDENTS = st.builds(
    Incident,
    key=TEXT,
    rule=st.sampled_from(AlertRule),
    phase=st.sampled_from(Phase),
    revision=st.integers(1, 2**53),
    at=st.datetimes(timezones=st.just(UTC)),
    observed=st.floats(allow_nan=False, allow_infinity=False),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
    summary=TEXT,
    numbers=st.dictionaries(
        TEXT,
        st.none() | st.integers(0, 2**53) | st.floats(allow_nan=False, allow_infinity=False),
        max_size=5,
    ),
    told=st.frozensets(TEXT, max_size=3),
)
ONE = Incident(
    key="k",
    rule=AlertRule.FAILURE_RATE,
    phase=Phase.TRIGGERED,
    revision=1,
    at=datetime(2025, 6, 18, 15, 30, tzinfo=UTC),
    observed=0.5,
    threshold=0.05,
    summary="s",
    numbers={"failed_tasks": 1},
)


@given(st.lists(INCIDENTS, max_size=3))
def test_what_was_written_is_read(incidents: list[Incident]) -> None:
    """Any incidents come back equal."""
    assert decode(encode(incidents)) == tuple(incidents)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    """Nothing but what was written is read, and reading raises nothing else."""
    with pytest.raises(ValueError, match="no incidents of this version"):
        decode(data)


def changed(**fields: Any) -> bytes:
    """Write one incident, and change it behind the format's back."""
    document = json.loads(encode([ONE]))
    document["incidents"][0].update(fields)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "weather"},
        {"phase": "maybe"},
        {"revision": 0},
        {"revision": "1"},
        {"at": "2025-06-18T15:30:00"},
        {"observed": None},
        {"numbers": {"x": "y"}},
        {"told": [1]},
        {"more": 1},
    ],
)
def test_a_field_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """A value of the wrong kind, a missing zone or an unknown field spoils the whole."""
    assert decode(changed()) == (ONE,)
    with pytest.raises(ValueError, match="no incidents of this version"):
        decode(changed(**fields))


def test_another_version_is_refused() -> None:
    """A process of another version begins anew."""
    data = encode([ONE])
    with pytest.raises(ValueError, match="no incidents of this version"):
        decode(data.replace(b'"version":1', b'"version":2'))


def test_what_is_too_large_is_refused_both_ways() -> None:
    """Neither written nor read."""
    with pytest.raises(ValueError, match="cannot be written"):
        encode([attrs.evolve(ONE, summary="x" * LARGEST_BYTES)])
    with pytest.raises(ValueError, match="where incidents have at most"):
        decode(b"x" * (LARGEST_BYTES + 1))


def test_what_no_json_can_hold_is_refused() -> None:
    """Infinity has no place in it."""
    with pytest.raises(ValueError, match="cannot be written"):
        encode([attrs.evolve(ONE, observed=float("inf"))])


def test_times_come_back_in_utc() -> None:
    """A time in another zone is the same time."""
    zone = timezone(timedelta(hours=2))
    (back,) = decode(changed(at=ONE.at.astimezone(zone).isoformat()))
    assert back.at.tzinfo is UTC
    assert back == ONE


def test_a_message_is_named_by_what_it_says() -> None:
    """Each phase has a name of its own, which depends on nothing but the phase."""
    name = message_id(ONE)
    assert message_id(attrs.evolve(ONE, told=frozenset({"x"}), summary="other")) == name
    others = (
        attrs.evolve(ONE, revision=2),
        attrs.evolve(ONE, phase=Phase.RESOLVED),
        attrs.evolve(ONE, key="l"),
        attrs.evolve(ONE, at=ONE.at + timedelta(microseconds=1)),
    )
    assert len({name, *map(message_id, others)}) == 5
