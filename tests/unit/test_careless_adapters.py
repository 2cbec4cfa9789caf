"""The published contracts find what a careless adapter gets wrong, and say what is missing."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


_CARELESS = {
    "a cache that forgets what it was given": (
        "StatusCacheContract",
        """
        @pytest.fixture
        def cache(self):
            class Forgets:
                async def get(self): return None
                async def put(self, report, keep_seconds): pass
            return Forgets()
        """,
        "test_what_was_put_comes_back_exactly",
    ),
    "a cache that rounds times": (
        "StatusCacheContract",
        """
        @pytest.fixture
        def cache(self):
            class Rounds:
                report = None
                async def get(self): return self.report
                async def put(self, report, keep_seconds):
                    at = report.snapshot.at.replace(microsecond=0)
                    snapshot = attrs.evolve(report.snapshot, at=at)
                    self.report = attrs.evolve(report, snapshot=snapshot)
            return Rounds()
        """,
        "test_what_was_put_comes_back_exactly",
    ),
    "a cache that keeps the first": (
        "StatusCacheContract",
        """
        @pytest.fixture
        def cache(self):
            class First:
                report = None
                async def get(self): return self.report
                async def put(self, report, keep_seconds): self.report = self.report or report
            return First()
        """,
        "test_the_latest_replaces_any_other",
    ),
    "a cache whose handles are strangers": (
        "StatusCacheContract",
        """
        @pytest.fixture
        def cache(self):
            return InMemoryStatusCache(ManualClock())
        @pytest.fixture
        def other_cache(self):
            return InMemoryStatusCache(ManualClock())
        """,
        "test_every_handle_sees_the_same",
    ),
    "a store that lets everybody have the claim": (
        "IncidentStoreContract",
        """
        @pytest.fixture
        def store(self):
            class Careless(InMemoryIncidentStore):
                async def claim(self, holder, seconds): return True
            return Careless(ManualClock())
        """,
        "test_one_holder_at_a_time",
    ),
    "a store without a fence": (
        "IncidentStoreContract",
        """
        @pytest.fixture
        def store(self):
            class Careless(InMemoryIncidentStore):
                async def save(self, holder, incidents):
                    self._incidents = tuple(incidents)
                    return True
            return Careless(ManualClock())
        """,
        "test_who_never_had_it_saves_nothing",
    ),
    "a store that releases for anybody": (
        "IncidentStoreContract",
        """
        @pytest.fixture
        def store(self):
            class Careless(InMemoryIncidentStore):
                async def release(self, holder): self._holder = None
            return Careless(ManualClock())
        """,
        "test_nobody_gives_up_what_another_holds",
    ),
    "a store that forgets who was told": (
        "IncidentStoreContract",
        """
        @pytest.fixture
        def store(self):
            class Careless(InMemoryIncidentStore):
                async def load(self):
                    return [attrs.evolve(one, told=frozenset()) for one in self._incidents]
            return Careless(ManualClock())
        """,
        "test_what_was_saved_comes_back_exactly",
    ),
    "an authenticator that takes strangers for somebody": (
        "AuthenticatorContract",
        """
        @pytest.fixture
        def authenticator(self):
            class Welcomes:
                async def authenticate(self, credentials): return Principal(name="guest")
            return Welcomes()
        """,
        "test_no_credentials_are_nobody",
    ),
    "an authenticator that takes a bad token for none": (
        "RecognisingAuthenticatorContract",
        """
        @pytest.fixture
        def authenticator(self):
            class Shrugs:
                async def authenticate(self, credentials):
                    return Principal(name="a") if credentials.headers.get("t") == "1" else None
            return Shrugs()
        @pytest.fixture
        def good_credentials(self): return Credentials(headers={"t": "1"})
        @pytest.fixture
        def bad_credentials(self): return Credentials(headers={"t": "2"})
        """,
        "test_bad_credentials_are_refused",
    ),
    "a coordinator that takes any truth for a grant": (
        "CoordinatorContract",
        """
        @pytest.fixture
        def coordinator(self):
            class Truthy:
                async def is_authorized(self, user, permission):
                    return bool(user.has_tasker_permission(str(permission)))
            return Truthy()
        """,
        "test_only_true_grants",
    ),
    "a coordinator that compares loosely": (
        "CoordinatorContract",
        """
        @pytest.fixture
        def coordinator(self):
            class Loose:
                async def is_authorized(self, user, permission):
                    held = getattr(user, "permissions", ())
                    return any(permission.action == one.action for one in held)
            return Loose()
        """,
        "test_a_permission_is_exactly_itself",
    ),
    "a coordinator class that lets everybody in": (
        "CoordinatorClassContract",
        """
        @pytest.fixture
        def coordinator_class(self):
            class Open(BaseCoordinator):
                def is_authorized(self, resource, action, context): return True
            return Open
        """,
        "test_who_may_not_is_told_so",
    ),
    "a coordinator class that remembers the last user": (
        "CoordinatorClassContract",
        """
        @pytest.fixture
        def coordinator_class(self):
            class Shared(BaseCoordinator):
                def __init__(self, user):
                    super().__init__(user)
                    Shared.last = user
                async def is_authorized(self, resource, action, context):
                    await asyncio.sleep(0)
                    return Shared.last.has_tasker_permission(f"{resource}:{action}")
            return Shared
        """,
        "test_concurrent_callers_are_told_apart",
    ),
    "a clock without a zone": (
        "ClockContract",
        """
        @pytest.fixture
        def clock(self):
            class Naive:
                def now(self): return datetime(2025, 1, 1)
                def monotonic(self): return 0.0
            return Naive()
        """,
        "test_the_wall_clock_is_aware_and_in_utc",
    ),
    "a journal that chokes on text": (
        "JournalContract",
        """
        @pytest.fixture
        def journal(self):
            class Chokes:
                lines = []
                def record(self, changed):
                    self.lines.append(str(attrs.astuple(changed)))
                    changed.detail.encode()
            return Chokes()
        @pytest.fixture
        def written(self, journal): return lambda: "".join(journal.lines)
        """,
        "test_no_words_of_a_vendor_break_it",
    ),
    "a probe that calls an outage empty": (
        "DatabaseProbeContract",
        """
        @pytest.fixture
        def probe(self): return InMemoryDatabaseProbe()
        @pytest.fixture
        def empty(self): return InMemoryDatabaseProbe(
            DatabaseFacts(round_trip_ms=0, found=frozenset(), generation=None))
        @pytest.fixture
        def unreachable(self, empty): return empty
        """,
        "test_what_cannot_be_reached_is_said",
    ),
    "a tasker that reads the server's own clock": (
        "TaskerContract",
        """
        @pytest.fixture
        def holding(self):
            class Now(InMemoryTasker):
                def view(self, at): return super().view(AT)
            @asynccontextmanager
            async def hold(world): yield Now(world)
            return hold
        """,
        "test_everything_is_measured_against_the_views_own_moment",
    ),
}

_HEAD = """
import asyncio
from contextlib import asynccontextmanager
from datetime import datetime
import attrs
import pytest
from tasker_health.adapters.memory.cache import InMemoryStatusCache
from tasker_health.adapters.memory.incidents import InMemoryIncidentStore
from tasker_health.adapters.memory.probe import InMemoryDatabaseProbe
from tasker_health.adapters.memory.tasker import InMemoryTasker
from tasker_health.domain.coordination import BaseCoordinator
from tasker_health.domain.database import DatabaseFacts
from tasker_health.domain.permissions import Credentials, Principal
from tasker_health.testing.contracts import {suite}
from tasker_health.testing.doubles import ManualClock
from tasker_health.testing.worlds import AT

