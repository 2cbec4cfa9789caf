"""What the domain needs from outside, as promises.

An adapter keeps a promise or raises the error that the promise names; any other exception
that escapes it is treated as a failure with no better word. Every coroutine may be
cancelled at any await and must then let go of what it holds. Contract suites for all of
them are published in :mod:`tasker_health.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from tasker_health.domain.alerting import Incident
    from tasker_health.domain.database import DatabaseFacts
    from tasker_health.domain.events import Changed
    from tasker_health.domain.metering import Counts, StatusSource
    from tasker_health.domain.observing import Observation
    from tasker_health.domain.permissions import Credentials, Permission
    from tasker_health.domain.readiness import ReadinessReport
    from tasker_health.domain.reasons import Reason
    from tasker_health.domain.status import (
        Activity,
        PerformanceMetrics,
        StatusReport,
        SystemHealth,
        Vitals,
    )

__all__ = [
    "Authenticator",
    "Clock",
    "Coordinator",
    "DatabaseProbe",
    "IncidentStore",
    "Journal",
    "Meter",
    "Notifier",
    "StatusCache",
    "Tasker",
    "TaskerView",
    "User",
    "Watcher",
]


class Clock(Protocol):
    """Two clocks: one to tell people, one to measure with."""

    def now(self) -> datetime:
        """The wall clock: aware, in UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment. It never goes back."""
        ...


class TaskerView(Protocol):
    """Tasker at one moment: everything read from one view belongs together.

    Each method raises :class:`~tasker_health.domain.errors.SourceError` when the facts
    cannot be had. Each fact is as of the view's ``at``.
    """

    async def counts(self) -> SystemHealth:
        """Count all tasks by state, and the steps that wait for a retry."""
        ...

    async def performance(self, window_seconds: float) -> PerformanceMetrics:
        """Look back over (at - window, at]."""
        ...

    async def activity(self, window_seconds: float) -> Activity:
        """Tell what is ready, when anything last moved, and what ended in (at - window, at]."""
        ...

    async def vitals(self) -> Vitals:
        """Tell how the server is that Tasker's state lives on."""
        ...


class Tasker(Protocol):
    """Where Tasker keeps its state. Read only: nothing here ever writes to its tables."""

    def view(self, at: datetime) -> AbstractAsyncContextManager[TaskerView]:
        """Open one consistent view.

        Args:
            at: the moment that ages and windows are measured against, aware UTC. What
                counts as *later* than it is left out as the values of the view say.

        Raises:
            SourceError: on entering, when the state cannot be reached or is not there.
        """
        ...


class DatabaseProbe(Protocol):
    """The readiness probe's own way to the database, apart from the status path's."""

    async def observe(self) -> DatabaseFacts:
        """Ask the database how it is: at most one round trip in the steady state.

        Catalogue facts may be up to 60 s old as long as they were good. At most one
        connection attempt is under way at a time, and it goes on in the background when
        this call is cancelled.

        Raises:
            SourceError: it did not answer, and why.
        """
        ...


class StatusCache(Protocol):
    """One report, shared by every process that watches the same Tasker."""

    async def get(self) -> StatusReport | None:
        """Give back what was put, exactly; None when there is nothing, or nothing readable.

        What cannot be read is a miss, is removed, and never runs as code.

        Raises:
            CacheError: the cache did not answer. One attempt, no retry.
        """
        ...

    async def put(self, report: StatusReport, keep_seconds: float) -> None:
        """Keep the report for ``keep_seconds``, > 0, in place of any other.

        Raises:
            CacheError: the cache did not take it. One attempt, no retry.
        """
        ...


class User(Protocol):
    """Somebody who was recognised. Only ``True`` grants; both answers may be awaitable.

    ``tasker_admin`` may be a method as well.
    """

    @property
    def tasker_admin(self) -> object:
        """``True`` for those who may everything."""
        ...

    def has_tasker_permission(self, permission: str) -> object | Awaitable[object]:
        """``True`` when the user holds exactly this ``resource:action``."""
        ...


class Authenticator(Protocol):
    """Tells who is asking."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Recognise the caller; None when no credentials were given.

        Raises:
            InvalidCredentialsError: credentials were given and they are not good.
        """
        ...


class Coordinator(Protocol):
    """Tells who may what."""

    async def is_authorized(self, user: User, permission: Permission) -> object:
        """Answer ``True`` to grant; anything else, an exception included, denies."""
        ...


class Journal(Protocol):
    """Where transitions are written down."""

    def record(self, changed: Changed) -> None:
        """Note that something changed. Returns at once and raises nothing."""
        ...


class Meter(Protocol):
    """Counts how answers come about. Each method returns at once and raises nothing."""

    def assessed(self, report: ReadinessReport, seconds: float) -> None:
        """Note that the readiness checks ran; not called where a result is reused."""
        ...

    def measured(self, seconds: float, failure: Reason | None) -> None:
        """Note that Tasker was measured, or could not be, and how long that took."""
        ...

    def answered(self, source: StatusSource) -> None:
        """Note where the answer to one request for the status came from."""
        ...

    def joined(self) -> None:
        """Note that a request shared a measurement that was under way."""
        ...

    def counts(self) -> Counts | None:
        """Tell what was counted; None of a meter that keeps nothing itself."""
        ...


class Watcher(Protocol):
    """Somebody who is told how things are, without anybody asking: a sink, an alert."""

    @property
    def name(self) -> str:
        """What it is called in the log."""
        ...

    @property
    def interval_seconds(self) -> float:
        """How long from the end of one look to the next, > 0; also the bound of a look."""
        ...

    async def look(self, observation: Observation) -> None:
        """Take what is known. Any exception says that this look came to nothing."""
        ...


class Notifier(Protocol):
    """Somebody who is told of incidents: a pager, a receiver of webhooks."""

    @property
    def name(self) -> str:
        """What it is called, in the log and among those who were told; always the same."""
        ...

    async def notify(self, incident: Incident) -> None:
        """Tell of the incident's phase. When this returns, the receiver has taken it.

        Told twice of the same, a receiver can know by the incident's key and revision.

        Raises:
            DeliveryError: the receiver did not take it, and when to try again.
        """
        ...


class IncidentStore(Protocol):
    """What all processes that watch one Tasker remember of its incidents.

    Each method makes one attempt and raises
    :class:`~tasker_health.domain.errors.CacheError` when the store did not answer.
    """

    async def claim(self, holder: str, seconds: float) -> bool:
        """Be, or stay, the one who tells; for so many seconds from now, > 0.

        At most one holder has the claim at any moment, by one clock for all.
        """
        ...

    async def release(self, holder: str) -> None:
        """Give the claim up, if it is this holder's, so that another can have it at once."""
        ...

    async def load(self) -> Sequence[Incident]:
        """Give back what was saved last, exactly; nothing where nothing readable is."""
        ...

    async def save(self, holder: str, incidents: Sequence[Incident]) -> bool:
        """Remember these in place of all others, if the holder has the claim, in one step.

        Returns:
            Whether it had; if not, nothing was changed.
        """
        ...
