"""How each generation names and keys what both of them have.

What writes rows by it is ``loading.py``, a whole world at once, and ``living.py``, move by
move. The statements that make the tables are in ``schema.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import UUID

import attrs

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LAYOUTS", "Layout", "uuid_of"]


def uuid_of(number: int) -> UUID:
    """Turn a world's identity into the core's kind of key: in form version 7, in order."""
    return UUID(int=(number << 80) | (0x7 << 76) | (0x2 << 62))


@attrs.frozen(kw_only=True)
class Layout:
    """The names and keys of one generation.

    Args:
        schema: where its tables are; None for the search path's.
        prefix: what the names of its tables begin with.
        key: what the names of key columns end in.
        identity: turns a world's identity into a key.
        serial: whether the tables hand out the keys themselves.
        limit: the column of the most attempts.
        tables: all that rows are written to, parents first.
    """

    schema: str | None
    prefix: str
    key: str
    identity: Callable[[int], object]
    serial: bool
    limit: str
    tables: Sequence[str]


_TABLES: Final = (
    "task_namespaces",
    "named_tasks",
    "named_steps",
    "tasks",
    "task_transitions",
    "workflow_steps",
    "workflow_step_transitions",
    "workflow_step_edges",
)

LAYOUTS: Final[Mapping[Generation, Layout]] = MappingProxyType(
    {
        Generation.ENGINE: Layout(
            schema=None,
            prefix="tasker_",
            key="id",
            identity=int,
            serial=True,
            limit="retry_limit",
            tables=("dependent_systems", *_TABLES),
        ),
        Generation.CORE: Layout(
            schema="tasker",
            prefix="",
            key="uuid",
            identity=uuid_of,
            serial=False,
            limit="max_attempts",
            tables=_TABLES,
        ),
    }
)
