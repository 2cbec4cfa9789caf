"""The façade that an embedder holds: three questions, each a use case of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tasker_health.domain.access import Access
from tasker_health.domain.checks import HealthCheck
from tasker_health.domain.coordination import coordinator_of
from tasker_health.domain.database import DATABASE_CHECKS, judge
from tasker_health.domain.measuring import Measurer
from tasker_health.domain.metering import Unmetered
from tasker_health.domain.observing import Observation
from tasker_health.domain.permissions import ANONYMOUS, METRICS_INDEX, STATUS_INDEX
from tasker_health.domain.readiness import LivenessReport, Readiness, selected
from tasker_health.domain.reporting import StatusReporter
from tasker_health.domain.settings import Settings
from tasker_health.domain.sharing import SharedReports
from tasker_health.domain.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Self

    from tasker_health.domain.checks import CheckResult
    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.permissions import Credentials
    from tasker_health.domain.ports import (
        Authenticator,
        Clock,
        Coordinator,
        DatabaseProbe,
        Journal,
        Meter,
        StatusCache,
        Tasker,
        Watcher,
    )
    from tasker_health.domain.readiness import ReadinessReport
    from tasker_health.domain.status import StatusAnswer

__all__ = ["CHECKS", "HealthService"]

_CACHE: Final = "cache"
CHECKS: Final = (*DATABASE_CHECKS, _CACHE)
"""What readiness asks about by itself; an embedder's checks come after."""


class HealthService:
    """Health of one Tasker.

    Belongs to one event loop. It opens nothing and so closes no client: whoever opened
    them does, after :meth:`aclose`.

    Args:
        tasker: where Tasker keeps its state.
        probe: readiness' own way to the database, apart from the status path's.
        clock: wall and monotonic time.
        journal: where transitions are written down.
        authenticator: tells who asks for the status.
        coordinator: tells who may; an instance, or a subclass of BaseCoordinator itself.
        checks: what readiness asks besides the database and the cache.
        cache: shared with other processes; None to reuse reports in this one alone.
        settings: the guide's options.
        meter: counts how answers come about; None for nobody.
        watchers: who is told how things are, from :meth:`start` on.

    Raises:
        ConfigurationError: the coordinator is neither.
    """

    def __init__(  # noqa: PLR0913  the ports, by name
        self,
        *,
        tasker: Tasker,
        probe: DatabaseProbe,
        clock: Clock,
        journal: Journal,
        authenticator: Authenticator,
        coordinator: Coordinator | type[BaseCoordinator],
        checks: Sequence[HealthCheck] = (),
        cache: StatusCache | None = None,
        settings: Settings | None = None,
        meter: Meter | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        settings = settings or Settings()
        self.settings: Final = settings
        self.journal: Final = journal
        self._clock = clock
        self._meter: Final = meter or Unmetered()
        self._access: Final = Access(
            authenticator, coordinator_of(coordinator), journal=journal, settings=settings
        )
        shared = (
            SharedReports(cache, journal=journal, settings=settings.health)
            if cache is not None
            else None
        )
        self._reporter: Final = StatusReporter(
            Measurer(tasker, clock=clock, journal=journal, settings=settings, meter=meter),
            shared,
            clock=clock,
            settings=settings.health,
            meter=meter,
        )
        self._readiness: Final = Readiness(
            (
                _database_check(probe, self._access, settings),
                *((_cache_check(shared),) if shared is not None else ()),
                *checks,
            ),
            clock=clock,
            journal=journal,
            settings=settings.health,
            meter=meter,
        )
        self._watching: Final = Watching(
            watchers,
            partial(self._observe, settings.health.status_timeout_seconds),
            journal=journal,
        )

    @property
    def status_is_open(self) -> bool:
        """Whether everybody may see the status, so that shared caches may keep it."""
        return self._access.open

    @property
    def challenges(self) -> tuple[str, ...]:
        """What credentials are understood, each a value of ``WWW-Authenticate``."""
        return self._access.challenges

    def live(self) -> LivenessReport:
        """Tell that this process answers. Touches nothing but a clock."""
        return LivenessReport(at=self._clock.now())

    async def ready(self) -> ReadinessReport:
        """Tell whether this instance can take traffic, within the readiness budget."""
        return await self._readiness.report()

    @property
    def checks(self) -> Sequence[str]:
        """What readiness asks about, by name and in the order of the document."""
        return self._readiness.names

    async def ready_in_detail(
        self,
        credentials: Credentials = ANONYMOUS,
        *,
        only: str | None = None,
        exclude: Collection[str] = (),
    ) -> ReadinessReport:
        """Tell the same, of the checks that the caller picks, to those who may see the status.

        A view of the report that :meth:`ready` shares with everybody: however it is asked
        for, no check runs once more.

        Args:
            credentials: who asks.
            only: the one check to look at; None for all.
            exclude: checks to leave out.

        Raises:
            AccessError: the caller may not; decided before a check is asked or named.
            CheckSelectionError: there is no such check, or none would be left.
        """
        await self._access.require(STATUS_INDEX, credentials)
        names = selected(self.checks, only=only, exclude=exclude)
        return (await self._readiness.report()).narrowed(names)

    async def status(self, credentials: Credentials = ANONYMOUS) -> StatusAnswer:
        """Tell how Tasker is, to those who may know.

        Raises:
            AccessError: the caller may not; decided before any report is looked at.
            StatusUnavailableError: there is no report, not even a stale one.
        """
        await self._access.require(STATUS_INDEX, credentials)
        return await self._reporter.answer()

    async def metrics(self, credentials: Credentials = ANONYMOUS) -> Observation:
        """Tell what is known, to those who may see the metrics; no check is run for it.

        It waits for a first report no longer than a status with an old one does, and has
        none rather than an error.

        Raises:
            AccessError: the caller may not; decided before any report is looked at.
        """
        await self._access.require(METRICS_INDEX, credentials)
        return await self._observe(self.settings.health.status_patience_seconds)

    async def _observe(self, patience_seconds: float) -> Observation:
        status = await self._reporter.glance(patience_seconds=patience_seconds)
        return Observation(
            at=self._clock.now(),
            status=status,
            readiness=self._readiness.last,
            counts=self._meter.counts(),
        )

    def start(self) -> None:
        """Begin to tell the watchers, on the running event loop; they end with the service."""
        self._watching.start()

    def drain(self) -> None:
        """Answer ``not ready: draining`` from now on; live and status go on."""
        self._readiness.drain()

    async def aclose(self) -> None:
        """End what is under way in the background."""
        await self._watching.aclose()
        await self._readiness.aclose()
        await self._reporter.aclose()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _database_check(probe: DatabaseProbe, access: Access, settings: Settings) -> HealthCheck:
    async def ask() -> Sequence[CheckResult]:
        return judge(await probe.observe(), settings.database, access.problem)

    return HealthCheck(names=DATABASE_CHECKS, probe=ask)


def _cache_check(shared: SharedReports) -> HealthCheck:
    """Tell how the cache did when it was last used; never critical, no I/O of its own."""

    async def ask() -> Sequence[CheckResult]:
        return (shared.check(),)

    return HealthCheck(names=(_CACHE,), probe=ask, critical=False)
