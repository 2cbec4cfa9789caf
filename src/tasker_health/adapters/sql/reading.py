"""Running the catalogue's statements: one dialect's rows into one :class:`Catalogue`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from tasker_health.adapters.sql.catalogue import (
    LISTS,
    POSTGRES_COLUMNS,
    POSTGRES_LISTS,
    POSTGRES_STATE,
    SQLITE_COLUMNS,
    SQLITE_STATE,
    Catalogue,
    Column,
    migrations_statement,
    wanted,
)
from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["read_catalogue", "read_writable"]

_POSTGRES_STATE: Final = text(POSTGRES_STATE)
_SQLITE_STATE: Final = text(SQLITE_STATE)
_POSTGRES_COLUMNS: Final = text(POSTGRES_COLUMNS)
_GENERATIONS: Final = {table: generation for generation, table in LISTS.items()}


async def read_writable(connection: AsyncConnection) -> bool:
    """Ask whether the database takes writes; one round trip."""
    if connection.dialect.name == "sqlite":
        (file,) = (await connection.execute(_SQLITE_STATE)).one()
        return os.access(file, os.W_OK)
    (writable,) = (await connection.execute(_POSTGRES_STATE)).one()
    return bool(writable)


async def read_catalogue(connection: AsyncConnection) -> Catalogue:
    """Ask what stands in the database."""
    if connection.dialect.name == "sqlite":
        return await _sqlite(connection)
    return await _postgres(connection)


async def _postgres(connection: AsyncConnection) -> Catalogue:
    generations, tables, columns = (list(part) for part in zip(*wanted(), strict=True))
    rows = await connection.execute(
        _POSTGRES_COLUMNS, {"generations": generations, "tables": tables, "columns": columns}
    )
    found = tuple(Column(*row) for row in rows)
    lists = (await connection.execute(text(POSTGRES_LISTS))).all()
    places = {_GENERATIONS[table]: (schema, readable) for table, schema, readable in lists}
    versions = {
        generation: await _versions(connection, generation, schema)
        for generation, (schema, readable) in places.items()
        if readable
    }
    return Catalogue(
        columns=found,
        lists_unreadable=frozenset(places.keys() - versions.keys()),
        versions=versions,
    )


async def _sqlite(connection: AsyncConnection) -> Catalogue:
    standing: dict[str, set[str]] = {}
    for table, column in await connection.execute(text(SQLITE_COLUMNS)):
        standing.setdefault(table, set()).add(column)
    found = tuple(
        Column(
            generation,
            table,
            column,
            table_stands=table in standing,
            stands=column in standing.get(table, ()),
            readable=True,
        )
        for generation, table, column in wanted()
        if generation == Generation.ENGINE
    )
    listed = LISTS[Generation.ENGINE] in standing
    versions = {Generation.ENGINE: await _versions(connection, Generation.ENGINE)} if listed else {}
    return Catalogue(columns=found, versions=versions)


async def _versions(
    connection: AsyncConnection, generation: Generation, schema: str = ""
) -> tuple[tuple[str, bool], ...]:
    rows = await connection.execute(text(migrations_statement(generation, schema)))
    return tuple((str(version), bool(good)) for version, good in rows)
