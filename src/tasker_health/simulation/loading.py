"""Putting a whole world into Tasker's tables at once, and taking all out again.

For tests, benchmarks and the demo's history. The tables of :mod:`.schema` must be there;
:func:`load` wants them without tasks. One world is one transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import column, delete, insert, table, text

from tasker_health.simulation.layout import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sqlalchemy import ColumnClause, TableClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from tasker_health.adapters.memory.world import Step, Task, Transition, World
    from tasker_health.domain.database import Generation
    from tasker_health.simulation.layout import Layout

__all__ = ["clear", "load"]

Row = dict[str, object]


async def load(engine: AsyncEngine, world: World) -> None:
    """Insert every row of a world.

    Args:
        engine: opened on a database that holds the tables of the world's generation.
        world: what to insert; it is not changed.
    """
    layout = LAYOUTS[world.generation]
    moment = _text if engine.dialect.name == "sqlite" else _naive
    async with engine.begin() as connection:
        for name, rows in _rows(layout, world):
            if batch := [_stored(row, moment) for row in rows]:
                await connection.execute(insert(_table(layout, name, batch[0])), batch)
        if engine.dialect.name == "postgresql" and layout.serial:
            await _move_sequences(connection)


async def clear(engine: AsyncEngine, generation: Generation) -> None:
    """Delete every row that :func:`load` or a worker at play has made."""
    layout = LAYOUTS[generation]
    async with engine.begin() as connection:
        for name in reversed(layout.tables):
            await connection.execute(delete(_table(layout, name)))


def _table(layout: Layout, name: str, columns: Iterable[str] = ()) -> TableClause:
    named: list[ColumnClause[object]] = [column(key) for key in columns]
    return table(layout.prefix + name, *named, schema=layout.schema)


_LONG_AGO: Final = datetime(2025, 1, 1, tzinfo=UTC)


def _rows(layout: Layout, world: World) -> Iterator[tuple[str, Iterable[Row]]]:
    """Give each table's rows, parents first."""
    task_names = _numbered(task.name for task in world.tasks.values())
    step_names = _numbered(step.name for step in world.steps.values())
    tasks, steps = world.tasks.values(), world.steps.values()
    yield from _names(layout, task_names, step_names)
    yield "tasks", (_task(layout, task, task_names) for task in tasks)
    yield "task_transitions", _transitions(layout, "task", tasks)
    yield "workflow_steps", (_step(layout, step, step_names) for step in steps)
    yield "workflow_step_transitions", _transitions(layout, "workflow_step", steps)
    yield "workflow_step_edges", _edges(layout, steps)


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)), 1)}


def _names(
    layout: Layout, tasks: Mapping[str, int], steps: Mapping[str, int]
) -> Iterator[tuple[str, Iterable[Row]]]:
    key, one, stamps = layout.key, layout.identity(1), _stamps(_LONG_AGO)
    yield "task_namespaces", [{f"task_namespace_{key}": one, "name": "default", **stamps}]
    yield (
        "named_tasks",
        [
            {
                f"named_task_{key}": layout.identity(number),
                "name": name,
                f"task_namespace_{key}": one,
                **stamps,
            }
            for name, number in tasks.items()
        ],
    )
    system: Row = {}
    if layout.serial:
        system = {"dependent_system_id": 1}
        yield "dependent_systems", [{**system, "name": "default", **stamps}]
    yield (
        "named_steps",
        [
            {f"named_step_{key}": layout.identity(number), "name": name, **system, **stamps}
            for name, number in steps.items()
        ],
    )


def _task(layout: Layout, task: Task, names: Mapping[str, int]) -> Row:
    row: Row = {
        f"task_{layout.key}": layout.identity(task.id),
        f"named_task_{layout.key}": layout.identity(names[task.name]),
        "complete": task.complete,
        "requested_at": task.created_at,
        "identity_hash": f"task-{task.id}",
        **_stamps(task.created_at),
    }
    if not layout.serial:
        row["completed_at"] = _completed_at(task)
        row["correlation_id"] = layout.identity(task.id)
    return row


def _completed_at(task: Task) -> datetime | None:
    moves = [move.created_at for move in task.transitions if move.to_state == "complete"]
    return moves[-1] if task.complete and moves else None


def _step(layout: Layout, step: Step, names: Mapping[str, int]) -> Row:
    return {
        f"workflow_step_{layout.key}": layout.identity(step.id),
        f"task_{layout.key}": layout.identity(step.task_id),
        f"named_step_{layout.key}": layout.identity(names[step.name]),
        "retryable": step.retryable,
        layout.limit: step.retry_limit,
        "in_process": step.in_process,
        "processed": step.processed,
        "processed_at": step.processed_at,
        "attempts": step.attempts,
        "last_attempted_at": step.last_attempted_at,
        "backoff_request_seconds": step.backoff_request_seconds,
        **_stamps(step.created_at),
    }


def _transitions(layout: Layout, item: str, owners: Iterable[Task | Step]) -> Iterator[Row]:
    for owner in owners:
        owned: Row = {f"{item}_{layout.key}": layout.identity(owner.id)}
        for move in owner.transitions:
            yield owned | _transition(move)


def _transition(move: Transition) -> Row:
    return {
        "to_state": move.to_state,
        "from_state": move.from_state,
        "sort_key": move.sort_key,
        "most_recent": move.most_recent,
        **_stamps(move.created_at),
    }


def _edges(layout: Layout, steps: Iterable[Step]) -> Iterator[Row]:
    for step in steps:
        for parent in step.parents:
            yield {
                f"from_step_{layout.key}": layout.identity(parent),
                f"to_step_{layout.key}": layout.identity(step.id),
                **_stamps(step.created_at),
            }


def _stamps(moment: datetime) -> Row:
    return {"created_at": moment, "updated_at": moment}


def _stored(row: Row, moment: Callable[[datetime], object]) -> Row:
    return {
        key: moment(value) if isinstance(value, datetime) else value for key, value in row.items()
    }


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _text(moment: datetime) -> str:
    return _naive(moment).isoformat(sep=" ", timespec="microseconds")


async def _move_sequences(connection: AsyncConnection) -> None:
    """Let the keys that the tables hand out begin after the ones inserted."""
    for name, key in (
        ("task_namespaces", "task_namespace_id"),
        ("dependent_systems", "dependent_system_id"),
        ("named_tasks", "named_task_id"),
        ("named_steps", "named_step_id"),
        ("tasks", "task_id"),
        ("workflow_steps", "workflow_step_id"),
    ):
        await connection.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('tasker_{name}', '{key}'),"  # noqa: S608  constants
                f" coalesce(max({key}), 0) + 1, false) FROM tasker_{name}"
            )
        )
