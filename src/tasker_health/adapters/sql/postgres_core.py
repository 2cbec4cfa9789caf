"""The core generation on PostgreSQL: what a view asks, as SQL.

Cost stays with live work as in the engine's statements. Here *blocked* and *waiting for a
retry* are states of their own, so that only readiness needs a look at the steps.

Source: database facts, *Generation 2*.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BUCKETS", "OPEN_WORK", "STATES", "WINDOW"]

BUCKETS: Final = {
    "pending": "pending",
    "initializing": "running",
    "enqueuing_steps": "running",
    "steps_in_process": "running",
    "evaluating_results": "running",
    "waiting_for_dependencies": "running",
    "waiting_for_retry": "running",
    "blocked_by_failures": "blocked",
    "complete": "completed",
    "resolved_manually": "completed",
    "error": "failed",
    "cancelled": "cancelled",
}
"""Which of the report's counts a task's state belongs to."""

STATES: Final = """
SELECT to_state, count(*) FROM tasker.task_transitions WHERE most_recent GROUP BY to_state
UNION ALL
SELECT NULL, count(*) FROM tasker.tasks
"""
"""Tasks by the state they moved to last; the row without a state is the total."""

# A requested back-off stands in place of the doubling one. A blocked task is not open: none
# of its steps runs before somebody resolves it. The limit of one row keeps the planner on
# the index: a join would read every task's moves.
OPEN_WORK: Final = """
WITH open_task AS MATERIALIZED (
    SELECT task.task_uuid
    FROM tasker.tasks task
    LEFT JOIN LATERAL (
        SELECT to_state FROM tasker.task_transitions
        WHERE task_uuid = task.task_uuid AND most_recent
        LIMIT 1
    ) move ON true
    WHERE task.complete = false
        AND (move.to_state IS NULL OR move.to_state IN (
            'pending', 'initializing', 'enqueuing_steps', 'steps_in_process',
            'evaluating_results', 'waiting_for_dependencies', 'waiting_for_retry'
        ))
),
step AS MATERIALIZED (
    SELECT
        step.workflow_step_uuid,
        step.created_at,
        coalesce(move.to_state, 'pending') AS state,
        step.processed OR step.in_process AS taken,
        coalesce(step.attempts, 0) = 0 OR (
            step.retryable AND step.attempts < coalesce(step.max_attempts, 3)
        ) AS may_run,
        CASE
            WHEN step.last_attempted_at IS NOT NULL AND step.backoff_request_seconds IS NOT NULL
            THEN step.last_attempted_at + make_interval(secs => step.backoff_request_seconds)
            ELSE (
                SELECT max(failure.created_at)
                FROM tasker.workflow_step_transitions failure
                WHERE failure.workflow_step_uuid = step.workflow_step_uuid
                    AND failure.to_state = 'error'
            ) + make_interval(
                secs => least(power(2, least(coalesce(step.attempts, 1), 6)), 60)
            )
        END AS backoff_end
    FROM open_task
    JOIN tasker.workflow_steps step ON step.task_uuid = open_task.task_uuid
    LEFT JOIN tasker.workflow_step_transitions move
        ON move.workflow_step_uuid = step.workflow_step_uuid AND move.most_recent
    WHERE move.to_state IS NULL OR move.to_state IN ('pending', 'enqueued', 'waiting_for_retry')
),
ready AS (
    SELECT greatest(step.created_at, step.backoff_end) AS since
    FROM step
    WHERE step.state = 'enqueued'
        OR (
            NOT step.taken
            AND step.may_run
            AND coalesce(step.backoff_end <= :at, true)
            AND NOT EXISTS (
                SELECT 1
                FROM tasker.workflow_step_edges edge
                LEFT JOIN tasker.workflow_step_transitions parent
                    ON parent.workflow_step_uuid = edge.from_step_uuid AND parent.most_recent
                WHERE edge.to_step_uuid = step.workflow_step_uuid
                    AND coalesce(parent.to_state, 'pending')
                        NOT IN ('complete', 'resolved_manually')
            )
        )
),
waiting AS (
    SELECT count(*) AS ready_steps, min(least(since, :at)) AS ready_since FROM ready
)
SELECT
    waiting.ready_steps,
    waiting.ready_since,
    (SELECT count(*) FROM step WHERE state = 'waiting_for_retry') AS retry_queue_size,
    0 AS blocked_pending,
    0 AS blocked_running,
    (SELECT min(least(created_at, :at)) FROM tasker.task_transitions
        WHERE most_recent AND to_state = 'blocked_by_failures') AS blocked_since
