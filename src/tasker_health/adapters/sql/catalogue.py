"""What must stand in the database for us to read it, and the statements that find out.

The catalogue is read without a look at the tables themselves, so that no lock on them and
no lack of a privilege can get in the way. Versions of migrations are the one exception:
their lists are read, where they stand and may be.

Source: database facts, *Generation 1* and *Generation 2*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.database import DatabaseFacts, Generation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasker_health.domain.database import DatabaseExpectations

__all__ = [
    "LISTS",
    "POSTGRES_COLUMNS",
    "POSTGRES_LISTS",
    "POSTGRES_STATE",
    "REQUIRED",
    "SQLITE_COLUMNS",
    "SQLITE_STATE",
    "Catalogue",
    "Column",
    "migrations_statement",
    "wanted",
]

REQUIRED: Final[Mapping[Generation, Mapping[str, tuple[str, ...]]]] = {
    Generation.ENGINE: {
        "tasker_tasks": ("task_id", "complete", "created_at"),
        "tasker_task_transitions": ("task_id", "to_state", "most_recent", "created_at"),
        "tasker_workflow_steps": (
            *("workflow_step_id", "task_id", "retryable", "retry_limit", "in_process"),
            *("processed", "attempts", "last_attempted_at", "backoff_request_seconds"),
            "created_at",
        ),
        "tasker_workflow_step_transitions": (
            *("workflow_step_id", "to_state", "most_recent", "created_at"),
        ),
        "tasker_workflow_step_edges": ("from_step_id", "to_step_id"),
    },
    Generation.CORE: {
        "tasks": ("task_uuid", "complete", "created_at"),
        "task_transitions": ("task_uuid", "to_state", "most_recent", "created_at"),
        "workflow_steps": (
            *("workflow_step_uuid", "task_uuid", "retryable", "max_attempts", "in_process"),
            *("processed", "attempts", "last_attempted_at", "backoff_request_seconds"),
            "created_at",
        ),
        "workflow_step_transitions": (
            *("workflow_step_uuid", "to_state", "most_recent", "created_at"),
        ),
        "workflow_step_edges": ("from_step_uuid", "to_step_uuid"),
    },
}
"""The tables of each generation that we read, and their columns that we read."""

LISTS: Final[Mapping[Generation, str]] = {
    Generation.ENGINE: "schema_migrations",
    Generation.CORE: "_sqlx_migrations",
}
"""Where each generation keeps the versions of the migrations that were run."""


@attrs.frozen
class Column:
    """A column that we read, as it was found.

    Args:
        generation: whose it is.
        table: its table.
        name: its name.
        table_stands: whether the table does.
        stands: whether the column does.
        readable: whether our role may read it.
    """

    generation: Generation = attrs.field(converter=Generation)
    table: str
    name: str
    table_stands: bool
    stands: bool
    readable: bool


@attrs.frozen(kw_only=True)
class Catalogue:
    """What was found in the database.

    Args:
        columns: all that we want, of both generations.
        lists_unreadable: lists of migrations that stand there and that we may not read.
        versions: by generation, what its list says: version and whether it succeeded.
    """

    columns: tuple[Column, ...]
    lists_unreadable: frozenset[Generation] = frozenset()
    versions: Mapping[Generation, tuple[tuple[str, bool], ...]] = attrs.field(factory=dict)

    @property
    def found(self) -> frozenset[Generation]:
        """The generations of which at least one table stands there."""
        return frozenset(column.generation for column in self.columns if column.table_stands)

    def facts(self, expectations: DatabaseExpectations) -> DatabaseFacts:
        """Say what stands there of the generation that is read, if it can be told which."""
        generation = expectations.tasker_schema
        if generation is None and len(self.found) == 1:
            (generation,) = self.found
        if generation is None:
            return DatabaseFacts(round_trip_ms=0.0, found=self.found, generation=None)
        versions = self.versions.get(generation)
        return DatabaseFacts(
            round_trip_ms=0.0,
            found=self.found,
            generation=generation,
            missing=self.missing(generation),
            unreadable=self._in_the_way(generation, expectations),
            migrations=None if versions is None else frozenset(v for v, good in versions if good),
            failed_migrations=tuple(v for v, good in versions or () if not good),
        )

    def _in_the_way(
        self, generation: Generation, expectations: DatabaseExpectations
    ) -> tuple[str, ...]:
        """Name what we may not read and need to; a list of migrations only if it matters."""
        tables = self.unreadable(generation)
        if expectations.expected_migrations and generation in self.lists_unreadable:
            return (*tables, LISTS[generation])
        return tables

    def missing(self, generation: Generation) -> tuple[str, ...]:
        """Name tables, and columns of standing tables, that are not there."""
        return _named(
            column.table if not column.table_stands else f"{column.table}.{column.name}"
            for column in self.columns
            if column.generation is generation and not column.stands
        )

    def unreadable(self, generation: Generation) -> tuple[str, ...]:
        """Name tables that stand there and that we may not read."""
        return _named(
            column.table
            for column in self.columns
            if column.generation is generation and column.stands and not column.readable
        )


def wanted() -> tuple[tuple[str, str, str], ...]:
    """Give generation, table and column of all that we read."""
    return tuple(
        (generation.value, table, column)
        for generation, tables in REQUIRED.items()
        for table, columns in tables.items()
        for column in columns
    )


def migrations_statement(generation: Generation, schema: str = "") -> str:
    """Write the statement that reads a list: version and whether it succeeded."""
    place = f"{_quoted(schema)}.{LISTS[generation]}" if schema else LISTS[generation]
    success = "success" if generation is Generation.CORE else "true"
    return f"SELECT CAST(version AS varchar), {success} FROM {place}"  # noqa: S608  quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _named(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


POSTGRES_STATE: Final = """
SELECT NOT pg_is_in_recovery() AND (
    current_setting('default_transaction_read_only') = 'off'
    OR (
        SELECT source IN ('client', 'session', 'user', 'database user')
        FROM pg_settings WHERE name = 'default_transaction_read_only'
    )
)
"""
"""Whether the server takes writes. A default that is set for our role or session alone says
nothing of what Tasker's own may do."""

