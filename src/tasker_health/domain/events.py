"""What is worth a line in the log: that something changed; and, for who debugs, each request."""

from __future__ import annotations

import attrs

from tasker_health.domain.diagnosis import PoolState
from tasker_health.domain.reasons import Reason

__all__ = ["Changed", "Requested"]


@attrs.frozen(kw_only=True)
class Changed:
    """Something is no longer as it was.

    Args:
        subject: what: ``readiness``, ``check:NAME``, ``status_source``, ``status_cache``,
            ``verdict``, ``authenticator``, ``coordinator``, ``endpoint:NAME``, ``watcher:NAME``,
            ``alert:RULE``.
        before: what it was; empty the first time.
        after: what it is.
        reason: the public reason, where it turned bad.
        detail: a vendor's words, for the log alone; an adapter redacts and caps them.
    """

    subject: str
    before: str
    after: str
    reason: Reason | None = None
    detail: str = attrs.field(default="", repr=False)


@attrs.frozen(kw_only=True)
class Requested:
    """A health request was answered.

    Args:
        remote_address: the connection's peer; empty where it has none, as on a unix socket.
        path: as it was sent, without the query.
        code: how it was answered; 0 for not at all.
        took_ms: how long that took.
        pool: how the status path's pool was then.
        cache: the kind of the shared cache.
    """

    remote_address: str
    path: str
    code: int
    took_ms: float
    pool: PoolState
    cache: str