FROM waiting
"""
"""One row of what open tasks are at; blocked tasks are told by their state already."""

# The latest move is looked for in all history only where the window holds none.
WINDOW: Final = """
WITH task_move AS MATERIALIZED (
    SELECT task_uuid, to_state, created_at
    FROM tasker.task_transitions
    WHERE created_at > :since
),
step_move AS MATERIALIZED (
    SELECT workflow_step_uuid, to_state, most_recent, created_at
    FROM tasker.workflow_step_transitions
    WHERE created_at > :since
),
completion AS MATERIALIZED (
    SELECT 'task' AS kind, move.created_at - task.created_at AS took
    FROM task_move move
    JOIN tasker.tasks task ON task.task_uuid = move.task_uuid
    WHERE move.to_state = 'complete' AND move.created_at <= :at
    UNION ALL
    SELECT 'step', move.created_at - step.created_at
    FROM step_move move
    JOIN tasker.workflow_steps step ON step.workflow_step_uuid = move.workflow_step_uuid
    WHERE move.to_state = 'complete' AND move.created_at <= :at
),
completion_time AS (
    SELECT
        count(*) FILTER (WHERE took < interval '0') AS negative,
        count(*) FILTER (WHERE kind = 'task' AND took >= interval '0') AS tasks,
        count(*) FILTER (WHERE kind = 'step' AND took >= interval '0') AS steps,
        sum(extract(epoch FROM took)) FILTER (WHERE kind = 'task' AND took >= interval '0')
            * 1000000 AS tasks_us,
        sum(extract(epoch FROM took)) FILTER (WHERE kind = 'step' AND took >= interval '0')
            * 1000000 AS steps_us
    FROM completion
),
retried AS (
    SELECT count(*) AS ended, count(*) FILTER (WHERE move.to_state = 'complete') AS completed
    FROM step_move move
    JOIN tasker.workflow_steps step ON step.workflow_step_uuid = move.workflow_step_uuid
    WHERE move.most_recent
        AND move.created_at <= :at
        AND step.attempts > 1
        AND move.to_state IN ('complete', 'error')
)
SELECT
    coalesce(
        greatest(
            (SELECT max(created_at) FROM task_move WHERE created_at <= :at),
            (SELECT max(created_at) FROM step_move WHERE created_at <= :at)
        ),
        greatest(
            (SELECT max(created_at) FROM tasker.task_transitions WHERE created_at <= :at),
            (SELECT max(created_at) FROM tasker.workflow_step_transitions WHERE created_at <= :at)
        )
    ) AS last_transition_at,
    (SELECT count(DISTINCT task_uuid) FROM task_move
        WHERE to_state = 'error' AND created_at <= :at) AS tasks_failed,
    (SELECT count(DISTINCT task_uuid) FROM task_move
        WHERE to_state = 'complete' AND created_at <= :at) AS tasks_completed,
    completion_time.tasks,
    completion_time.tasks_us,
    completion_time.steps,
    completion_time.steps_us,
    completion_time.negative AS excluded_negative,
    (SELECT count(*) FROM task_move WHERE to_state = 'complete' AND created_at > :at)
        + (SELECT count(*) FROM step_move WHERE to_state = 'complete' AND created_at > :at)
        AS excluded_future,
    retried.ended AS retried_ended,
    retried.completed AS retried_completed
FROM completion_time, retried
"""
"""One row of what ended in (since, at], and when anything last moved."""
