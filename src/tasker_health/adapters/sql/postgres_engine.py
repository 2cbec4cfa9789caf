"""The engine generation on PostgreSQL: what a view asks, as SQL.

How the cost stays with live work: tasks are counted by their current transitions alone, and
those without one are what is left of the total; open tasks are reached through the partial
index on ``complete = false``, which holds for every one of them; steps are looked at only
where their task is open. The window's questions read each table of transitions once, since
no index leads with ``created_at``.

Source: database facts, *Rules of the engine that health numbers rest on*.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BUCKETS", "OPEN_WORK", "STATES", "WINDOW"]

BUCKETS: Final = {
    "pending": "pending",
    "in_progress": "running",
    "complete": "completed",
    "resolved_manually": "completed",
    "error": "failed",
    "cancelled": "cancelled",
}
"""Which of the report's counts a task's state belongs to, blocked tasks aside."""

STATES: Final = """
SELECT to_state, count(*) FROM tasker_task_transitions WHERE most_recent GROUP BY to_state
UNION ALL
SELECT NULL, count(*) FROM tasker_tasks
"""
"""Tasks by the state they moved to last; the row without a state is the total."""

# `may_run` holds both what a ready step needs and what sets a retryable failure apart from a
# permanent one. The exponent is capped before it is raised: an interval overflows at 60.
# The limit of one row keeps the planner on the index: a join would read every task's moves.
OPEN_WORK: Final = """
WITH open_task AS MATERIALIZED (
    SELECT task.task_id, coalesce(move.to_state, 'pending') AS state
    FROM tasker_tasks task
    LEFT JOIN LATERAL (
        SELECT to_state FROM tasker_task_transitions
        WHERE task_id = task.task_id AND most_recent
        LIMIT 1
    ) move ON true
    WHERE task.complete = false
        AND (move.to_state IS NULL OR move.to_state IN ('pending', 'in_progress'))
),
step AS MATERIALIZED (
    SELECT
        step.workflow_step_id,
        step.task_id,
        step.created_at,
        step.processed OR step.in_process AS taken,
        coalesce(move.to_state, 'pending') AS state,
        move.created_at AS moved_at,
        step.retryable
            AND coalesce(step.attempts, 0) < coalesce(step.retry_limit, 3) AS may_run,
        step.last_attempted_at
            + make_interval(secs => step.backoff_request_seconds) AS requested_end,
        CASE WHEN move.to_state = 'error' THEN
            move.created_at + make_interval(
                secs => least(power(2, least(coalesce(step.attempts, 1), 5)), 30)
            )
        END AS failure_end
    FROM open_task
    JOIN tasker_workflow_steps step ON step.task_id = open_task.task_id
    LEFT JOIN tasker_workflow_step_transitions move
        ON move.workflow_step_id = step.workflow_step_id AND move.most_recent
),
ready AS MATERIALIZED (
    SELECT
        step.workflow_step_id,
        step.task_id,
        greatest(step.created_at, step.requested_end, step.failure_end) AS since
    FROM step
    WHERE step.state IN ('pending', 'error')
        AND NOT step.taken
        AND step.may_run
        AND coalesce(step.requested_end <= :at, true)
        AND coalesce(step.failure_end <= :at, true)
        AND NOT EXISTS (
            SELECT 1
            FROM tasker_workflow_step_edges edge
            LEFT JOIN tasker_workflow_step_transitions parent
                ON parent.workflow_step_id = edge.from_step_id AND parent.most_recent
            WHERE edge.to_step_id = step.workflow_step_id
                AND coalesce(parent.to_state, 'pending') NOT IN ('complete', 'resolved_manually')
        )
),
blocked AS (
    SELECT open_task.state, max(step.moved_at) AS since
    FROM open_task
    JOIN step ON step.task_id = open_task.task_id
    WHERE NOT EXISTS (SELECT 1 FROM ready WHERE ready.task_id = open_task.task_id)
    GROUP BY open_task.task_id, open_task.state
    HAVING bool_or(step.state = 'error' AND NOT step.may_run)
        AND NOT bool_or(step.state = 'in_progress')
)
SELECT
    (SELECT count(*) FROM ready) AS ready_steps,
    (SELECT min(least(since, :at)) FROM ready) AS ready_since,
    (SELECT count(*) FROM step WHERE state = 'error' AND may_run) AS retry_queue_size,
    (SELECT count(*) FROM blocked WHERE state = 'pending') AS blocked_pending,
    (SELECT count(*) FROM blocked WHERE state = 'in_progress') AS blocked_running,
    (SELECT min(least(since, :at)) FROM blocked) AS blocked_since
"""
"""One row of what open tasks are at: steps that are ready or wait for a retry, blocked tasks."""

# The latest move is looked for in all history only where the window holds none.
WINDOW: Final = """
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
    SELECT 'task' AS kind, move.created_at - task.created_at AS took
    FROM task_move move
    JOIN tasker_tasks task ON task.task_id = move.task_id
    WHERE move.to_state = 'complete' AND move.created_at <= :at
    UNION ALL
    SELECT 'step', move.created_at - step.created_at
    FROM step_move move
    JOIN tasker_workflow_steps step ON step.workflow_step_id = move.workflow_step_id
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
)
SELECT
    coalesce(
        greatest(
            (SELECT max(created_at) FROM task_move WHERE created_at <= :at),
            (SELECT max(created_at) FROM step_move WHERE created_at <= :at)
        ),
        greatest(
            (SELECT max(created_at) FROM tasker_task_transitions WHERE created_at <= :at),
            (SELECT max(created_at) FROM tasker_workflow_step_transitions WHERE created_at <= :at)
        )
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
"""
"""One row of what ended in (since, at], and when anything last moved."""
