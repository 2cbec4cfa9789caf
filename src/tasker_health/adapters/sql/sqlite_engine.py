"""The engine generation on SQLite: what a view asks, as SQL.

The same questions as on PostgreSQL. Times are text there, of one width and in UTC, as
Rails writes them: as text they compare, and for arithmetic they become whole microseconds
since 1970, because SQLite's own date functions round to milliseconds.

Source: database facts, *Rules of the engine that health numbers rest on*.
"""

from __future__ import annotations

from typing import Final

from tasker_health.adapters.sql.postgres_engine import BUCKETS, STATES

__all__ = ["BUCKETS", "OPEN_WORK", "STATES", "WINDOW"]


def _us(time: str) -> str:
    """Turn an expression for a time as text into one for microseconds since 1970."""
    return (
        f"(CAST(strftime('%s', substr({time}, 1, 19)) AS INTEGER) * 1000000"
        f" + CAST(substr({time} || '000000', 21, 6) AS INTEGER))"
    )


# The sixth power is past the limit of 30 s already; a shift needs no mathematics extension.
OPEN_WORK: Final = f"""
WITH open_task AS MATERIALIZED (
    SELECT task.task_id, coalesce(move.to_state, 'pending') AS state
    FROM tasker_tasks task
    LEFT JOIN tasker_task_transitions move
        ON move.task_id = task.task_id AND move.most_recent
    WHERE task.complete = false
        AND (move.to_state IS NULL OR move.to_state IN ('pending', 'in_progress'))
),
step AS MATERIALIZED (
    SELECT
        step.workflow_step_id,
        step.task_id,
        {_us("step.created_at")} AS created_us,
        step.processed OR step.in_process AS taken,
        coalesce(move.to_state, 'pending') AS state,
        {_us("move.created_at")} AS moved_us,
        step.retryable
            AND coalesce(step.attempts, 0) < coalesce(step.retry_limit, 3) AS may_run,
        {_us("step.last_attempted_at")}
            + step.backoff_request_seconds * 1000000 AS requested_end_us,
        CASE WHEN move.to_state = 'error' THEN
            {_us("move.created_at")}
                + min(1 << min(coalesce(step.attempts, 1), 5), 30) * 1000000
        END AS failure_end_us
    FROM open_task
    JOIN tasker_workflow_steps step ON step.task_id = open_task.task_id
    LEFT JOIN tasker_workflow_step_transitions move
        ON move.workflow_step_id = step.workflow_step_id AND move.most_recent
),
ready AS MATERIALIZED (
    SELECT
        step.task_id,
        max(
            step.created_us,
            coalesce(step.requested_end_us, step.created_us),
            coalesce(step.failure_end_us, step.created_us)
        ) AS since_us
    FROM step
    WHERE step.state IN ('pending', 'error')
        AND NOT step.taken
        AND step.may_run
        AND coalesce(step.requested_end_us <= {_us(":at")}, true)
        AND coalesce(step.failure_end_us <= {_us(":at")}, true)
        AND NOT EXISTS (
            SELECT 1
            FROM tasker_workflow_step_edges edge
            LEFT JOIN tasker_workflow_step_transitions parent
                ON parent.workflow_step_id = edge.from_step_id AND parent.most_recent
            WHERE edge.to_step_id = step.workflow_step_id
                AND coalesce(parent.to_state, 'pending') NOT IN ('complete', 'resolved_manually')
        )
),
blocked AS MATERIALIZED (
    SELECT open_task.state, max(step.moved_us) AS since_us
    FROM open_task
    JOIN step ON step.task_id = open_task.task_id
    WHERE open_task.task_id NOT IN (SELECT task_id FROM ready)
    GROUP BY open_task.task_id, open_task.state
    HAVING max(step.state = 'error' AND NOT step.may_run)
        AND NOT max(step.state = 'in_progress')
)
SELECT
    (SELECT count(*) FROM ready) AS ready_steps,
    (SELECT min(min(since_us, {_us(":at")})) FROM ready) AS ready_since,
    (SELECT count(*) FROM step WHERE state = 'error' AND may_run) AS retry_queue_size,
    (SELECT count(*) FROM blocked WHERE state = 'pending') AS blocked_pending,
    (SELECT count(*) FROM blocked WHERE state = 'in_progress') AS blocked_running,
    (SELECT min(min(since_us, {_us(":at")})) FROM blocked) AS blocked_since
"""  # noqa: S608  made of constants
"""One row of what open tasks are at: steps that are ready or wait for a retry, blocked tasks."""

# The latest move is looked for in all history only where the window holds none.
WINDOW: Final = f"""
WITH task_move AS MATERIALIZED (
    SELECT task_id, to_state, created_at
    FROM tasker_task_transitions
    WHERE created_at > :since
),
step_move AS MATERIALIZED (
    SELECT workflow_step_id, to_state, most_recent, created_at
    FROM tasker_workflow_step_transitions
    WHERE created_at > :since
),
completion AS MATERIALIZED (
    SELECT 'task' AS kind, {_us("move.created_at")} - {_us("task.created_at")} AS took_us
    FROM task_move move
    JOIN tasker_tasks task ON task.task_id = move.task_id
    WHERE move.to_state = 'complete' AND move.created_at <= :at
    UNION ALL
    SELECT 'step', {_us("move.created_at")} - {_us("step.created_at")}
    FROM step_move move
    JOIN tasker_workflow_steps step ON step.workflow_step_id = move.workflow_step_id
    WHERE move.to_state = 'complete' AND move.created_at <= :at
),
completion_time AS (
    SELECT
        count(*) FILTER (WHERE took_us < 0) AS negative,
        count(*) FILTER (WHERE kind = 'task' AND took_us >= 0) AS tasks,
        count(*) FILTER (WHERE kind = 'step' AND took_us >= 0) AS steps,
        sum(took_us) FILTER (WHERE kind = 'task' AND took_us >= 0) AS tasks_us,
        sum(took_us) FILTER (WHERE kind = 'step' AND took_us >= 0) AS steps_us
    FROM completion
),
retried AS (
    SELECT count(*) AS ended, count(*) FILTER (WHERE move.to_state = 'complete') AS completed
    FROM step_move move
    JOIN tasker_workflow_steps step ON step.workflow_step_id = move.workflow_step_id
    WHERE move.most_recent
        AND move.created_at <= :at
        AND step.attempts > 1
        AND (
            move.to_state = 'complete'
            OR move.to_state = 'error' AND NOT (
                step.retryable AND step.attempts < coalesce(step.retry_limit, 3)
            )
        )
),
recent AS (
    SELECT created_at FROM task_move UNION ALL SELECT created_at FROM step_move
),
ever AS (
    SELECT created_at FROM tasker_task_transitions
    UNION ALL
    SELECT created_at FROM tasker_workflow_step_transitions
)
SELECT
    coalesce(
        (SELECT {_us("max(created_at)")} FROM recent WHERE created_at <= :at),
        (SELECT {_us("max(created_at)")} FROM ever WHERE created_at <= :at)
    ) AS last_transition_at,
    (SELECT count(DISTINCT task_id) FROM task_move
        WHERE to_state = 'error' AND created_at <= :at) AS tasks_failed,
    (SELECT count(DISTINCT task_id) FROM task_move
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
"""  # noqa: S608  made of constants
"""One row of what ended in (since, at], and when anything last moved."""
