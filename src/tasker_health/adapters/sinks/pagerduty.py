"""PagerDuty's Events API v2: one event opens an incident there, one closes it.

Repetitions are folded there by the incident's key. Only 202 says that an event was taken;
one that was refused is never sent again, for its receiver will not think otherwise.

Source: guide, *PagerDuty Integration*; PagerDuty, *Events API v2*.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from tasker_health.adapters.sinks.delivering import deliver
from tasker_health.formats.alerts import pagerduty_event

if TYPE_CHECKING:
    from tasker_health.adapters.sinks.posting import Answer, Poster
    from tasker_health.domain.alerting import Incident
    from tasker_health.domain.ports import Notifier
    from tasker_health.domain.secret import Secret

__all__ = ["PagerDutyNotifier"]

_TAKEN: Final = frozenset({202})
_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}


class PagerDutyNotifier:
    """Tells one integration of one service.

    Args:
        poster: to the Events API; whoever opened it closes it.
        routing_key: of the integration.
        source: which Tasker it is, as people call it.
        patience_seconds: for how long to try at one time.
    """

    def __init__(
        self, poster: Poster, routing_key: Secret[str], *, source: str, patience_seconds: float
    ) -> None:
        self._poster = poster
        self._routing_key = routing_key
        self._source = source
        self._patience_seconds = patience_seconds

    @property
    def name(self) -> str:
        """What it is called."""
        return self._poster.receiver

    async def notify(self, incident: Incident) -> None:
        """Send the event of the incident's phase.

        Raises:
            DeliveryError: it was not taken.
        """
        await self.send(incident)

    async def send(self, incident: Incident) -> Answer:
        """Do the same, and give what came back."""
        event = pagerduty_event(
            incident, routing_key=self._routing_key.reveal(), source=self._source
        )
        return await deliver(
            self._poster,
            event,
            lambda: _HEADERS,
            taken=_TAKEN,
            patience_seconds=self._patience_seconds,
            refused_again_in_seconds=math.inf,
        )


if TYPE_CHECKING:
    _: type[Notifier] = PagerDutyNotifier
