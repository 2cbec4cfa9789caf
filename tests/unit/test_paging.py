"""Who tells of an incident, in which order, and what a death at any moment leaves behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from tests.unit.test_alerting import AT, seen

from tasker_health.adapters.memory.incidents import InMemoryIncidentStore
from tasker_health.domain.alerting import AlertRule, AlertSettings, Incident, Phase
from tasker_health.domain.errors import CacheError, DeliveryError
from tasker_health.domain.paging import Paging, incident_key
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Finding, Rule, Verdict
from tasker_health.testing.contracts import IncidentStoreContract
from tasker_health.testing.doubles import ManualClock, RecordingJournal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tasker_health.domain.observing import Observation
    from tasker_health.domain.ports import IncidentStore

pytestmark = pytest.mark.anyio

SETTINGS: Final = AlertSettings(
    alert_trigger_reports=1, alert_clear_reports=1, alert_interval_seconds=10
)
LEASE_SECONDS: Final = 31.0
KEY: Final = "tasker-health/0123/failure_rate"


class TestInMemoryIncidentStore(IncidentStoreContract):
    """The store in memory keeps every promise."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """Give a clock to move by hand."""
        return ManualClock()

    @pytest.fixture
    def store(self, clock: ManualClock) -> IncidentStore:
        """Give an empty store."""
        return InMemoryIncidentStore(clock)

    @pytest.fixture
    def pass_time(self, clock: ManualClock) -> Callable[[float], Awaitable[None]]:
        """Let time pass on its clock."""

        async def advance(seconds: float) -> None:
            clock.advance(seconds)

        return advance


class KilledError(Exception):
    """The process ended here."""


class Receiver:
    """Takes what it is told, unless it is told to refuse."""

    def __init__(self, name: str = "pagerduty") -> None:
        self.name: Final = name
        self.told: Final[list[tuple[Phase, int]]] = []
        self.refusal: DeliveryError | None = None
        self.attempts = 0
        self.dies = False

    async def notify(self, incident: Incident) -> None:
        """Take it; or refuse; or take it and never say so."""
        self.attempts += 1
        if self.refusal is not None:
            raise self.refusal
        self.told.append((incident.phase, incident.revision))
        assert incident.key == KEY
        if self.dies:
            raise KilledError


class Broken(InMemoryIncidentStore):
    """A store that can be made silent."""

    silent = False

    async def claim(self, holder: str, seconds: float) -> bool:
        """Claim, or say nothing."""
        self._answer()
        return await super().claim(holder, seconds)

    async def save(self, holder: str, incidents: Sequence[Incident]) -> bool:
        """Save, or say nothing."""
        self._answer()
        return await super().save(holder, incidents)

    def _answer(self) -> None:
        if self.silent:
            raise CacheError(Reason.TIMEOUT)


class Fleet:
    """Processes that watch one Tasker, a store that they share, and time."""

    def __init__(self) -> None:
        self.clock: Final = ManualClock()
        self.journal: Final = RecordingJournal()
        self.store = Broken(self.clock)
        self.reports = 0

    def process(self, holder: str, *receivers: Receiver, **settings: Any) -> Paging:
        """Start one."""
        return Paging(
            receivers,
            self.store,
            fingerprint="0123",
            holder=holder,
            clock=self.clock,
            journal=self.journal,
            settings=attrs.evolve(SETTINGS, **settings),
        )

    def report(self, failed: int) -> Observation:
        """Measure anew: so many of a hundred failed."""
        self.reports += 1
        return seen(failed, 100 - failed, at=AT + timedelta(seconds=self.reports))


BAD, GOOD = 50, 0
TRIGGERED, RESOLVED = (Phase.TRIGGERED, 1), (Phase.RESOLVED, 2)


async def test_an_incident_is_told_once_and_its_end_once() -> None:
    """However often it is looked at, a receiver hears of each phase once, and so does the log."""
    fleet, receiver = Fleet(), Receiver()
    paging = fleet.process("one", receiver)
    for failed in (GOOD, BAD, BAD, BAD, GOOD, GOOD):
        await paging.look(fleet.report(failed))
    assert receiver.told == [TRIGGERED, RESOLVED]
    noted = [(one.before, one.after) for one in fleet.journal.about("alert:failure_rate")]
    assert noted == [("", "triggered"), ("triggered", "ok")]
    assert "50.0% of 100 tasks" in fleet.journal.changes[0].detail


async def test_one_of_a_fleet_tells() -> None:
    """Three processes see the same; the receiver hears of it from one."""
    fleet, receiver = Fleet(), Receiver()
    processes = [fleet.process(name, receiver) for name in ("one", "two", "three")]
    for failed in (BAD, BAD, GOOD, GOOD):
        observation = fleet.report(failed)
        for paging in processes:
            await paging.look(observation)
    assert receiver.told == [TRIGGERED, RESOLVED]


async def test_what_is_not_ours_is_not_told() -> None:
    """Whoever writes into the store cannot have a receiver close what another program opened."""
    fleet, receiver = Fleet(), Receiver()
    await fleet.process("one", Receiver()).look(fleet.report(BAD))
    (ours,) = await fleet.store.load()
    forged = attrs.evolve(ours, key="checkout/db-down", phase=Phase.RESOLVED, told=frozenset())
    assert await fleet.store.save("one", (forged,))
    fleet.clock.advance(LEASE_SECONDS)
    await fleet.process("two", receiver).look(fleet.report(GOOD))
    assert receiver.told == []


async def test_a_successor_goes_on_where_the_sender_died() -> None:
    """It closes what it never opened, and opens nothing anew; having watched, it is not late."""
    fleet, receiver = Fleet(), Receiver()
    one = fleet.process("one", receiver, alert_clear_reports=2)
    two = fleet.process("two", receiver, alert_clear_reports=2)
    await one.look(fleet.report(BAD))
    await two.look(fleet.report(BAD))
    fleet.clock.advance(LEASE_SECONDS - 1)
    await two.look(fleet.report(GOOD))
    assert (receiver.told, fleet.store._holder) == ([TRIGGERED], "one")
    fleet.clock.advance(1)
    await two.look(fleet.report(GOOD))
    assert receiver.told == [TRIGGERED, RESOLVED]


async def test_who_ends_in_order_is_followed_at_once() -> None:
    """A process that is closed leaves the claim to another."""
    fleet, receiver = Fleet(), Receiver()
    one, two = fleet.process("one", receiver), fleet.process("two", receiver)
    await one.look(fleet.report(GOOD))
    await two.look(fleet.report(BAD))
    assert receiver.told == []
    await one.aclose()
    await two.look(fleet.report(BAD))
    assert receiver.told == [TRIGGERED]


async def test_a_death_before_telling_loses_nothing() -> None:
    """What was remembered and not told is told by the successor."""
    fleet, receiver, away = Fleet(), Receiver(), Receiver()
    away.refusal = DeliveryError("pagerduty", "gave no answer")
    with pytest.raises(DeliveryError):
        await fleet.process("one", away).look(fleet.report(BAD))
    fleet.clock.advance(LEASE_SECONDS)
    await fleet.process("two", receiver).look(fleet.report(BAD))
    assert receiver.told == [TRIGGERED]


async def test_a_death_after_telling_tells_again_under_the_same_key() -> None:
    """Taken, and not remembered: told once more, as the same phase of the same incident."""
    fleet, receiver = Fleet(), Receiver()
    receiver.dies = True
    with pytest.raises(KilledError):
        await fleet.process("one", receiver).look(fleet.report(BAD))
    receiver.dies = False
    fleet.clock.advance(LEASE_SECONDS)
    await fleet.process("two", receiver).look(fleet.report(BAD))
    assert receiver.told == [TRIGGERED, TRIGGERED]


async def test_what_is_over_before_it_was_told_is_closed_all_the_same() -> None:
    """A trigger may have arrived whose taker died: the successor closes it."""
    fleet, receiver, away = Fleet(), Receiver(), Receiver()
    away.refusal = DeliveryError("pagerduty", "gave no answer")
    with pytest.raises(DeliveryError):
        await fleet.process("one", away).look(fleet.report(BAD))
    fleet.clock.advance(LEASE_SECONDS)
    await fleet.process("two", receiver).look(fleet.report(GOOD))
    assert receiver.told == [RESOLVED]


async def test_who_lost_the_claim_meanwhile_tells_nobody() -> None:
    """The new phase is remembered before anybody is told; who may not, does not."""
    fleet, receiver = Fleet(), Receiver()
    one = fleet.process("one", receiver)

    class Stolen(Broken):
        async def load(self) -> Sequence[Incident]:
            fleet.clock.advance(LEASE_SECONDS)  # frozen right after it had claimed
            await InMemoryIncidentStore.claim(self, "two", 100)
            return await super().load()

    one._store = Stolen(fleet.clock)
    await one.look(fleet.report(BAD))
    assert receiver.told == []
    assert fleet.journal.changes == []


async def test_receivers_are_told_apart() -> None:
    """One that refuses keeps no other waiting, and is told later of the same."""
    fleet, pager, webhook = Fleet(), Receiver(), Receiver("webhook")
    webhook.refusal = DeliveryError("webhook", "answered 500")
    paging = fleet.process("one", pager, webhook)
    with pytest.raises(DeliveryError, match="webhook answered 500"):
        await paging.look(fleet.report(BAD))
    assert (pager.told, webhook.told) == ([TRIGGERED], [])
    webhook.refusal = None
    await paging.look(fleet.report(BAD))
    assert (pager.told, webhook.told) == ([TRIGGERED], [TRIGGERED])


async def test_what_was_refused_is_not_sent_again_before_its_time() -> None:
    """The look still fails, without asking; a new phase may be sent at once."""
    fleet, receiver = Fleet(), Receiver()
    receiver.refusal = DeliveryError("pagerduty", "answered 429", 60.0)
    paging = fleet.process("one", receiver)
    for _ in range(3):
        with pytest.raises(DeliveryError, match="answered 429"):
            await paging.look(fleet.report(BAD))
        fleet.clock.advance(20)
    assert receiver.attempts == 1
    receiver.refusal = None
    await paging.look(fleet.report(BAD))
    assert receiver.told == [TRIGGERED]


async def test_a_next_phase_is_sent_whatever_was_refused_before() -> None:
    """A refusal for good is one of that phase alone."""
    fleet, receiver = Fleet(), Receiver()
    receiver.refusal = DeliveryError("pagerduty", "answered 400", float("inf"))
    paging = fleet.process("one", receiver)
    with pytest.raises(DeliveryError):
        await paging.look(fleet.report(BAD))
    receiver.refusal = None
    with pytest.raises(DeliveryError):
        await paging.look(fleet.report(BAD))
    await paging.look(fleet.report(GOOD))
    assert receiver.told == [RESOLVED]


class Slow(Receiver):
    """Takes its time, or for ever."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(name)
        self._seconds = seconds

    async def notify(self, incident: Incident) -> None:
        """Take it, some time later."""
        await asyncio.sleep(self._seconds)
        await super().notify(incident)


