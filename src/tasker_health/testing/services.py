"""A whole service in memory, with everything around it in the test's hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasker_health.adapters.auth import HostUserAuthenticator, PermissionCoordinator
from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.adapters.memory.probe import InMemoryDatabaseProbe
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import World
from tasker_health.domain.database import Generation
from tasker_health.domain.service import HealthService
from tasker_health.entrypoints.asgi import HealthApp
from tasker_health.testing.asking import ask
from tasker_health.testing.doubles import ManualClock, RecordingJournal, RecordingMeter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasker_health.domain.checks import HealthCheck
    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.ports import Authenticator, Coordinator, Meter, Watcher
    from tasker_health.domain.settings import Settings
    from tasker_health.testing.asking import Answer

__all__ = ["InMemoryHealth"]


class InMemoryHealth:
    """A service over memory, and all that it is made of.

    Args:
        world: what Tasker keeps; an empty engine unless told.
        settings: the guide's options.
        authenticator: tells who asks; unless told, whom a host application found.
        coordinator: tells who may; the shipped one unless told.
        checks: what readiness asks besides the database and the cache.
        watchers: who is told how things are, once the service is started.
        meter: counts how answers come about, in place of the one that records it.

    Attributes:
        service: the service.
        app: its endpoints, as an ASGI application.
        world, tasker, probe, cache, clock, journal, meter: its surroundings; set ``failure`` on
            tasker or probe to break them, and ``advance`` the clock to let time pass.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        settings: Settings | None = None,
        authenticator: Authenticator | None = None,
        coordinator: Coordinator | type[BaseCoordinator] | None = None,
        checks: Sequence[HealthCheck] = (),
        watchers: Sequence[Watcher] = (),
        meter: Meter | None = None,
    ) -> None:
        self.world: Final = world or World(generation=Generation.ENGINE)
        self.clock: Final = ManualClock()
        self.journal: Final = RecordingJournal()
        self.meter: Final = RecordingMeter()
        self.tasker: Final = InMemoryTasker(self.world)
        self.probe: Final = InMemoryDatabaseProbe()
        self.cache: Final = InMemoryStatusCache(self.clock)
        self.service: Final = HealthService(
            tasker=self.tasker,
            probe=self.probe,
            clock=self.clock,
            journal=self.journal,
            authenticator=authenticator or HostUserAuthenticator(),
            coordinator=coordinator or PermissionCoordinator,
            checks=checks,
            cache=self.cache,
            settings=settings,
            meter=meter or self.meter,
            watchers=watchers,
        )
        self.app: Final = HealthApp(self.service)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask its endpoints once, as a caller does."""
        return await ask(self.app, path, headers=headers or {})
