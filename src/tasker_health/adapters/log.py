"""The journal as a log: one structured line for each change, on standard error.

A line tells what changed, and, where it turned bad, why and what to do about it. What a
vendor wrote is shown with its secrets removed, on one line and capped. The line is made on
the caller's side and written by a thread, so that a blocked sink stops only that thread;
what it cannot take is dropped and counted.

What is left out on purpose: configuration of structlog or logging. Both belong to the
program that embeds this package, and nothing here reads or changes them.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

import structlog

from tasker_health.domain.reasons import ADVICE, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tasker_health.domain.events import Changed, Requested
    from tasker_health.domain.ports import Journal

__all__ = ["StructlogJournal", "redact"]

_HIDDEN: Final = "***"
_LONGEST: Final = 500
_LOOKED_AT: Final = 4000
"""Characters of a detail that are searched for secrets; the rest is never shown."""

_LINES_WAITING: Final = 1000
_SHORTEST_SECRET: Final = 4
"""A shorter one would blank half of every line, and is no secret for long anyway."""

_GOOD: Final = frozenset({"answering", "healthy", "ok", "ready", "working"})
_HALF_GOOD: Final = frozenset({"degraded"})

_PATTERNS: Final = (
    # user:password@ of a URL; up to the last @, for a password that holds one itself.
    (re.compile(r"(://)\S*@"), rf"\1{_HIDDEN}@"),
    (
        re.compile(
            r"(\b(?:cookie|authorization)['\"]?\s{0,3}[=:]\s{0,3})"
            r"(?:\"[^\"]*\"?|'[^']*'?|\S+(?:\s\S+)?)",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"(\b(?:bearer|basic)\s+)[^\s,;'\"]+", re.IGNORECASE), rf"\1{_HIDDEN}"),
    (
        re.compile(
            r"((?:passwd|password|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key)"
            r"['\"]?\s{0,3}(?:=>|[=:])\s{0,3})(?:\"[^\"]*\"?|'[^']*'?|[^\s,;&]+)",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.?[\w-]*"), _HIDDEN),  # a JSON Web Token
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Make a text fit to be logged: no secrets, one line, at most 500 characters.

    Args:
        text: what somebody else wrote.
        secrets: strings that must not be seen, as they are or percent-encoded.
    """
    shown = _cut(text)
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            for form in (secret, quote(secret, safe="")):
                shown = shown.replace(form, _HIDDEN)
    shown = _one_line(shown)
    for pattern, replacement in _PATTERNS:
        shown = pattern.sub(replacement, shown)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _cut(text: str) -> str:
    """Bound the work, without leaving half a secret at the end."""
    if len(text) <= _LOOKED_AT:
        return text
    words = text[:_LOOKED_AT].rsplit(maxsplit=1)
    return f"{words[0]} …" if len(words) > 1 else "…"


def _one_line(text: str) -> str:
    """Put a space for everything that could break, colour or reorder a line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _to_standard_error(line: str) -> None:
    # The descriptor and not sys.stderr: a thread that is blocked while it holds the lock of
    # a Python stream makes the interpreter abort when it ends.
    data = line.encode(errors="backslashreplace")
    while data:
        data = data[os.write(2, data) :]


class StructlogJournal:
    """Writes one line for each change. Takes any number of calls and never waits.

    Args:
        renderer: ``json`` for machines, ``console`` for people.
        secrets: strings that must not be seen in any line.
        write: takes one line with its end; standard error by default. It runs in a thread
            of its own and may block.
    """

    def __init__(
        self,
        *,
        renderer: Literal["json", "console"] = "json",
        secrets: Iterable[str] = (),
        write: Callable[[str], object] = _to_standard_error,
    ) -> None:
        self._secrets: Final = tuple(secrets)
        self._write: Final = write
        self._lines: Final = queue.Queue[str | None](_LINES_WAITING)
        self._dropped = 0
        self._writer: threading.Thread | None = None
        self._log: Final = structlog.BoundLogger(
            _Lines(self._enqueue), _processors(renderer), context={}
        )

    @property
    def dropped(self) -> int:
        """How many lines were lost, because the sink was blocked or broken."""
        return self._dropped

    def record(self, changed: Changed) -> None:
        """Note that something changed. Returns at once and raises nothing."""
        try:
            getattr(self._log, _level(changed))("health_changed", **self._fields(changed))
        except Exception:  # noqa: BLE001  a line is not worth an answer
            self._dropped += 1

    def note(self, requested: Requested) -> None:
        """Note a request, for who debugs. Returns at once and raises nothing."""
        pool = requested.pool
        try:
            self._log.info(
                "health_requested",
                remote_address=_one_line(requested.remote_address) or None,
                path=redact(requested.path, self._secrets),
                code=requested.code,
                took_ms=round(requested.took_ms, 1),
                pool_size=pool.size,
                pool_checked_out=pool.checked_out,
                pool_waiting=pool.waiting,
                cache=requested.cache,
            )
        except Exception:  # noqa: BLE001  a line is not worth an answer
            self._dropped += 1

    def close(self, timeout_seconds: float = 1.0) -> None:
        """Wait until what was recorded is written, but no longer than ``timeout_seconds``."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                self._lines.put(None, timeout=timeout_seconds)
            except queue.Full:
                return
            writer.join(timeout_seconds)

    def _fields(self, changed: Changed) -> dict[str, object]:
        reason = changed.reason
        fields: dict[str, object | None] = {
            "subject": _one_line(changed.subject),
            "before": _one_line(changed.before),
            "after": _one_line(changed.after),
            "reason": reason.value if reason else None,
            "advice": ADVICE.get(reason) if reason else None,
            "detail": redact(changed.detail, self._secrets),
            "dropped": self._dropped,
        }
        return {name: value for name, value in fields.items() if value}

    def _enqueue(self, line: str) -> None:
        if self._writer is None or not self._writer.is_alive():  # a fork leaves threads behind
            self._writer = threading.Thread(
                target=self._write_lines, name="tasker-health-log", daemon=True
            )
            self._writer.start()
        try:
            self._lines.put_nowait(f"{line}\n")
        except queue.Full:
            self._dropped += 1

    def _write_lines(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._write(line)
            except Exception:  # noqa: BLE001  a sink that broke may be mended
                self._dropped += 1


class _Lines:
    """What structlog takes for a logger: every level leads to one place."""

    def __init__(self, enqueue: Callable[[str], None]) -> None:
        self.info = self.warning = self.error = enqueue


def _processors(renderer: Literal["json", "console"]) -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer()
        if renderer == "json"
        else structlog.dev.ConsoleRenderer(colors=False, sort_keys=False),
    ]


def _level(changed: Changed) -> Literal["info", "warning", "error"]:
    if changed.after in _GOOD or changed.reason is Reason.DRAINING:
        return "info"
    if changed.after in _HALF_GOOD or changed.subject == "status_cache":
        return "warning"
    return "error"


_: type[Journal] = StructlogJournal
