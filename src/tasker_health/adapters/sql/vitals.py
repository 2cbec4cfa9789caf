"""How the database server itself is: its round trip, and who holds its connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from tasker_health.domain.status import Vitals

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["measure_vitals"]

_TRIVIAL: Final = text("SELECT 1")

# A role that is no superuser and no member of pg_read_all_stats sees every session, but of
# other roles' sessions only who and where: no kind. Of those, the ones that belong to a
# role and a database are clients; the server's own workers lack one or the other, but for
# parallel workers and workers of extensions, which so count as clients for a plain role.
_CONNECTIONS: Final = text(
    """
    SELECT
        count(*) FILTER (
            WHERE backend_type = 'client backend'
                OR backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL
        ) AS clients,
        CAST(current_setting('max_connections') AS integer)
            - CAST(current_setting('superuser_reserved_connections') AS integer)
            - coalesce(CAST(current_setting('reserved_connections', true) AS integer), 0) AS allowed
    FROM pg_stat_activity
    """
)


async def measure_vitals(connection: AsyncConnection) -> Vitals:
    """Time one trivial statement, then count; SQLite has no connections to count."""
    started = time.monotonic()
    await connection.execute(_TRIVIAL)
    round_trip_ms = (time.monotonic() - started) * 1000
    if connection.dialect.name == "sqlite":
        return Vitals(round_trip_ms=round_trip_ms)
    row = (await connection.execute(_CONNECTIONS)).one()
    return Vitals(
        round_trip_ms=round_trip_ms,
        client_connections=row.clients,
        connections_allowed=row.allowed,
    )
