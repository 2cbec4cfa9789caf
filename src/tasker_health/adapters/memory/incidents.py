"""A memory of incidents in this process: it is the whole fleet, and forgets when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasker_health.domain.alerting import Incident
    from tasker_health.domain.ports import Clock, IncidentStore

__all__ = ["InMemoryIncidentStore"]


class InMemoryIncidentStore:
    """Keeps what was saved, and who may save.

    Args:
        clock: its monotonic side tells when a claim is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._holder: str | None = None
        self._until = float("-inf")
        self._incidents: tuple[Incident, ...] = ()

    async def claim(self, holder: str, seconds: float) -> bool:
        """Be, or stay, the holder, unless another one is."""
        now = self._clock.monotonic()
        if self._holder not in (None, holder) and now < self._until:
            return False
        self._holder, self._until = holder, now + seconds
        return True

    async def release(self, holder: str) -> None:
        """Give the claim up, if it is this holder's."""
        if self._holder == holder:
            self._holder = None

    async def load(self) -> Sequence[Incident]:
        """Give back what was saved last."""
        return self._incidents

    async def save(self, holder: str, incidents: Sequence[Incident]) -> bool:
        """Keep these, if the holder has the claim."""
        if self._holder != holder or self._clock.monotonic() >= self._until:
            return False
        self._incidents = tuple(incidents)
        return True


if TYPE_CHECKING:
    _: type[IncidentStore] = InMemoryIncidentStore
