"""Tasker's tables, as statements that make them in an empty database.

They are ours, written from the facts of both generations: every column, key and index that
health monitoring or a worker at play rests on, and nothing else. Not here on purpose: the
functions and views of the originals, and the tables of annotations and of authorization.

Source: database facts, *Generation 1* and *Generation 2*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CORE_MIGRATIONS", "ENGINE_MIGRATIONS", "Dialect", "ddl"]

Dialect = Literal["postgresql", "sqlite"]

ENGINE_MIGRATIONS: Final = ("20250601000001", "20250601000002", "20250601000003")
"""What ``schema_migrations`` lists."""

CORE_MIGRATIONS: Final = (20250810000001, 20250810000002, 20250810000003)
"""What ``_sqlx_migrations`` lists."""


def ddl(generation: Generation, dialect: Dialect = "postgresql") -> tuple[str, ...]:
    """Give the statements that make Tasker's tables, in order; each stands alone.

    Args:
        generation: whose tables.
        dialect: the database's; the core generation knows PostgreSQL alone.

    Raises:
        ValueError: the core generation in SQLite.
    """
    if generation is Generation.ENGINE:
        return _statements(_ENGINE, _TYPES[dialect]) + _engine_migrations()
    if dialect != "postgresql":
        raise ValueError("the core generation stands in PostgreSQL alone")
    return _statements(_CORE, {}) + _core_migrations()


def _statements(script: str, types: Mapping[str, str]) -> tuple[str, ...]:
    for word, meaning in types.items():
        script = script.replace(f"<{word}>", meaning)
    return tuple(part for statement in script.split(";") if (part := statement.strip()))


def _engine_migrations() -> tuple[str, ...]:
    rows = ", ".join(f"('{version}')" for version in ENGINE_MIGRATIONS)
    return (f"INSERT INTO schema_migrations (version) VALUES {rows}",)  # noqa: S608  constants


def _core_migrations() -> tuple[str, ...]:
    rows = ", ".join(
        f"({version}, 'migration {version}', true, '\\x00', 0)" for version in CORE_MIGRATIONS
    )
    columns = "version, description, success, checksum, execution_time"
    return (f"INSERT INTO _sqlx_migrations ({columns}) VALUES {rows}",)  # noqa: S608  constants


# SQLite keeps times as text and JSON as text; an index there carries no extra columns.
_TYPES: Final[Mapping[Dialect, Mapping[str, str]]] = {
    "postgresql": {
        "bigkey": "bigserial PRIMARY KEY",
        "key": "serial PRIMARY KEY",
        "time": "timestamp(6) without time zone",
        "jsonb": "jsonb",
        "include": "INCLUDE (workflow_step_id, processed, in_process, attempts, retry_limit)",
    },
    "sqlite": {
        "bigkey": "integer PRIMARY KEY AUTOINCREMENT NOT NULL",
        "key": "integer PRIMARY KEY AUTOINCREMENT NOT NULL",
        "time": "datetime(6)",
        "jsonb": "json",
        "include": "",
    },
}

_ENGINE: Final = """
CREATE TABLE tasker_task_namespaces (
    task_namespace_id <key>,
    name varchar(64) NOT NULL UNIQUE,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL
);
CREATE TABLE tasker_named_tasks (
    named_task_id <key>,
    name varchar(64) NOT NULL,
    version varchar(16) NOT NULL DEFAULT '0.1.0',
    task_namespace_id integer NOT NULL REFERENCES tasker_task_namespaces (task_namespace_id),
    configuration <jsonb>,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL,
    UNIQUE (task_namespace_id, name, version)
);
CREATE TABLE tasker_dependent_systems (
    dependent_system_id <key>,
    name varchar(64) NOT NULL UNIQUE,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL
);
CREATE TABLE tasker_named_steps (
    named_step_id <key>,
    dependent_system_id integer NOT NULL
        REFERENCES tasker_dependent_systems (dependent_system_id),
    name varchar(128) NOT NULL,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL,
    UNIQUE (dependent_system_id, name)
);
CREATE TABLE tasker_tasks (
    task_id <bigkey>,
    named_task_id integer NOT NULL REFERENCES tasker_named_tasks (named_task_id),
    complete boolean NOT NULL DEFAULT false,
    requested_at <time> NOT NULL,
    initiator varchar(128),
    source_system varchar(128),
    reason varchar(128),
    bypass_steps json,
    tags <jsonb>,
    context <jsonb>,
    identity_hash varchar(128) NOT NULL UNIQUE,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL
);
CREATE INDEX tasks_active_workflow_idx ON tasker_tasks (complete, created_at, task_id);
CREATE INDEX tasks_incomplete_idx ON tasker_tasks (task_id) WHERE complete = false;
CREATE TABLE tasker_task_transitions (
    id <bigkey>,
    task_id bigint NOT NULL REFERENCES tasker_tasks (task_id),
    to_state varchar NOT NULL,
    from_state varchar,
    metadata <jsonb> DEFAULT '{}',
    sort_key integer NOT NULL,
    most_recent boolean NOT NULL DEFAULT true,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL
);
CREATE UNIQUE INDEX task_transitions_sort_key_idx
    ON tasker_task_transitions (task_id, sort_key);
