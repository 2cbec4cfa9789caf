"""The ways through Tasker's state machines that the workload takes, for both generations.

Each name is something that happens; its value is the states that a task or a step then
goes through, one after the other. An empty way means that this generation has no state
for it. Which single moves are legal at all is not told here: ``testing/machines.py`` tells
it, apart from this on purpose, so that the one can be held against the other.

Source: database facts, *States*, and the moves of *Generation 2*.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WAYS", "Ways"]


@attrs.frozen(kw_only=True)
class Ways:
    """How one generation goes about it.

    Args:
        begin: a task is taken up.
        detour: it finds that it has to wait for something outside first.
        enqueue: it hands out its ready steps.
        work: they are under way.
        evaluate: they came back, and there is more to do.
        await_retry: nothing to do but to wait for a back-off.
        finish: nothing left to do.
        block: a step failed for good, and nothing else can run.
        give_up: a blocked task ends in error.
        resolve: an operator puts an end to a blocked task; empty where it goes on instead.
        step_enqueue: a step is handed out.
        step_succeed: an attempt went well.
        step_retry: it failed, and will be tried again.
        step_fail: it failed for good.
        cancellable: states of a task that can still be called off.
        step_cancellable: the same of a step.
    """

    begin: tuple[str, ...]
    detour: tuple[str, ...] = ()
    enqueue: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    await_retry: tuple[str, ...] = ()
    finish: tuple[str, ...]
    block: tuple[str, ...] = ()
    give_up: tuple[str, ...] = ("error",)
    resolve: tuple[str, ...] = ()
    step_enqueue: tuple[str, ...] = ()
    step_succeed: tuple[str, ...]
    step_retry: tuple[str, ...]
    step_fail: tuple[str, ...]
    cancellable: frozenset[str]
    step_cancellable: frozenset[str]


WAYS: Final[Mapping[Generation, Ways]] = MappingProxyType(
    {
        Generation.ENGINE: Ways(
            begin=("in_progress",),
            finish=("complete",),
            step_succeed=("complete",),
            step_retry=("error",),
            step_fail=("error",),
            cancellable=frozenset({"pending", "in_progress"}),
            step_cancellable=frozenset({"pending", "in_progress"}),
        ),
        Generation.CORE: Ways(
            begin=("initializing",),
            detour=("waiting_for_dependencies", "evaluating_results"),
            enqueue=("enqueuing_steps",),
            work=("steps_in_process",),
            evaluate=("evaluating_results",),
            await_retry=("waiting_for_retry",),
            finish=("evaluating_results", "complete"),
            block=("evaluating_results", "blocked_by_failures"),
            resolve=("resolved_manually",),
            step_enqueue=("enqueued",),
            step_succeed=("enqueued_for_orchestration", "complete"),
            step_retry=("enqueued_as_error_for_orchestration", "waiting_for_retry"),
            step_fail=("enqueued_as_error_for_orchestration", "error"),
            cancellable=frozenset(
                {
                    "pending",
                    "initializing",
                    "enqueuing_steps",
                    "steps_in_process",
                    "evaluating_results",
                    "waiting_for_dependencies",
                    "waiting_for_retry",
                }
            ),
            step_cancellable=frozenset(
                {
                    "pending",
                    "enqueued",
                    "in_progress",
                    "enqueued_for_orchestration",
                    "enqueued_as_error_for_orchestration",
                    "waiting_for_retry",
                }
            ),
        ),
    }
)
