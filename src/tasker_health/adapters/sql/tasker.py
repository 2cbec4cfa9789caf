"""Tasker's state, read from a SQL database.

A view is one snapshot. What it is asked for comes from three statements of its generation,
each run at most once a view: the states of all tasks, the work of open ones, and what
happened in a window. This module turns their rows into the domain's values; the rules are
in the SQL of :mod:`.postgres_engine`, :mod:`.postgres_core` and :mod:`.sqlite_engine`.

Source: database facts, *How both become one report*.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tasker_health.adapters.sql import postgres_core, postgres_engine, sqlite_engine
from tasker_health.adapters.sql.failures import reason_of
from tasker_health.adapters.sql.snapshot import open_snapshot
from tasker_health.domain.database import Generation
from tasker_health.domain.errors import SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.status import Activity, PerformanceMetrics, SystemHealth, Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from sqlalchemy import Row, TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tasker_health.domain.ports import Tasker, TaskerView

__all__ = ["SqlTasker"]


class SqlTasker:
    """Reads Tasker's state through an opened engine; whoever opened it closes it.

    Args:
        engine: on PostgreSQL or SQLite; a role that may SELECT from Tasker's tables is enough.
        generation: the generation that must stand there; None to find out by looking.
        statement_timeout_seconds: how long the server may work on one statement, > 0.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        generation: Generation | None = None,
        *,
        statement_timeout_seconds: float = 10.0,
    ) -> None:
        self._engine = engine
        self._told = generation
        self._found: Generation | None = None
        self._statement_timeout_seconds = statement_timeout_seconds

    @asynccontextmanager
    async def view(self, at: datetime) -> AsyncIterator[SqlView]:
        """Open one snapshot.

        Raises:
            SourceError: on entering, when the state cannot be reached (the vendor's error is
                the cause) or is not there (``pending``, ``ambiguous``, ``mismatch``).
        """
        opened = open_snapshot(self._engine, self._statement_timeout_seconds)
        try:
            with _classified():
                connection = await opened.__aenter__()
        ...

    async def _generation(self, connection: AsyncConnection) -> Generation:
        ...
