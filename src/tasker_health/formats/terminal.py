"""The status document as people read it in a terminal: 80 columns, colour only where wanted.

What a server sent is written with everything taken out that could move the cursor or colour
the screen. Fetching a document, and deciding about colour, is ``entrypoints``' affair.

Source: guide, *Status Endpoint*.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from tasker_health.domain.diagnosis import Grade
from tasker_health.domain.status import Rule, Verdict
from tasker_health.formats.documents import ProblemDocument, StatusDocument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasker_health.formats.documents import FindingDocument

__all__ = ["WIDTH", "clean", "duration", "paint", "read_problem", "read_status", "status", "wrap"]

WIDTH: Final = 80

_RED, _YELLOW, _GREEN, _DIM = "31;1", "33;1", "32;1", "2"
_COLOURS: Final = {
    Verdict.HEALTHY: _GREEN,
    Verdict.DEGRADED: _YELLOW,
    Verdict.UNHEALTHY: _RED,
    Grade.OK: _GREEN,
    Grade.WARNING: _YELLOW,
    Grade.PROBLEM: _RED,
}
_MARKS: Final = {Verdict.DEGRADED: "!", Verdict.UNHEALTHY: "x"}

_SAID: Final = {
    Rule.FAILED_SHARE: "of the tasks that ended, {} failed; allowed are {}",
    Rule.CONNECTIONS: "{} of the connections are taken; allowed are {}",
    Rule.BLOCKED: "a task has been blocked for {}; allowed are {}",
    Rule.STALLED: "ready work has waited untouched for {}; allowed are {}",
    Rule.RESPONSE_TIME: "the database answers in {}; allowed are {}",
}
_SHARES: Final = frozenset({Rule.FAILED_SHARE, Rule.CONNECTIONS})

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_COLUMN: Final = 32
_TOO_MANY: Final = 10**12
_EXACT: Final = 100  # of so many days nobody wants the hours


def read_status(body: bytes) -> StatusDocument:
    """Read what a server answered.

    Raises:
        ValueError: it is no status document.
    """
    try:
        return msgspec.json.decode(body, type=StatusDocument)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError("what answered sent no status document") from error


def read_problem(body: bytes) -> str:
    """Read why there is no document, in one line; empty where nobody said."""
    try:
        problem = msgspec.json.decode(body, type=ProblemDocument)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    reason = f" ({problem.reason})" if isinstance(problem.reason, str) else ""
    return clean(f"{problem.detail}{reason}")


def status(document: StatusDocument, now: datetime, *, colour: bool = False) -> str:
    """Write a document.

    Args:
        document: what is told.
        now: when, aware; ages are told against it.
        colour: whether the terminal takes it.
    """
    lines = [
        _headline(document, now, colour=colour),
        "",
        *_findings(document, now, colour=colour),
        *_columns(tuple(_tasks(document)), tuple(_performance(document))),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def paint(text: str, what: Verdict | Grade, *, colour: bool) -> str:
    """Colour a text by how bad it is, or leave it."""
    return f"\x1b[{_COLOURS[what]}m{text}\x1b[0m" if colour else text


def wrap(text: str, *, first: str = "", then: str = "") -> list[str]:
    """Break a text into lines of the terminal, each with its indent."""
    return textwrap.wrap(clean(text), WIDTH, initial_indent=first, subsequent_indent=then) or [
        first.rstrip()
    ]


def clean(text: str) -> str:
    """Take out what could move the cursor, colour the screen or break the line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def duration(seconds: float) -> str:
    """Tell a time span in at most two units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    for unit, name, below, smaller in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if seconds >= unit:
            many, rest = divmod(int(seconds), unit)
            more = rest // below if many < _EXACT else 0
            return f"{many:,} {name}" + (f" {more} {smaller}" if more else "")
    return f"{seconds:.0f} s"  # pragma: no cover  above a minute one of the units fits


def _headline(document: StatusDocument, now: datetime, *, colour: bool) -> str:
    at, expires = _instant(document.timestamp), _instant(document.cache_info.cache_expires_at)
    age = max(0.0, (now - at).total_seconds())
    left = (expires - now).total_seconds()
    if document.cache_info.stale:
        kept = "STALE: no newer report can be had"
    elif document.cache_info.cached:
        kept = f"cached for {duration(max(0.0, left) // 1)} more"
    else:
        kept = "measured now"
    verdict = paint(document.status.upper(), document.status, colour=colour)
    return f"{verdict}  {at:%Y-%m-%d %H:%M:%S}Z, {duration(age // 1)} ago, {kept}"


def _findings(document: StatusDocument, now: datetime, *, colour: bool) -> Iterator[str]:
    for finding in document.findings:
        first, *more = wrap(f"{finding.rule}: {_observed(finding)}", then="  ", first="  ")
        mark = paint(_MARKS.get(finding.severity, "-"), finding.severity, colour=colour)
        since = _instant(finding.since)
        age = duration(max(0.0, (now - since).total_seconds()) // 1)
        yield f"{mark} {first[2:]}"
        yield from more
        yield f"  since {since:%Y-%m-%d %H:%M:%S}Z, for {age}"
        yield from wrap(f"look at: {finding.look_at}", first="  ", then="           ")
        yield ""


def _observed(finding: FindingDocument) -> str:
    observed, threshold = (
        _measure(finding.rule, value) for value in (finding.observed, finding.threshold)
    )
    return _SAID[finding.rule].format(observed, threshold)


def _measure(rule: Rule, value: float) -> str:
    if rule in _SHARES:
        return f"{value * 100:.1f} %"
    return duration(value / 1000 if rule is Rule.RESPONSE_TIME else value)


def _tasks(document: StatusDocument) -> Iterator[tuple[str, str]]:
    counts = document.system_health
    yield "Tasks", _many(counts.total_tasks)
    for name in ("pending", "running", "completed", "failed", "blocked", "cancelled"):
        yield f"  {name}", _many(getattr(counts, f"{name}_tasks"))
    yield "Steps to be retried", _many(counts.retry_queue_size)


def _performance(document: StatusDocument) -> Iterator[tuple[str, str]]:
    metrics = document.performance_metrics
    yield f"In the last {duration(metrics.window_seconds)}", ""
    yield "  a task took", _took(metrics.avg_task_completion_time_ms)
    yield "  a step took", _took(metrics.avg_step_completion_time_ms)
    rate = metrics.retry_success_rate
    yield "  retries that succeeded", "unknown" if rate is None else f"{rate * 100:.1f} %"
    if metrics.excluded_future:
        yield "  left out, from the future", _many(metrics.excluded_future)
    if metrics.excluded_negative:
        yield "  left out, end before start", _many(metrics.excluded_negative)


def _many(count: int) -> str:
    """Write a count so that it fits its column; beyond a million millions, about."""
    return f"{count:,}" if count < _TOO_MANY else f"{count:.3e}"


def _took(milliseconds: int | None) -> str:
    return "unknown" if milliseconds is None else duration(milliseconds / 1000)


def _columns(left: tuple[tuple[str, str], ...], right: tuple[tuple[str, str], ...]) -> list[str]:
    def cell(row: tuple[str, str] | None, width: int) -> str:
        return "" if row is None else f"{row[0]}{row[1]:>{max(1, width - len(row[0]))}}"

    rows = max(len(left), len(right))
    return [
        f"{cell(left[n] if n < len(left) else None, _COLUMN):<{_COLUMN}}    "
        f"{cell(right[n] if n < len(right) else None, _COLUMN + 6)}"
        for n in range(rows)
    ]


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(0, UTC)  # nobody of ours writes such a time