async def test_a_receiver_that_hangs_is_given_up_in_time() -> None:
    """Telling takes a part of a look; there is time left to remember who took it."""
    fleet, slow = Fleet(), Slow("pagerduty", 0.6)
    paging = fleet.process("one", Slow("webhook", 600), slow, alert_interval_seconds=2)
    async with asyncio.timeout(2):
        with pytest.raises(DeliveryError, match="webhook did not answer in time"):
            await paging.look(fleet.report(BAD))
    assert slow.told == [TRIGGERED]
    (stored,) = await fleet.store.load()
    assert stored.told == {"pagerduty"}


async def test_a_refusal_interrupts_nobody() -> None:
    """A receiver that is still being told when another refuses is told to the end."""
    fleet, refusing, slow = Fleet(), Receiver("webhook"), Slow("pagerduty", 0.05)
    refusing.refusal = DeliveryError("webhook", "answered 500")
    with pytest.raises(DeliveryError):
        await fleet.process("one", refusing, slow).look(fleet.report(BAD))
    assert slow.told == [TRIGGERED]


async def test_it_is_a_watcher_with_the_settings_pace() -> None:
    """By the name that its troubles bear in the log."""
    paging = Fleet().process("one", Receiver())
    assert (paging.name, paging.interval_seconds) == ("alerts", 10)


