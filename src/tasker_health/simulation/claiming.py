"""Making Tasker's tables where nothing else stands, and knowing them again.

Every table that a demo makes carries a comment that says so. A database with any table,
view or foreign table that lacks it belongs to somebody, and is left exactly as it is.
What an extension brought along counts as nobody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from tasker_health.domain.errors import ConfigurationError
from tasker_health.simulation.schema import ddl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tasker_health.domain.database import Generation

__all__ = ["MARK", "SETTING", "claim", "reserve"]

SETTING: Final = "--database-url"
"""What the user writes to name the database."""

MARK: Final = "made by tasker-health demo"
"""The comment on each table that a demo made."""

_NAMED: Final = 3

_STANDING: Final = text(
    """
    SELECT format('%I.%I', namespace.nspname, class.relname) AS name,
           coalesce(obj_description(class.oid, 'pg_class') = :mark, false) AS marked
    FROM pg_catalog.pg_class class
    JOIN pg_catalog.pg_namespace namespace ON namespace.oid = class.relnamespace
    WHERE class.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND namespace.nspname <> 'information_schema'
      AND left(namespace.nspname, 3) <> 'pg_'
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend depend
          WHERE depend.objid = class.oid
            AND depend.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
            AND depend.deptype = 'e'
      )
    ORDER BY 1
    """
).bindparams(mark=MARK)

# Any number will do that nobody else picks: these are the ASCII codes of "tskdemo".
_RESERVE: Final = text("SELECT pg_try_advisory_lock(32778002381499759)")


async def reserve(connection: AsyncConnection) -> None:
    """Keep other demos away for as long as the connection lasts. Writes nothing.

    Raises:
        ConfigurationError: another one is at work there.
    """
    if not (await connection.execute(_RESERVE)).scalar():
        raise ConfigurationError(
            SETTING, "a database that another demo is at work in", "one that none is at work in"
        )


async def claim(connection: AsyncConnection, generation: Generation) -> None:
    """Make the generation's tables, in place of those that an earlier demo made.

    Args:
        connection: in a transaction on PostgreSQL, which the caller commits.
        generation: whose tables.

    Raises:
        ConfigurationError: tables stand there that no demo made; nothing was changed.
    """
    earlier = await _standing(connection)
    if foreign := [table.name for table in earlier if not table.marked]:
        raise _occupied(foreign)
    if earlier:
        await connection.exec_driver_sql(f"DROP TABLE {', '.join(row.name for row in earlier)}")
    for statement in ddl(generation):
        await connection.exec_driver_sql(statement)
    for table in await _standing(connection):
        await connection.exec_driver_sql(f"COMMENT ON TABLE {table.name} IS '{MARK}'")


async def _standing(connection: AsyncConnection) -> Sequence[Row[tuple[str, bool]]]:
    return (await connection.execute(_STANDING)).all()


def _occupied(tables: Sequence[str]) -> ConfigurationError:
    more = f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else ""
    return ConfigurationError(
        SETTING,
        f"a database that holds {', '.join(tables[:_NAMED])}{more}",
        "an empty PostgreSQL database, or one that holds nothing but what a demo made;"
        " nothing was touched",
    )