class TestCareless({suite}):
"""


@pytest.mark.parametrize(("suite", "fixtures", "promise"), _CARELESS.values(), ids=_CARELESS.keys())
def test_a_careless_adapter_fails(
    pytester: pytest.Pytester, suite: str, fixtures: str, promise: str
) -> None:
    """Each way of breaking a promise is found by the test that states it."""
    pytester.makepyfile(_HEAD.format(suite=suite) + fixtures)
    result = pytester.runpytest_inprocess("-k", promise, "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    assert outcomes.get("failed", 0) >= 1
    assert "errors" not in outcomes


def test_a_forgotten_fixture_is_named(pytester: pytest.Pytester) -> None:
    """Who subclasses a suite and overrides nothing is told what to override."""
    pytester.makepyfile(_HEAD.format(suite="ClockContract") + "    pass\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*TestCareless must override the fixture 'clock'*"])


_TO_OVERRIDE = [
    ("AuthenticatorContract", "authenticator"),
    ("RecognisingAuthenticatorContract", "good_credentials"),
    ("RecognisingAuthenticatorContract", "bad_credentials"),
    ("ClockContract", "clock"),
    ("CoordinatorContract", "coordinator"),
    ("CoordinatorClassContract", "coordinator_class"),
    ("DatabaseProbeContract", "probe"),
    ("DatabaseProbeContract", "empty"),
    ("DatabaseProbeContract", "unreachable"),
    ("IncidentStoreContract", "store"),
    ("JournalContract", "journal"),
    ("JournalContract", "written"),
    ("StatusCacheContract", "cache"),
    ("StoredStatusCacheContract", "plant"),
    ("StoredStatusCacheContract", "stored"),
    ("TaskerContract", "holding"),
    ("TaskerContract", "unreachable"),
]


@pytest.mark.parametrize(("suite", "fixture"), _TO_OVERRIDE)
def test_each_fixture_to_override_says_so(
    pytester: pytest.Pytester, suite: str, fixture: str
) -> None:
    """Whichever fixture a subclass has forgotten is the one that it is told of."""
    needs = {"written": "journal", "plant": "cache", "stored": "cache"}.get(fixture)
    given = f"    @pytest.fixture\n    def {needs}(self): return None\n" if needs else ""
    asking = f"    def test_asking(self, {fixture}): pass\n"
    pytester.makepyfile(_HEAD.format(suite=suite) + given + asking)
    result = pytester.runpytest_inprocess("-k", "test_asking", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines([f"*TestCareless must override the fixture '{fixture}'*"])


def test_a_failing_promise_shows_its_values(pytester: pytest.Pytester) -> None:
    """A failure reads like one in the user's own module: with the values that differ."""
    pytester.makepyfile(
        _HEAD.format(suite="ClockContract") + _CARELESS["a clock without a zone"][1]
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*assert None == datetime.timedelta(0)*"])
