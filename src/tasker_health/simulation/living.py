"""Writing moves into a real database, each as Tasker itself makes it.

One move is one transaction: the old transition's flag is flipped, the new transition is
inserted and the item's own row is brought up to date together, so that no reader ever sees
an item with two current transitions or, once it has moved, with none.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final, assert_never

from sqlalchemy import Boolean, DateTime, bindparam, column, insert, select, table, update

from tasker_health.domain.database import Generation
from tasker_health.simulation.layout import LAYOUTS
from tasker_health.simulation.moves import StepMoved, TaskCreated, TaskMoved

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.sql.expression import TableClause

    from tasker_health.simulation.moves import Move

__all__ = ["MoveWriter"]

_Row = dict[str, object]

_TIMES: Final = (
    *("created_at", "updated_at", "requested_at", "completed_at"),
    *("processed_at", "last_attempted_at"),
)
_SWITCHES: Final = ("most_recent", "complete", "retryable", "in_process", "processed")


class MoveWriter:
    """Writes moves of one generation through an opened engine; whoever opened it closes it."""

    def __init__(self, engine: AsyncEngine, generation: Generation) -> None:
        self._engine = engine
        self._generation = generation
        self._layout = LAYOUTS[generation]
        self._known: dict[tuple[str, str], object] = {}

    async def write(self, move: Move) -> None:
        """Make one move, whole or not at all.

        Raises:
            sqlalchemy.exc.IntegrityError: the move stands there already.
            sqlalchemy.exc.SQLAlchemyError: the database did not take it.
            OSError: the same, from a driver that does not wrap it.
        """
        try:
            async with self._engine.begin() as connection:
                await self._make(connection, move)
        except BaseException:
            # Names that were added along with it are gone as well.
            self._known.clear()
            raise

    async def _make(self, connection: AsyncConnection, move: Move) -> None:
        match move:
            case TaskCreated():
                await self._create(connection, move)
            case TaskMoved():
                await self._move_task(connection, move)
            case StepMoved():
                await self._move_step(connection, move)
            case _:
                assert_never(move)

    async def _create(self, connection: AsyncConnection, move: TaskCreated) -> None:
        key, identity, stamps = self._layout.key, self._layout.identity, _stamps(move.at)
        task: _Row = {
            f"task_{key}": identity(move.task_id),
            f"named_task_{key}": await self._named_task(connection, move.name, stamps),
            "complete": False,
            "requested_at": stamps["created_at"],
            "identity_hash": f"task-{move.task_id}",
            **stamps,
        }
        if self._generation is Generation.CORE:
            task["correlation_id"] = identity(move.task_id)
        steps: list[_Row] = [
            {
                f"workflow_step_{key}": identity(new.step_id),
                f"task_{key}": identity(move.task_id),
                f"named_step_{key}": await self._named_step(connection, new.name, stamps),
                self._layout.limit: new.retry_limit,
                **stamps,
            }
            for new in move.steps
        ]
        edges: list[_Row] = [
            {
                f"from_step_{key}": identity(parent),
                f"to_step_{key}": identity(new.step_id),
                **stamps,
            }
            for new in move.steps
            for parent in new.parents
        ]
        for name, rows in (("tasks", [task]), ("workflow_steps", steps)):
            await self._insert(connection, name, rows)
        await self._insert(connection, "workflow_step_edges", edges)

    async def _move_task(self, connection: AsyncConnection, move: TaskMoved) -> None:
        await self._transition(connection, "task", move.task_id, move)
        if move.completes:
            at = _naive(move.at)
            row: _Row = {"complete": True, "updated_at": at}
            if self._generation is Generation.CORE:
                row["completed_at"] = at
            await self._update(connection, "task", move.task_id, row)

    async def _move_step(self, connection: AsyncConnection, move: StepMoved) -> None:
        await self._transition(connection, "workflow_step", move.step_id, move)
        row: _Row = {
            "retryable": move.retryable,
            "attempts": move.attempts,
            "in_process": move.in_process,
            "processed": move.processed,
            "processed_at": _naive(move.processed_at),
            "last_attempted_at": _naive(move.last_attempted_at),
            "backoff_request_seconds": move.backoff_request_seconds,
            "updated_at": _naive(move.at),
        }
        await self._update(connection, "workflow_step", move.step_id, row)

    async def _transition(
        self, connection: AsyncConnection, item: str, number: int, move: TaskMoved | StepMoved
    ) -> None:
        """Flip the old transition's flag and add the new one."""
        key = f"{item}_{self._layout.key}"
        stamps = _stamps(move.at)
        new: _Row = {
            key: self._layout.identity(number),
            "to_state": move.to_state,
            "from_state": move.from_state,
            "sort_key": move.sort_key,
            "most_recent": True,
            **stamps,
        }
        transitions = self._table(f"{item}_transitions", new)
        await connection.execute(
            update(transitions)
            .where(transitions.c[key] == bindparam("item"), transitions.c.most_recent)
            .values(most_recent=False, updated_at=bindparam("at", type_=DateTime())),
            {"item": self._layout.identity(number), "at": stamps["updated_at"]},
        )
        await connection.execute(insert(transitions), [new])

    async def _named_task(self, connection: AsyncConnection, name: str, stamps: _Row) -> object:
        space = await self._named(connection, "task_namespace", "default", stamps)
        more: _Row = {f"task_namespace_{self._layout.key}": space}
        return await self._named(connection, "named_task", name, more | stamps)

    async def _named_step(self, connection: AsyncConnection, name: str, stamps: _Row) -> object:
        more: _Row = {}
        if self._generation is Generation.ENGINE:
            system = await self._named(connection, "dependent_system", "default", stamps)
            more = {"dependent_system_id": system}
        return await self._named(connection, "named_step", name, more | stamps)

    async def _named(self, connection: AsyncConnection, item: str, name: str, more: _Row) -> object:
        """Find what goes by this name, or add it; give its key."""
        if (item, name) in self._known:
            return self._known[item, name]
        key = f"{item}_{self._layout.key}"
        row: _Row = {"name": name, **more}
        target = self._table(f"{item}s", {key: None, **row})
        found = await connection.execute(select(target.c[key]).where(target.c.name == name))
        value: object = found.scalar()
        if value is None:
            added = await connection.execute(insert(target).values(row).returning(target.c[key]))
            value = added.scalar_one()
        self._known[item, name] = value
        return value

    async def _insert(self, connection: AsyncConnection, name: str, rows: list[_Row]) -> None:
        if rows:
            await connection.execute(insert(self._table(name, rows[0])), rows)

    async def _update(self, connection: AsyncConnection, item: str, number: int, row: _Row) -> None:
        key = f"{item}_{self._layout.key}"
        identity = self._layout.identity(number)
        target = self._table(f"{item}s", {key: None, **row})
        await connection.execute(update(target).where(target.c[key] == identity).values(row))

    def _table(self, name: str, columns: Mapping[str, object]) -> TableClause:
        typed: list[Any] = [_column(one) for one in columns]
        return table(self._layout.prefix + name, *typed, schema=self._layout.schema)


def _column(name: str) -> object:
    if name in _TIMES:
        return column(name, DateTime())
    return column(name, Boolean()) if name in _SWITCHES else column(name)


def _stamps(at: datetime) -> _Row:
    moment = _naive(at)
    return {"created_at": moment, "updated_at": moment}


def _naive(at: datetime | None) -> datetime | None:
    """Tell a time as Rails keeps it: in UTC, without saying so."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None)
