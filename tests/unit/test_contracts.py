"""The published contracts: the shipped adapters in memory pass."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import pytest

from tasker_health.adapters.auth import AnonymousAuthenticator, PermissionCoordinator
from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.adapters.memory.probe import InMemoryDatabaseProbe
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.adapters.memory.world import World
from tasker_health.adapters.meter import CountingMeter
from tasker_health.domain.database import DatabaseFacts, Generation
from tasker_health.domain.errors import InvalidCredentialsError, SourceError
from tasker_health.domain.metering import Unmetered
from tasker_health.domain.permissions import Credentials, Principal
from tasker_health.domain.reasons import Reason
from tasker_health.testing import contracts
from tasker_health.testing.contracts import (
    AuthenticatorContract,
    ClockContract,
    CoordinatorClassContract,
    CoordinatorContract,
    DatabaseProbeContract,
    JournalContract,
    MeterContract,
    RecognisingAuthenticatorContract,
    StatusCacheContract,
    TaskerContract,
)
from tasker_health.testing.doubles import ManualClock, RecordingJournal, RecordingMeter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from tasker_health.domain.coordination import BaseCoordinator
    from tasker_health.domain.permissions import Permission
    from tasker_health.domain.ports import (
        Authenticator,
        Clock,
        Coordinator,
        DatabaseProbe,
        Journal,
        Meter,
        StatusCache,
        Tasker,
        User,
    )


class TestInMemoryTaskerOfTheEngine(TaskerContract):
    """The engine's world in memory."""

    generation = Generation.ENGINE

    @pytest.fixture
    def holding(self) -> Callable[[World], AbstractAsyncContextManager[Tasker]]:
        """Put the world behind the adapter, as it is."""

        @asynccontextmanager
        async def hold(world: World) -> AsyncIterator[Tasker]:
            yield InMemoryTasker(world)

        return hold

    @pytest.fixture
    def unreachable(self) -> Tasker:
        """Break the adapter."""
        tasker = InMemoryTasker(World(generation=self.generation))
        tasker.failure = SourceError(Reason.REFUSED)
        return tasker


class TestInMemoryTaskerOfTheCore(TestInMemoryTaskerOfTheEngine):
    """The core's world in memory."""

    generation = Generation.CORE


class TestInMemoryDatabaseProbe(DatabaseProbeContract):
    """A database that answers from memory."""

    generation = Generation.CORE

    @pytest.fixture
    def probe(self) -> DatabaseProbe:
        """Tell that all is well."""
        return InMemoryDatabaseProbe(
            DatabaseFacts(
                round_trip_ms=1.5,
                found=frozenset({Generation.CORE}),
                generation=Generation.CORE,
            )
        )

    @pytest.fixture
    def empty(self) -> DatabaseProbe:
        """Tell that nothing stands there."""
        return InMemoryDatabaseProbe(
            DatabaseFacts(round_trip_ms=1.5, found=frozenset(), generation=None)
        )

    @pytest.fixture
    def unreachable(self) -> DatabaseProbe:
        """Break the adapter."""
        probe = InMemoryDatabaseProbe()
        probe.failure = SourceError(Reason.TIMEOUT)
        return probe


class TestInMemoryStatusCache(StatusCacheContract):
    """The cache of one process, whose clock a test moves."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Hold time still."""
        return ManualClock()

    @pytest.fixture
    def cache(self, clock: ManualClock) -> StatusCache:
        """Make an empty cache."""
        return InMemoryStatusCache(clock)

    @pytest.fixture
    def pass_time(self, clock: ManualClock) -> Callable[[float], Awaitable[None]]:
        """Move the clock by exactly so much."""

        async def advance(seconds: float) -> None:
            clock.advance(seconds)

        return advance


class TestAnonymousAuthenticator(AuthenticatorContract):
    """The authenticator that knows nobody."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """Make one."""
        return AnonymousAuthenticator()


class _TokenAuthenticator:
    """Knows one token."""

    async def authenticate(self, credentials: Credentials) -> User | None:
        """Look at the header."""
        token = credentials.headers.get("authorization")
        if token is None:
            return None
        if token != "Bearer good":
            raise InvalidCredentialsError
        return Principal(name="alice")


class TestTokenAuthenticator(RecognisingAuthenticatorContract):
    """An authenticator of the kind that users write."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """Make one."""
        return _TokenAuthenticator()

    @pytest.fixture
    def good_credentials(self) -> Credentials:
        """Bring the one token."""
        return Credentials(headers={"authorization": "Bearer good"})

    @pytest.fixture
    def bad_credentials(self) -> Credentials:
        """Bring another."""
        return Credentials(headers={"authorization": "Bearer bad"})


class TestPermissionCoordinator(CoordinatorClassContract):
    """The shipped coordinator."""

    @pytest.fixture
    def coordinator_class(self) -> type[BaseCoordinator]:
        """Give the class."""
        return PermissionCoordinator


class _AskingCoordinator:
    """A coordinator that keeps the port's promise by itself."""

    async def is_authorized(self, user: User, permission: Permission) -> object:
        """Ask the user alone; admins are nobody special."""
        return user.has_tasker_permission(str(permission))


class TestAskingCoordinator(CoordinatorContract):
    """A coordinator of the kind that users inject."""

    admits_admins = False

    @pytest.fixture
    def coordinator(self) -> Coordinator:
        """Make one."""
        return _AskingCoordinator()


class TestSystemClock(ClockContract):
    """The machine's clocks."""

    @pytest.fixture
    def clock(self) -> Clock:
        """Make one."""
        return SystemClock()


class TestManualClock(ClockContract):
    """The clock that a test moves."""

    @pytest.fixture
    def clock(self) -> Clock:
        """Make one."""
        return ManualClock()


class TestRecordingJournal(JournalContract):
    """The journal that a test reads."""

    @pytest.fixture
    def journal(self) -> RecordingJournal:
        """Make one."""
        return RecordingJournal()

    @pytest.fixture
    def written(self, journal: Journal) -> Callable[[], str]:
        """Read what it kept."""
        assert isinstance(journal, RecordingJournal)
        return lambda: "\n".join(str(attrs.astuple(changed)) for changed in journal.changes)


class TestCountingMeter(MeterContract):
    """The meter whose counts a scraper reads."""

    @pytest.fixture
    def meter(self) -> Meter:
        """Make one of several processes."""
        return CountingMeter(["database"], processes=2)


class TestRecordingMeter(MeterContract):
    """The meter that a test reads."""

    keeps_counts = False

    @pytest.fixture
    def meter(self) -> Meter:
        """Make one."""
        return RecordingMeter()


class TestUnmetered(MeterContract):
    """The meter of whoever wants none."""

    keeps_counts = False

    @pytest.fixture
    def meter(self) -> Meter:
        """Make one."""
        return Unmetered()


def test_every_suite_is_published() -> None:
    """The names that users subclass are these."""
    assert contracts.__all__ == [
        "AuthenticatorContract",
        "ClockContract",
        "CoordinatorClassContract",
        "CoordinatorContract",
        "DatabaseProbeContract",
        "IncidentStoreContract",
        "JournalContract",
        "MeterContract",
        "RecognisingAuthenticatorContract",
        "StatusCacheContract",
        "StoredStatusCacheContract",
        "TaskerContract",
    ]