# The engine's tables are found as its own unqualified names are, through the search path;
# the core's stand in a schema of their own.
POSTGRES_COLUMNS: Final = """
WITH wanted AS (
    SELECT * FROM unnest(
        CAST(:generations AS text[]), CAST(:tables AS text[]), CAST(:columns AS text[])
    ) AS wanted (generation, relation, attribute)
),
standing AS (
    SELECT DISTINCT ON (generation, relation) generation, relation, class.oid,
        has_schema_privilege(class.relnamespace, 'USAGE') AS open
    FROM (SELECT DISTINCT generation, relation FROM wanted) AS named
    JOIN pg_catalog.pg_class class
        ON class.relname = named.relation AND class.relkind IN ('r', 'p', 'v', 'm', 'f')
    JOIN pg_catalog.pg_namespace space ON space.oid = class.relnamespace
    WHERE CASE WHEN generation = 'core' THEN space.nspname = 'tasker'
        ELSE space.nspname = ANY (current_schemas(false)) OR space.nspname = 'public' END
    ORDER BY generation, relation, array_position(current_schemas(false), space.nspname)
)
SELECT wanted.generation, wanted.relation, wanted.attribute,
    standing.oid IS NOT NULL,
    attribute.attnum IS NOT NULL,
    coalesce(
        standing.open AND has_column_privilege(standing.oid, attribute.attnum, 'SELECT'), false
    )
FROM wanted
LEFT JOIN standing USING (generation, relation)
LEFT JOIN pg_catalog.pg_attribute attribute
    ON attribute.attrelid = standing.oid AND attribute.attname = wanted.attribute
    AND attribute.attnum > 0 AND NOT attribute.attisdropped
"""

POSTGRES_LISTS: Final = """
SELECT class.relname, space.nspname,
    has_schema_privilege(space.oid, 'USAGE') AND has_table_privilege(class.oid, 'SELECT')
FROM pg_catalog.pg_class class
JOIN pg_catalog.pg_namespace space ON space.oid = class.relnamespace
WHERE class.relkind IN ('r', 'p', 'v')
    AND (
        class.relname = 'schema_migrations'
        AND (space.nspname = ANY (current_schemas(false)) OR space.nspname = 'public')
        OR class.relname = '_sqlx_migrations' AND space.nspname IN ('tasker', 'public')
    )
ORDER BY class.relname, space.nspname = 'tasker',
    array_position(current_schemas(false), space.nspname) DESC NULLS FIRST
"""
"""The lists that stand there, the preferred place of each last."""

SQLITE_STATE: Final = """
SELECT (SELECT file FROM pragma_database_list WHERE name = 'main') FROM (
    SELECT count(*) FROM sqlite_master
)
"""
"""Gives the path of the file, after a look into it: less would be answered from memory."""

SQLITE_COLUMNS: Final = """
SELECT relation.name, attribute.name
FROM sqlite_master AS relation, pragma_table_info(relation.name) AS attribute
WHERE relation.type IN ('table', 'view')
"""
