"""A database that answers readiness out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasker_health.domain.database import DatabaseFacts, Generation

if TYPE_CHECKING:
    from tasker_health.domain.ports import DatabaseProbe

__all__ = ["InMemoryDatabaseProbe"]

_ALL_WELL: Final = DatabaseFacts(
    round_trip_ms=0.0, found=frozenset({Generation.ENGINE}), generation=Generation.ENGINE
)


class InMemoryDatabaseProbe:
    """Tells what it was told.

    Args:
        facts: what is observed; a good engine database unless told.

    Attributes:
        facts: the same; may be set at any time.
        failure: raised in place of the facts, while it is set.
        observations: how often the database was asked.
    """

    def __init__(self, facts: DatabaseFacts = _ALL_WELL) -> None:
        self.facts = facts
        self.failure: Exception | None = None
        self.observations = 0

    async def observe(self) -> DatabaseFacts:
        """Give the facts, or raise the failure."""
        self.observations += 1
        if self.failure is not None:
            raise self.failure
        return self.facts


if TYPE_CHECKING:
    _: type[DatabaseProbe] = InMemoryDatabaseProbe