CREATE UNIQUE INDEX task_transitions_most_recent_idx
    ON tasker_task_transitions (task_id, most_recent) WHERE most_recent;
CREATE INDEX task_transitions_current_idx
    ON tasker_task_transitions (task_id) WHERE most_recent;
CREATE TABLE tasker_workflow_steps (
    workflow_step_id <bigkey>,
    task_id bigint NOT NULL REFERENCES tasker_tasks (task_id),
    named_step_id integer NOT NULL REFERENCES tasker_named_steps (named_step_id),
    retryable boolean NOT NULL DEFAULT true,
    retry_limit integer DEFAULT 3,
    in_process boolean NOT NULL DEFAULT false,
    processed boolean NOT NULL DEFAULT false,
    processed_at <time>,
    attempts integer,
    last_attempted_at <time>,
    backoff_request_seconds integer,
    inputs <jsonb>,
    results <jsonb>,
    skippable boolean NOT NULL DEFAULT false,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL
);
CREATE INDEX workflow_steps_task_idx ON tasker_workflow_steps (task_id) <include>;
CREATE TABLE tasker_workflow_step_transitions (
    id <bigkey>,
    workflow_step_id bigint NOT NULL REFERENCES tasker_workflow_steps (workflow_step_id),
    to_state varchar NOT NULL,
    from_state varchar,
    metadata <jsonb> DEFAULT '{}',
    sort_key integer NOT NULL,
    most_recent boolean NOT NULL DEFAULT true,
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL
);
CREATE UNIQUE INDEX step_transitions_sort_key_idx
    ON tasker_workflow_step_transitions (workflow_step_id, sort_key);
CREATE UNIQUE INDEX step_transitions_most_recent_idx
    ON tasker_workflow_step_transitions (workflow_step_id, most_recent) WHERE most_recent;
CREATE INDEX step_transitions_current_idx
    ON tasker_workflow_step_transitions (workflow_step_id) WHERE most_recent;
CREATE INDEX step_transitions_current_state_idx
    ON tasker_workflow_step_transitions (workflow_step_id, most_recent, to_state)
    WHERE most_recent;
CREATE INDEX step_transitions_current_errors_idx
    ON tasker_workflow_step_transitions (workflow_step_id, most_recent, created_at)
    WHERE to_state = 'error' AND most_recent;
