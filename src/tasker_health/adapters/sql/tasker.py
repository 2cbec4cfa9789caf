"""Tasker's state, read from a SQL database.

A view is one snapshot. All it tells comes from three statements of its generation, each
run at most once a view: the states of all tasks, the work of the open ones, and what
happened in a window. Here their rows become the domain's values; the rules are in the SQL
of :mod:`.postgres_engine`, :mod:`.postgres_core` and :mod:`.sqlite_engine`.

Source: database facts, *How both become one report*.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
from sqlalchemy import TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from tasker_health.adapters.sql import postgres_core, postgres_engine, sqlite_engine
from tasker_health.adapters.sql.failures import reason_of
from tasker_health.adapters.sql.snapshot import open_snapshot
from tasker_health.adapters.sql.vitals import measure_vitals
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth, Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tasker_health.domain.ports import Tasker, TaskerView

__all__ = ["SqlTasker", "SqlTaskerView"]


@attrs.frozen(kw_only=True)
class _Questions:
    """What is asked of one generation on one dialect.

    Args:
        buckets: which of the report's counts a task's state belongs to.
        states: rows of (state, tasks); the row without a state is the total.
        open_work: one row of what open tasks are at.
        window: one row of what ended in (since, at], and when anything last moved.
    """

    buckets: Mapping[str, str]
    states: TextClause
    open_work: TextClause
    window: TextClause


_QUESTIONS: Final = {
    (dialect, generation): _Questions(
        buckets=sql.BUCKETS,
        states=text(sql.STATES),
        open_work=text(sql.OPEN_WORK),
        window=text(sql.WINDOW),
    )
    for dialect, generation, sql in (
        ("postgresql", Generation.ENGINE, postgres_engine),
        ("postgresql", Generation.CORE, postgres_core),
        ("sqlite", Generation.ENGINE, sqlite_engine),
    )
}


class SqlTasker:
    """Reads Tasker's state through an opened engine; whoever opened it closes it.

    Args:
        engine: on PostgreSQL or SQLite; a role that may SELECT from Tasker's tables is enough.
        generation: the one that must stand there; None to find out by looking.
        statement_timeout_seconds: how long the server may work on one statement, > 0.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        generation: Generation | None = None,
        *,
        statement_timeout_seconds: float = 10.0,
    ) -> None:
        self._engine = engine
        self._told = generation
        self._found: Generation | None = None
        self._statement_timeout_seconds = statement_timeout_seconds

    @asynccontextmanager
    async def view(self, at: datetime) -> AsyncIterator[SqlTaskerView]:
        """Open one snapshot.

        Raises:
            SourceError: on entering, when the state cannot be reached (the vendor's error is
                the cause) or is not there (``pending``, ``ambiguous``, ``mismatch``).
        """
        try:
            async with AsyncExitStack() as stack:
                with _classified():
                    connection = await stack.enter_async_context(
                        open_snapshot(self._engine, self._statement_timeout_seconds)
                    )
                    generation = await self._generation(connection)
                questions = _QUESTIONS[connection.dialect.name, generation]
                yield SqlTaskerView(connection, questions, at)
        except SourceError:
            self._found = None
            raise
        except SQLAlchemyError as error:
            self._found = None
            raise SourceError(reason_of(error)) from error

    async def _generation(self, connection: AsyncConnection) -> Generation:
        """Tell which generation stands there; looked up once, and again after a failure."""
        if self._found is None:
            self._found = _chosen(await _standing(connection), self._told)
        return self._found