async def test_closing_waits_for_no_store() -> None:
    """A store that hangs, or fails, keeps no process from its end."""
    fleet = Fleet()
    paging = fleet.process("one", Receiver())

    class Hanging(Broken):
        async def release(self, _: str) -> None:
            self._answer()
            await asyncio.Event().wait()

    store = Hanging(fleet.clock)
    paging._store = store
    async with asyncio.timeout(1.9):
        await paging.aclose()
    store.silent = True
    await paging.aclose()


async def test_a_silent_store_is_done_without_after_a_while() -> None:
    """Nobody's claim holds any more: each tells for itself, and the silence stays told."""
    fleet, receiver = Fleet(), Receiver()
    paging = fleet.process("one", receiver)
    fleet.store.silent = True
    for _ in range(2):
        with pytest.raises(CacheError):
            await paging.look(fleet.report(BAD))
        assert receiver.told == []
        fleet.clock.advance(LEASE_SECONDS / 2)
    with pytest.raises(CacheError):
        await paging.look(fleet.report(BAD))
    assert receiver.told == [TRIGGERED]
    fleet.store.silent = False
    await paging.look(fleet.report(BAD))
    assert receiver.told == [TRIGGERED]
    (stored,) = await fleet.store.load()
    assert (stored.phase, stored.told) == (Phase.TRIGGERED, frozenset({"pagerduty"}))
    await paging.look(fleet.report(GOOD))
    assert receiver.told == [TRIGGERED, RESOLVED]


