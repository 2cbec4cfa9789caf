"""Telling the receivers of incidents: by one process of a fleet, and in an order that is safe.

Every process reads every report, so that whoever takes over has seen what led there. The
one that holds the claim decides, and then::

    remember the new phase, as told to nobody ──► tell each receiver ──► remember each that took it

So a sender may die at any moment: before the first step its successor decides anew; between
the second and the third the receiver is told once more, under the same key; after that,
nobody is. A phase that is over before it could be told gives way to the next, which is
harmless: a receiver that was never told of an incident has nothing to close.

A store that loses what it held is given it back by whoever remembers. One that has not
answered for longer than a claim lasts is done without: then each process tells for itself,
under the same key, for an alert must not hang on a cache.

What is decided, and when, is ``alerting.py``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.alerting import (
    AlertRule,
    AlertSettings,
    Incident,
    Phase,
    Reading,
    Streak,
    decide,
    merged,
    read,
)
from tasker_health.domain.deadline import within
from tasker_health.domain.errors import CacheError, DeadlineError, DeliveryError
from tasker_health.domain.events import Changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasker_health.domain.observing import Observation
    from tasker_health.domain.ports import Clock, IncidentStore, Journal, Notifier, Watcher

__all__ = ["Paging", "incident_key"]

_LEASES: Final = 3.0
"""How many looks a claim lasts: one that takes its whole time, the pause after it, and some."""

_LEASE_MARGIN_SECONDS: Final = 1.0
_TELLING_SHARE: Final = 0.6
"""The part of a look that telling may take, so that there is time left to remember it."""

_RELEASE_SECONDS: Final = 1.0


def incident_key(fingerprint: str, rule: str) -> str:
    """Give what receivers fold repetitions by: the same wherever this Tasker is watched.

    Args:
        fingerprint: which Tasker it is.
        rule: what the incident is about; no severity, which may change within an incident.
    """
    return f"tasker-health/{fingerprint}/{rule}"


@attrs.frozen
class _Refusal:
    """What a receiver did not take, and until when it is not sent again."""

    revision: int
    until: float
    error: DeliveryError

    def holds(self, incident: Incident, now: float) -> bool:
        return self.revision == incident.revision and now < self.until


class Paging:
    """A watcher that opens and closes incidents and tells of them.

    Args:
        notifiers: who is told, each with a name of its own.
        store: what the fleet remembers.
        fingerprint: which Tasker it is.
        holder: this process, by a name that no other has.
        clock: its monotonic side tells when to send again.
        journal: where an incident that opens or closes is written down, by its sender.
        settings: when that is.
    """

    name: Final = "alerts"

    def __init__(
        self,
        notifiers: Sequence[Notifier],
        store: IncidentStore,
        *,
        fingerprint: str,
        holder: str,
        clock: Clock,
        journal: Journal,
        settings: AlertSettings,
    ) -> None:
        self._notifiers: Final = tuple(notifiers)
        self._store = store
        self._keys: Final = {rule: incident_key(fingerprint, rule) for rule in settings.rules}
        self._holder: Final = holder
        self._clock = clock
        self._journal = journal
        self._settings = settings
        interval = settings.alert_interval_seconds
        self._lease_seconds: Final = _LEASES * interval + _LEASE_MARGIN_SECONDS
        self._telling_seconds: Final = _TELLING_SHARE * interval
        self._streaks = dict.fromkeys(settings.rules, Streak())
        self._incidents: dict[AlertRule, Incident] = {}
        self._stored: dict[AlertRule, Incident] = {}
        self._refusals: dict[tuple[str, AlertRule], _Refusal] = {}
        self._silent_since: float | None = None
        self._keeping: Final = asyncio.Lock()

    @property
    def interval_seconds(self) -> float:
        """How long from the end of one look to the next."""
        return self._settings.alert_interval_seconds

    async def look(self, observation: Observation) -> None:
        """Read the report; where it is ours to tell, decide and tell.

        Raises:
            CacheError: the store did not answer.
            DeliveryError: a receiver did not take what it was told.
        """
        readings = self._read(observation)
        try:
            leads = await self._consult()
        except CacheError:
            if self._is_cut_off():
                await self._act(readings)
            raise
        if leads:
            await self._act(readings)

    async def aclose(self) -> None:
        """Let another process have the claim."""
        with suppress(CacheError, DeadlineError):
            await within(_RELEASE_SECONDS, self._store.release(self._holder))

    def _read(self, observation: Observation) -> dict[AlertRule, Reading | None]:
        """Read every rule, and go on with its streak; so does who tells nobody."""
        readings = {rule: read(rule, observation, self._settings) for rule in self._keys}
        for rule, reading in readings.items():
            self._streaks[rule] = self._streaks[rule].after(reading)
        return readings

    async def _consult(self) -> bool:
        """Learn what the fleet remembers; gives whether the claim is ours."""
        leads = await self._store.claim(self._holder, self._lease_seconds)
        # A key that is not ours would have receivers close what somebody else opened.
        self._stored = {
            incident.rule: incident
            for incident in await self._store.load()
            if incident.key == self._keys.get(incident.rule)
        }
        self._silent_since = None
        for rule, incident in self._stored.items():
            self._incidents[rule] = merged(self._incidents.get(rule), incident)
        return leads

    def _is_cut_off(self) -> bool:
        """Tell whether the store has been silent for so long that nobody's claim holds."""
        now = self._clock.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        return now - self._silent_since >= self._lease_seconds

    async def _act(self, readings: Mapping[AlertRule, Reading | None]) -> None:
        decided = dict(self._incidents)
        for rule, reading in readings.items():
            incident = decide(
                decided.get(rule), self._streaks[rule], reading, self._settings, self._keys[rule]
            )
            if incident is not None:
                decided[rule] = incident
        if decided != self._stored and not await self._keep(decided):
            return  # the claim was lost meanwhile, and with it the right to decide
        self._note(decided)
        self._incidents = decided
        await self._tell_all()

    async def _keep(self, incidents: Mapping[AlertRule, Incident]) -> bool:
        """Have the fleet remember them; gives whether the claim is still ours."""
        try:
            return await self._store.save(self._holder, tuple(incidents.values()))
        except CacheError:
            if self._silent_since is None:
                raise
            return True  # cut off: our own memory has to do

    async def _tell_all(self) -> None:
        untold = [
            self._tell(notifier, incident)
            for incident in self._incidents.values()
            for notifier in self._notifiers
            if notifier.name not in incident.told
        ]
        for outcome in await asyncio.gather(*untold, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _tell(self, notifier: Notifier, incident: Incident) -> None:
        place = notifier.name, incident.rule
        refusal = self._refusals.get(place)
        if refusal is not None and refusal.holds(incident, self._clock.monotonic()):
            raise attrs.evolve(refusal.error)
        try:
            await within(self._telling_seconds, notifier.notify(incident))
        except DeadlineError:
            raise DeliveryError(notifier.name, "did not answer in time") from None
        except DeliveryError as error:
            until = self._clock.monotonic() + error.again_in_seconds
            self._refusals[place] = _Refusal(incident.revision, until, error)
            raise
        async with self._keeping:  # or a later memory could be stored before an earlier one
            self._incidents[incident.rule] = self._incidents[incident.rule].taken_by(notifier.name)
            await self._keep(self._incidents)

    def _note(self, decided: Mapping[AlertRule, Incident]) -> None:
        for rule, incident in decided.items():
            before = self._incidents.get(rule)
            if before is None or before.phase is not incident.phase:
                self._journal.record(
                    Changed(
                        subject=f"alert:{rule}",
                        before=_WORDS[before.phase] if before else "",
                        after=_WORDS[incident.phase],
                        detail=incident.summary,
                    )
                )


_WORDS: Final = {Phase.TRIGGERED: "triggered", Phase.RESOLVED: "ok"}

if TYPE_CHECKING:
    _: type[Watcher] = Paging