CREATE TABLE tasker_workflow_step_edges (
    id <bigkey>,
    from_step_id bigint NOT NULL REFERENCES tasker_workflow_steps (workflow_step_id),
    to_step_id bigint NOT NULL REFERENCES tasker_workflow_steps (workflow_step_id),
    name varchar NOT NULL DEFAULT 'provides',
    created_at <time> NOT NULL,
    updated_at <time> NOT NULL
);
CREATE INDEX step_edges_to_idx ON tasker_workflow_step_edges (to_step_id);
CREATE INDEX step_edges_from_idx ON tasker_workflow_step_edges (from_step_id);
CREATE TABLE schema_migrations (version varchar NOT NULL PRIMARY KEY)
"""

# Keys default to random UUIDs: PostgreSQL knows time-ordered ones from version 18 on only.
_CORE: Final = """
CREATE SCHEMA IF NOT EXISTS tasker;
CREATE TABLE tasker.task_namespaces (
    task_namespace_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(64) NOT NULL UNIQUE,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE TABLE tasker.named_tasks (
    named_task_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(64) NOT NULL,
    version varchar(16) NOT NULL DEFAULT '0.1.0',
    task_namespace_uuid uuid NOT NULL REFERENCES tasker.task_namespaces (task_namespace_uuid),
    configuration jsonb,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL,
    UNIQUE (task_namespace_uuid, name, version)
);
CREATE TABLE tasker.named_steps (
    named_step_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name varchar(128) NOT NULL UNIQUE,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE TABLE tasker.tasks (
    task_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    named_task_uuid uuid NOT NULL REFERENCES tasker.named_tasks (named_task_uuid),
    complete boolean NOT NULL DEFAULT false,
    completed_at timestamp(6) without time zone,
    requested_at timestamp(6) without time zone NOT NULL,
    initiator varchar(128),
    source_system varchar(128),
    reason varchar(128),
    tags jsonb,
    context jsonb,
    identity_hash varchar(128) NOT NULL UNIQUE,
    priority integer NOT NULL DEFAULT 0,
    correlation_id uuid NOT NULL,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX tasks_completed_at_idx ON tasker.tasks (completed_at);
CREATE INDEX tasks_complete_idx ON tasker.tasks (complete);
CREATE TABLE tasker.task_transitions (
    task_transition_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    task_uuid uuid NOT NULL REFERENCES tasker.tasks (task_uuid),
    to_state varchar NOT NULL CONSTRAINT task_transitions_known_state CHECK (to_state IN (
        'pending', 'initializing', 'enqueuing_steps', 'steps_in_process',
        'evaluating_results', 'waiting_for_dependencies', 'waiting_for_retry',
        'blocked_by_failures', 'complete', 'error', 'cancelled', 'resolved_manually'
    )),
    from_state varchar,
    metadata jsonb DEFAULT '{}',
    transition_metadata jsonb DEFAULT '{}',
    processor_uuid uuid,
    sort_key integer NOT NULL,
    most_recent boolean NOT NULL DEFAULT false,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX task_transitions_sort_key_idx
    ON tasker.task_transitions (task_uuid, sort_key);
CREATE UNIQUE INDEX task_transitions_most_recent_idx
    ON tasker.task_transitions (task_uuid, most_recent) WHERE most_recent;
CREATE INDEX task_transitions_current_idx
    ON tasker.task_transitions (task_uuid) WHERE most_recent;
CREATE INDEX task_transitions_current_state_idx
    ON tasker.task_transitions (task_uuid, to_state) WHERE most_recent;
CREATE TABLE tasker.workflow_steps (
    workflow_step_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    task_uuid uuid NOT NULL REFERENCES tasker.tasks (task_uuid),
    named_step_uuid uuid NOT NULL REFERENCES tasker.named_steps (named_step_uuid),
    retryable boolean NOT NULL DEFAULT true,
    max_attempts integer DEFAULT 3,
    in_process boolean NOT NULL DEFAULT false,
    processed boolean NOT NULL DEFAULT false,
    processed_at timestamp(6) without time zone,
    attempts integer,
    last_attempted_at timestamp(6) without time zone,
    backoff_request_seconds integer,
    inputs jsonb,
    results jsonb,
    checkpoint jsonb,
    priority integer NOT NULL DEFAULT 0,
    skippable boolean NOT NULL DEFAULT false,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX workflow_steps_task_idx ON tasker.workflow_steps (task_uuid);
CREATE INDEX workflow_steps_processed_at_idx ON tasker.workflow_steps (processed_at);
CREATE TABLE tasker.workflow_step_transitions (
    workflow_step_transition_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workflow_step_uuid uuid NOT NULL REFERENCES tasker.workflow_steps (workflow_step_uuid),
    to_state varchar NOT NULL,
    from_state varchar,
    metadata jsonb DEFAULT '{}',
    sort_key integer NOT NULL,
    most_recent boolean NOT NULL DEFAULT false,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE UNIQUE INDEX step_transitions_sort_key_idx
    ON tasker.workflow_step_transitions (workflow_step_uuid, sort_key);
CREATE UNIQUE INDEX step_transitions_most_recent_idx
    ON tasker.workflow_step_transitions (workflow_step_uuid, most_recent) WHERE most_recent;
CREATE INDEX step_transitions_current_idx
    ON tasker.workflow_step_transitions (workflow_step_uuid) WHERE most_recent;
CREATE INDEX step_transitions_current_state_idx
    ON tasker.workflow_step_transitions (workflow_step_uuid, to_state) WHERE most_recent;
CREATE TABLE tasker.workflow_step_edges (
    workflow_step_edge_uuid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    from_step_uuid uuid NOT NULL REFERENCES tasker.workflow_steps (workflow_step_uuid),
    to_step_uuid uuid NOT NULL REFERENCES tasker.workflow_steps (workflow_step_uuid),
    name varchar NOT NULL DEFAULT 'provides',
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE INDEX step_edges_to_idx ON tasker.workflow_step_edges (to_step_uuid);
CREATE INDEX step_edges_from_idx ON tasker.workflow_step_edges (from_step_uuid);
CREATE TABLE _sqlx_migrations (
    version bigint PRIMARY KEY,
    description text NOT NULL,
    installed_on timestamp with time zone NOT NULL DEFAULT now(),
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
)
"""
