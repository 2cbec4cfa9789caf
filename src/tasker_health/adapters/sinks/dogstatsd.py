"""The guide's four gauges to a Datadog agent, by DogStatsD over UDP or a Unix socket.

Only what is known is sent: a number that is ``None`` is left out, and so is a whole report
that is stale, so that Datadog shows a gap and not yesterday's numbers as today's.

Sockets never block, and the client is used without its threads and without telemetry of
its own. Over UDP nobody can tell whether an agent listens, so nothing is said of it; a Unix
socket that is not there or is full is a failure of this look, which nobody waits for. Tags
that Datadog's own variables name (``DD_ENV``, ``DD_SERVICE``, ``DD_VERSION``,
``DD_ENTITY_ID``, ``DATADOG_TAGS``) are added to ours by the client.

Source: guide, *Datadog Integration*; Datadog, *DogStatsD datagram format*.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from datadog.dogstatsd.base import UNIX_ADDRESS_DATAGRAM_SCHEME, DogStatsd

from tasker_health.domain.errors import DeadlineError, DeliveryError
from tasker_health.domain.flight import Flight

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasker_health.adapters.sinks.places import AgentAddress
    from tasker_health.domain.observing import Observation
    from tasker_health.domain.ports import Watcher
    from tasker_health.domain.status import Snapshot

__all__ = ["DogStatsdWatcher"]

_ATTEMPTS: Final = 2
"""The first may find that the agent was started anew; the second then is on a new socket."""

_RESOLVE_SECONDS: Final = 2.0


class DogStatsdWatcher:
    """Sends four gauges, in one datagram.

    Args:
        agent: where it listens.
        interval_seconds: how often.
        tags: added to each gauge, as in ``team:billing``.
    """

    name: Final = "dogstatsd"

    def __init__(
        self, agent: AgentAddress, *, interval_seconds: float, tags: Iterable[str] = ()
    ) -> None:
        self._agent: Final = agent
        self._interval_seconds: Final = interval_seconds
        self._resolving: Final = Flight[str]()
        self._client: Final = DogStatsd(
            host=agent.host or None,
            port=agent.port or None,
            socket_path=f"{UNIX_ADDRESS_DATAGRAM_SCHEME}{agent.path}" if agent.path else None,
            constant_tags=sorted(tags),
            disable_telemetry=True,
            disable_buffering=True,  # or a thread flushes; a batch is made by hand
            disable_aggregation=True,
            disable_background_sender=True,
            socket_timeout=0,
            track_instance=False,
        )

    @property
    def interval_seconds(self) -> float:
        """How long from the end of one look to the next."""
        return self._interval_seconds

    async def look(self, observation: Observation) -> None:
        """Send what the report says, if it is fresh.

        Raises:
            DeliveryError: the agent cannot be found, or took nothing.
        """
        answer = observation.status
        if answer is None or answer.stale:
            return
        gauges = _gauges(answer.report.snapshot)
        if self._agent.host:
            await self._locate()
        sent = any(self._send(gauges) for _ in range(_ATTEMPTS))
        if not sent and self._agent.path:
            raise DeliveryError(self.name, "is not there, or takes nothing more")

    async def aclose(self) -> None:
        """Close the socket."""
        await self._resolving.aclose()
        self._client.close_socket()

    async def _locate(self) -> None:
        """Find the agent's address, away from the event loop; an old one will do."""
        try:
            found = await self._resolving.join(self._resolve, patience_seconds=_RESOLVE_SECONDS)
        except (OSError, DeadlineError, UnicodeError):
            if _is_address(str(self._client.host)):
                return
            raise DeliveryError(self.name, "has a host name that does not resolve") from None
        if found != self._client.host:
            self._client.close_socket()
            self._client.host = found

    async def _resolve(self) -> str:
        host, port = self._agent.host, self._agent.port
        if _is_address(host):
            return host
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        # An agent listens on IPv4 unless told otherwise.
        found.sort(key=lambda one: one[0] != socket.AF_INET)
        return str(found[0][4][0])

    def _send(self, gauges: dict[str, int]) -> bool:
        client = self._client
        client.open_buffer()
        try:
            for name, value in gauges.items():
                client.gauge(name, value)
            return client.flush()
        finally:
            client.close_buffer()


def _gauges(snapshot: Snapshot) -> dict[str, int]:
    """Give the guide's gauges, by its names and with its document's numbers."""
    counts = snapshot.system_health
    average = snapshot.performance.avg_task_completion_time_ms
    gauges = {
        "tasker.tasks.total": counts.total_tasks,
        "tasker.tasks.pending": counts.pending_tasks,
        "tasker.tasks.failed": counts.failed_tasks,
    }
    if average is not None:
        gauges["tasker.performance.avg_completion_time"] = round(average)
    return gauges


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


if TYPE_CHECKING:
    _: type[Watcher] = DogStatsdWatcher
