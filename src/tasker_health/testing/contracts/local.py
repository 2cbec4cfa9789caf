"""The promises of the ports that touch nothing outside: the clock, the journal, the meter."""

# ruff: noqa: S101, PLR2004  assert is how a contract speaks, and numbers are its facts

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tasker_health.domain.checks import CheckResult
from tasker_health.domain.events import Changed
from tasker_health.domain.metering import StatusSource
from tasker_health.domain.readiness import ReadinessReport
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts.base import Contract, to_override

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker_health.domain.ports import Clock, Journal, Meter

__all__ = ["ClockContract", "JournalContract", "MeterContract"]


class ClockContract(Contract):
    """What every clock promises. Override ``clock``."""

    @pytest.fixture
    def clock(self) -> Clock:
        """Give a clock."""
        to_override(self, "clock")

    def test_the_wall_clock_is_aware_and_in_utc(self, clock: Clock) -> None:
        """The wall clock knows its zone, and it is UTC."""
        assert clock.now().utcoffset() == timedelta(0)

    def test_the_monotonic_clock_never_goes_back(self, clock: Clock) -> None:
        """However often it is read, the monotonic clock never goes back."""
        read = [clock.monotonic() for _ in range(1000)]
        assert all(earlier <= later for earlier, later in pairwise(read))

    def test_the_monotonic_clock_counts_seconds(self, clock: Clock) -> None:
        """The monotonic clock tells a finite number."""
        assert abs(clock.monotonic()) < float("inf")


class JournalContract(Contract):
    """What every journal promises. Override ``journal`` and ``written``."""

    @pytest.fixture
    def journal(self) -> Journal:
        """Give a journal in which nothing is written yet."""
        to_override(self, "journal")

    @pytest.fixture
    def written(self, journal: Journal) -> Callable[[], str]:
        """Give a function that reads everything written so far as one text."""
        del journal
        to_override(self, "written")

    def test_a_change_is_written_down(self, journal: Journal, written: Callable[[], str]) -> None:
        """What changed, from what to what and why, can be read afterwards."""
        journal.record(
            Changed(
                subject="check:database",
                before="ok",
                after="error",
                reason=Reason.TOO_MANY_CONNECTIONS,
            )
        )
        text = written()
        assert all(
            word in text for word in ("check:database", "ok", "error", "too_many_connections")
        )

    def test_every_change_is_written_in_order(
        self, journal: Journal, written: Callable[[], str]
    ) -> None:
        """Several changes are all written, the earlier first."""
        for subject in ("check:first", "check:second", "check:third"):
            journal.record(Changed(subject=subject, before="", after="ok"))
        text = written()
        places = [text.index(subject) for subject in ("check:first", "check:second", "check:third")]
        assert places == sorted(places)

    @pytest.mark.parametrize(
        "detail",
        ["", "two\nlines\r\nand \x1b[31mcolour", "\u2028\x00", "lone \ud800 half", "x" * 1_000_000],
        ids=["empty", "control characters", "separators", "no text", "a million characters"],
    )
    def test_no_words_of_a_vendor_break_it(
        self, journal: Journal, written: Callable[[], str], detail: str
    ) -> None:
        """Whatever a vendor wrote, recording raises nothing and the change is written."""
        journal.record(
            Changed(
                subject="status_source",
                before="answering",
                after="failing",
                reason=Reason.FAILED,
                detail=detail,
            )
        )
        assert "status_source" in written()


class MeterContract(Contract):
    """What every meter promises. Override ``meter``.

    Attributes:
        keeps_counts: whether it tells what was counted, or has nothing to tell.
    """

    keeps_counts = True

    @pytest.fixture
    def meter(self) -> Meter:
        """Give a meter that has counted nothing yet."""
        to_override(self, "meter")

    def test_it_has_counted_nothing_at_first(self, meter: Meter) -> None:
        """Every source is there with 0, or there are no counts at all."""
        counts = meter.counts()
        assert (counts is not None) is self.keeps_counts
        if counts is not None:
            assert dict(counts.answers) == dict.fromkeys(StatusSource, 0)
            assert (counts.joined, dict(counts.failures)) == (0, {})

    @pytest.mark.parametrize("source", StatusSource)
    def test_every_answer_counts_at_its_source(self, meter: Meter, source: StatusSource) -> None:
        """Whatever the source, it counts there alone."""
        meter.answered(source)
        meter.answered(source)
        if (counts := meter.counts()) is not None:
            assert dict(counts.answers) == {**dict.fromkeys(StatusSource, 0), source: 2}

    def test_who_shares_a_measurement_counts(self, meter: Meter) -> None:
        """Apart from the answers."""
        meter.joined()
        if (counts := meter.counts()) is not None:
            assert counts.joined == 1
            assert not any(counts.answers.values())

    @pytest.mark.parametrize("failure", [None, *Reason])
    def test_every_measurement_counts(self, meter: Meter, failure: Reason | None) -> None:
        """However long it took and however it came out; a failure counts at its reason, too."""
        for seconds in (0.0, 1e-9, 0.5, 1e9):
            meter.measured(seconds, failure)
        if (counts := meter.counts()) is not None:
            told = counts.measurements[failure is None]
            assert sum(told.counts) == 4
            assert told.seconds == pytest.approx(1e9 + 0.5)
            assert sum(counts.measurements[failure is not None].counts) == 0
            assert dict(counts.failures) == ({} if failure is None else {failure: 4})

    @pytest.mark.parametrize("ready", [True, False])
    def test_every_assessment_counts(self, meter: Meter, ready: bool) -> None:  # noqa: FBT001  a parameter
        """By whether it came out ready; a check of any name breaks nothing."""
        checks = (CheckResult(name="of_the_embedders", response_time_ms=3),)
        failed = () if ready else (CheckResult.error("database", Reason.REFUSED),)
        at = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)
        meter.assessed(ReadinessReport(ready=ready, checks=checks + failed, at=at), 0.25)
        if (counts := meter.counts()) is not None:
            assert sum(counts.assessments[ready].counts) == 1
            assert counts.assessments[ready].seconds == 0.25
            assert sum(counts.assessments[not ready].counts) == 0
