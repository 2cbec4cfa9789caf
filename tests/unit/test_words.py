"""The closed sets of words that clients and alerts compare: one that changes breaks them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasker_health.domain.checks import CheckStatus
from tasker_health.domain.database import Generation
from tasker_health.domain.diagnosis import Area, Grade
from tasker_health.domain.events import Changed
from tasker_health.domain.metering import StatusSource
from tasker_health.domain.reasons import ADVICE, Reason
from tasker_health.domain.status import Rule, Verdict

if TYPE_CHECKING:
    from enum import StrEnum

REASONS = """
dns refused unreachable timeout tls
starting recovering auth too_many_connections read_only disk_full out_of_memory locked
pooler
pending failed_migration forbidden unknown
ambiguous mismatch unreadable
draining failed
"""

AREAS = """
database configuration migrations privileges pool server pooler clock statements indexes cache
authenticator coordinator token
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (CheckStatus, "ok degraded error"),
        (Verdict, "healthy degraded unhealthy"),
        (Reason, REASONS),
        (Rule, "failed_share connections blocked stalled response_time"),
        (Generation, "engine core"),
        (Grade, "ok warning problem"),
        (Area, AREAS),
        (StatusSource, "held shared measured stale unavailable"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_words_are_these(words: type[StrEnum], told: str) -> None:
    """None is spelled otherwise, none is missing, and none came in unseen."""
    assert {word.value for word in words} == set(told.split())


def test_every_reason_has_advice() -> None:
    """The log line of a transition can always say what to do."""
    assert set(ADVICE) == set(Reason)


def test_the_words_of_a_vendor_are_not_in_what_is_printed() -> None:
    """What is for a journal that redacts is in no line that does not."""
    changed = Changed(subject="x", before="", after="y", detail="vendor words")
    assert "vendor words" not in repr(changed)
