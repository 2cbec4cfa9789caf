"""Counts in memory, of one process or of several that serve as one.

A counter is a number in a row of doubles. Processes that were forked from one parent share
the table: each writes in a row of its own, whoever is asked adds the rows up, and a process
that takes the place of one that ended goes on in its row. So no count is lost, none goes
back, and it does not matter which process a scraper reaches. There is nothing to lock: a
double has one writer, and is written whole.

The Prometheus client's own way for several processes is not used on purpose. It is chosen
for the whole process before that package is first imported, leaves files behind for every
process that ever lived, and a count costs some ten times as much.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from tasker_health.domain.metering import Counts, Durations, StatusSource
from tasker_health.domain.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasker_health.domain.ports import Meter
    from tasker_health.domain.readiness import ReadinessReport

__all__ = ["BOUNDS", "CountingMeter"]

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. The guide's 100 ms and 200 ms are among them, and the measurement's deadline."""

_CELL_BYTES: Final = 8
_OUTCOMES: Final = (True, False)


class CountingMeter:
    """Counts in one row of a table, and tells what all rows say together.

    Args:
        checks: the names of the readiness checks; others are not told apart, nor counted.
        processes: how many processes share the table, each with a row.
    """

    def __init__(self, checks: Iterable[str] = (), *, processes: int = 1) -> None:
        names = tuple(dict.fromkeys(checks))
        widths = (
            *(1 for _ in StatusSource),
            1,  # joined
            *(1 for _ in Reason),
            *(len(BOUNDS) + 2 for _ in (*_OUTCOMES, *_OUTCOMES, *names)),
        )
        starts = iter(accumulate(widths, initial=0))
        self._answers: Final = {source: next(starts) for source in StatusSource}
        self._joined: Final = next(starts)
        self._failures: Final = {reason: next(starts) for reason in Reason}
        self._assessments: Final = {ready: next(starts) for ready in _OUTCOMES}
        self._measurements: Final = {good: next(starts) for good in _OUTCOMES}
        self._checks: Final = {name: next(starts) for name in names}
        self._width: Final = next(starts)
        table = memoryview(mmap.mmap(-1, self._width * processes * _CELL_BYTES)).cast("d")
        edges = range(0, self._width * processes + 1, self._width)
        self._rows: Final = tuple(table[first:end] for first, end in pairwise(edges))
        self._row = self._rows[0]

    def take(self, row: int) -> None:
        """Count in this row from now on; each belongs to one living process.

        Args:
            row: 0 for the first.
        """
        self._row = self._rows[row]

    def assessed(self, report: ReadinessReport, seconds: float) -> None:
        """Count a run of the readiness checks, and what each spent on the outside."""
        self._add(self._assessments[report.ready], seconds)
        for result in report.checks:
            start = self._checks.get(result.name)
            if start is not None and result.response_time_ms is not None:
                self._add(start, result.response_time_ms / 1000)

    def measured(self, seconds: float, failure: Reason | None) -> None:
        """Count a measurement."""
        self._add(self._measurements[failure is None], seconds)
        if failure is not None:
            self._row[self._failures[failure]] += 1

    def answered(self, source: StatusSource) -> None:
        """Count an answer."""
        self._row[self._answers[source]] += 1

    def joined(self) -> None:
        """Count somebody who shares a measurement."""
        self._row[self._joined] += 1

    def counts(self) -> Counts:
        """Add up all rows."""
        told = [sum(cells) for cells in zip(*self._rows, strict=True)]
        return Counts(
            answers={source: int(told[at]) for source, at in self._answers.items()},
            joined=int(told[self._joined]),
            assessments={
                ready: _durations(told, start) for ready, start in self._assessments.items()
            },
            checks={name: _durations(told, start) for name, start in self._checks.items()},
            measurements={
                good: _durations(told, start) for good, start in self._measurements.items()
            },
            failures={
                reason: int(told[at]) for reason, at in self._failures.items() if told[at] > 0
            },
        )

    def _add(self, start: int, seconds: float) -> None:
        self._row[start] += seconds
        self._row[start + 1 + bisect_left(BOUNDS, seconds)] += 1


def _durations(told: Sequence[float], start: int) -> Durations:
    first = start + 1
    counts = told[first : first + len(BOUNDS) + 1]
    return Durations(bounds=BOUNDS, counts=tuple(map(int, counts)), seconds=told[start])


if TYPE_CHECKING:
    _: type[Meter] = CountingMeter