class SqlTaskerView:
    """Tasker in one snapshot. One statement runs at a time; later callers wait."""

    def __init__(self, connection: AsyncConnection, questions: _Questions, at: datetime) -> None:
        self._connection = connection
        self._questions = questions
        self._at = at
        self._moment = _text if connection.dialect.name == "sqlite" else _naive
        self._asking = asyncio.Lock()
        self._answers: dict[tuple[TextClause, float], Sequence[Row[*tuple[Any, ...]]]] = {}

    async def counts(self) -> SystemHealth:
        """Count all tasks by state, and the steps that wait for a retry."""
        rows = await self._ask(self._questions.states)
        states: dict[str | None, int] = {row[0]: row[1] for row in rows}
        (work,) = await self._ask(self._questions.open_work)
        total = states.pop(None)
        tasks = self._in_buckets(states)
        return SystemHealth(
            total_tasks=total,
            # Those that never moved are pending too: what is left of the total.
            pending_tasks=tasks["pending"] + total - tasks.total() - work.blocked_pending,
            running_tasks=tasks["running"] - work.blocked_running,
            completed_tasks=tasks["completed"],
            failed_tasks=tasks["failed"],
            blocked_tasks=tasks["blocked"] + work.blocked_pending + work.blocked_running,
            cancelled_tasks=tasks["cancelled"],
            retry_queue_size=work.retry_queue_size,
        )

    async def performance(self, window_seconds: float) -> PerformanceMetrics:
        """Look back over (at - window, at]."""
        (window,) = await self._ask(self._questions.window, window_seconds)
        return PerformanceMetrics(
            window_seconds=window_seconds,
            avg_task_completion_time_ms=_mean(window.tasks_us, window.tasks, 1000),
            avg_step_completion_time_ms=_mean(window.steps_us, window.steps, 1000),
            retry_success_rate=_mean(window.retried_completed, window.retried_ended),
            excluded_future=window.excluded_future,
            excluded_negative=window.excluded_negative,
        )

    async def activity(self, window_seconds: float) -> Activity:
        """Tell what is ready, when anything last moved, and what ended in (at - window, at]."""
        (work,) = await self._ask(self._questions.open_work)
        (window,) = await self._ask(self._questions.window, window_seconds)
        return Activity(
            ready_steps=work.ready_steps,
            ready_since=_aware(work.ready_since),
            last_transition_at=_aware(window.last_transition_at),
            tasks_failed=window.tasks_failed,
            tasks_completed=window.tasks_completed,
            blocked_since=_aware(work.blocked_since),
        )

    async def vitals(self) -> Vitals:
        """Tell how the server is that Tasker's state lives on."""
        async with self._asking:
            with _classified():
                return await measure_vitals(self._connection)

    async def _ask(
        self, question: TextClause, window_seconds: float = 0
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Run a statement, or give again what it gave in this view before."""
        async with self._asking:
            if (question, window_seconds) not in self._answers:
                since = self._at - timedelta(seconds=window_seconds)
                moments = {"at": self._moment(self._at), "since": self._moment(since)}
                asked = {name: moments[name] for name in question.compile().params}
                with _classified():
                    result = await self._connection.execute(question, asked)
                self._answers[question, window_seconds] = result.all()
            return self._answers[question, window_seconds]

    def _in_buckets(self, states: Mapping[str | None, int]) -> Counter[str]:
        """Add up the states; one that Tasker does not have leaves no true report."""
        buckets = self._questions.buckets
        if strange := states.keys() - buckets.keys():
            raise SourceError(Reason.FAILED) from ValueError(f"task states {strange}")
        tasks: Counter[str] = Counter()
        for state, bucket in buckets.items():
            tasks[bucket] += states.get(state, 0)
        return tasks


@contextmanager
def _classified() -> Iterator[None]:
    """Turn what the vendors raise into our error; drivers let bare ``OSError`` through."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise SourceError(reason_of(error)) from error


# One table tells a generation. The catalogue itself is asked, because it answers a role
# without any privilege; the engine's tables are wherever the search path finds them.
_POSTGRES_STANDING: Final = text(
    """
    SELECT CASE relname WHEN 'tasker_tasks' THEN 'engine' ELSE 'core' END
    FROM pg_catalog.pg_class
    JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'tasker_tasks' AND pg_catalog.pg_table_is_visible(pg_class.oid)
        OR relname = 'tasks' AND nspname = 'tasker'
    """
)
_SQLITE_STANDING: Final = text("SELECT 'engine' FROM sqlite_master WHERE name = 'tasker_tasks'")


async def _standing(connection: AsyncConnection) -> frozenset[Generation]:
    sqlite = connection.dialect.name == "sqlite"
    found = await connection.execute(_SQLITE_STANDING if sqlite else _POSTGRES_STANDING)
    return frozenset(Generation(name) for name in found.scalars())


def _chosen(standing: Collection[Generation], told: Generation | None) -> Generation:
    if not standing:
        raise SourceError(Reason.PENDING)
    if told is not None:
        if told not in standing:
            raise SourceError(Reason.MISMATCH)
        return told
    if len(standing) > 1:
        raise SourceError(Reason.AMBIGUOUS)
    (only,) = standing
    return only


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _naive(moment: datetime) -> datetime:
    """Write a moment as PostgreSQL's columns hold it: in UTC, without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _text(moment: datetime) -> str:
    """Write a moment as SQLite's columns hold it, all of one width."""
    return _naive(moment).isoformat(sep=" ", timespec="microseconds")


def _aware(moment: datetime | int | None) -> datetime | None:
    """Read a moment as a statement tells it: on SQLite, in microseconds since 1970."""
    if isinstance(moment, int):
        return _EPOCH + timedelta(microseconds=moment)
    return None if moment is None else moment.replace(tzinfo=UTC)


def _mean(total: Any, count: int, unit: int = 1) -> float | None:
    return float(total) / count / unit if count else None


if TYPE_CHECKING:
    _view: type[TaskerView] = SqlTaskerView
    _: type[Tasker] = SqlTasker
