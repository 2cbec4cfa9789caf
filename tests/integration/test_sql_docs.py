"""What docs/sql.md shows is executed: its roles are enough, its statements are taken."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.tasker_databases import facts, reading

from tasker_health.adapters.clock import SystemClock
from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.postgres_server import PostgresServer

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "sql.md"
ROLE: Final = "tasker_monitor"

_BLOCK: Final = re.compile(r"^```sql\n-- (\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown(generation: str, word: str) -> list[str]:
    """List the statements of the blocks for a generation that hold a word."""
    return [
        statement
        for found in _BLOCK.finditer(DOCUMENT.read_text())
        if found[1] == generation and word in found[2]
        for statement in map(str.strip, found[2].split(";"))
        if statement
    ]


@pytest.fixture
def server(any_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """Give a server, and take the documented role away again."""
    yield any_postgres
    any_postgres.execute(f"DROP ROLE IF EXISTS {ROLE}")


@pytest.mark.anyio
@pytest.mark.parametrize("generation", Generation)
async def test_the_documented_role_is_enough(
    server: PostgresServer, generation: Generation
) -> None:
    """With the grants shown, and no others, every fact can be read."""
    url = server.create_database(generation)
    database = url.rpartition("/")[2]
    statements = shown(generation.value, "CREATE ROLE")
    assert len(statements) == 3
    server.execute(*statements, database=database)
    told = server.url(database, user=ROLE, password="change-me")
    try:
        async with reading(told) as opened:
            async with opened.tasker.view(SystemClock().now()) as view:
                read = await facts(view)
            observed = await opened.probe.observe()
        assert read.counts.total_tasks == 0
        assert observed.unreadable == ()
    finally:
        server.execute(f"DROP OWNED BY {ROLE}", database=database)


@pytest.mark.parametrize("block", ["INDEX", "pg_stat_activity"])
def test_the_statements_shown_are_taken(server: PostgresServer, block: str) -> None:
    """The indexes can be made and the sessions looked at, on a database of the engine."""
    database = server.create_database(Generation.ENGINE).rpartition("/")[2]
    statements = shown("engine", block) or shown("any", block)
    assert statements
    server.execute(*statements, database=database)
