"""What is worth a line in the log: that something changed, once, when it changes."""

from __future__ import annotations

import attrs

from tasker_health.domain.reasons import Reason

__all__ = ["Changed"]


@attrs.frozen(kw_only=True)
class Changed:
    """Something is no longer as it was.

    Args:
        subject: what: ``readiness``, ``check:NAME``, ``status_source``, ``status_cache``,
            ``verdict``, ``authenticator``, ``coordinator``, ``endpoint:NAME``.
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