async def test_a_store_that_fails_in_between_is_no_decision() -> None:
    """What could not be remembered is told to nobody, and decided anew."""
    fleet, receiver = Fleet(), Receiver()
    paging = fleet.process("one", receiver)

    class Half(Broken):
        async def save(self, holder: str, incidents: Sequence[Incident]) -> bool:
            if self.silent:
                raise CacheError(Reason.TIMEOUT)
            return await super().save(holder, incidents)

        async def claim(self, holder: str, seconds: float) -> bool:
            return await InMemoryIncidentStore.claim(self, holder, seconds)

    store = Half(fleet.clock)
    store.silent = True
    paging._store = store
    with pytest.raises(CacheError):
        await paging.look(fleet.report(BAD))
    assert receiver.told == []
    store.silent = False
    await paging.look(fleet.report(BAD))
    assert receiver.told == [TRIGGERED]


async def test_a_store_that_lost_everything_is_given_it_back() -> None:
    """An open incident is not forgotten with the cache: its end is told."""
    fleet, receiver = Fleet(), Receiver()
    paging = fleet.process("one", receiver)
    await paging.look(fleet.report(BAD))
    fleet.store = Broken(fleet.clock)
    paging._store = fleet.store
    await paging.look(fleet.report(BAD))
    (stored,) = await fleet.store.load()
    assert stored.told == {"pagerduty"}
    await paging.look(fleet.report(GOOD))
    assert receiver.told == [TRIGGERED, RESOLVED]


async def test_nothing_known_ends_nothing() -> None:
    """While there is no fresh report an open incident stays open."""
    fleet, receiver = Fleet(), Receiver()
    paging = fleet.process("one", receiver)
    await paging.look(fleet.report(BAD))
    for failed in (BAD, GOOD):
        await paging.look(seen(failed, 100 - failed, stale=True, at=AT + timedelta(hours=1)))
    assert receiver.told == [TRIGGERED]


async def test_the_verdict_pages_beside_the_rate() -> None:
    """Each rule has an incident of its own, by its own key."""
    fleet = Fleet()
    keys: list[str] = []

    class Keys(Receiver):
        async def notify(self, incident: Incident) -> None:
            keys.append(incident.key)

    paging = fleet.process("one", Keys(), alert_on_unhealthy=True)
    finding = Finding(
        rule=Rule.STALLED,
        severity=Verdict.UNHEALTHY,
        observed=400,
        threshold=300,
        since=AT,
        look_at="the workers",
    )
    await paging.look(seen(50, 50, findings=(finding,)))
    assert sorted(keys) == [incident_key("0123", rule) for rule in sorted(AlertRule)]
    assert len(await fleet.store.load()) == 2


def test_a_key_has_no_severity_and_no_time_in_it() -> None:
    """It is the same for every incident of one rule of one Tasker."""
    assert incident_key("0123", AlertRule.FAILURE_RATE) == KEY
    assert incident_key("4567", AlertRule.FAILURE_RATE) != KEY
