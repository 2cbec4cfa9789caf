"""The doubles do what tests rely on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasker_health.domain.events import Changed
from tasker_health.testing.doubles import ManualClock, RecordingJournal


def test_time_stands_still_until_it_is_moved() -> None:
    """A manual clock shows what it was set to, however often it is read."""
    clock = ManualClock(now=datetime(2030, 1, 1, tzinfo=UTC), monotonic=5.0)
    assert [clock.now(), clock.now()] == [datetime(2030, 1, 1, tzinfo=UTC)] * 2
    assert [clock.monotonic(), clock.monotonic()] == [5.0, 5.0]


def test_advancing_moves_both_clocks() -> None:
    """When time passes, both clocks show it."""
    clock = ManualClock(monotonic=5.0)
    before = clock.now()
    clock.advance(1.5)
    assert clock.now() - before == timedelta(seconds=1.5)
    assert clock.monotonic() == 6.5


@pytest.mark.parametrize("seconds", [3600.0, -3600.0])
def test_a_jump_moves_the_wall_clock_alone(seconds: float) -> None:
    """A wall clock that is set, forward or back, leaves the monotonic clock alone."""
    clock = ManualClock(monotonic=5.0)
    before = clock.now()
    clock.jump(seconds)
    assert clock.now() - before == timedelta(seconds=seconds)
    assert clock.monotonic() == 5.0


def test_time_does_not_run_backwards() -> None:
    """A negative passing of time is refused, and moves nothing."""
    clock = ManualClock(monotonic=5.0)
    with pytest.raises(ValueError, match="jump"):
        clock.advance(-1)
    assert clock.monotonic() == 5.0


def test_a_journal_keeps_what_was_recorded_in_order() -> None:
    """All changes are kept in order, and those of one subject can be picked."""
    journal = RecordingJournal()
    changes = [
        Changed(subject=subject, before="", after=after)
        for subject, after in [("readiness", "ready"), ("verdict", "healthy"), ("readiness", "no")]
    ]
    for changed in changes:
        journal.record(changed)
    assert journal.changes == changes
    assert journal.about("readiness") == [changes[0], changes[2]]
