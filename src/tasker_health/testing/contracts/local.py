"""The promises of the ports that touch nothing outside: the clock and the journal."""

# ruff: noqa: S101  assert is how a contract speaks

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tasker_health.domain.events import Changed
from tasker_health.domain.reasons import Reason
from tasker_health.testing.contracts.base import Contract, to_override

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker_health.domain.ports import Clock, Journal

__all__ = ["ClockContract", "JournalContract"]


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
