"""The journal writes one line for a change: told to the right degree, without secrets, in time."""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.adapters.log import StructlogJournal, redact
from tasker_health.domain.events import Changed
from tasker_health.domain.reasons import ADVICE, Reason
from tasker_health.testing.contracts import JournalContract

if TYPE_CHECKING:
    from collections.abc import Callable

CANARY = "s3cr3t-canary"


def written(*changes: Changed, secrets: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Record changes and read the lines that come of them."""
    lines: list[str] = []
    journal = StructlogJournal(secrets=secrets, write=lines.append)
    for changed in changes:
        journal.record(changed)
    journal.close()
    return [json.loads(line) for line in lines]


def change(**told: Any) -> Changed:
    """Make a change of which only some is of interest."""
    return Changed(**{"subject": "check:database", "before": "ok", "after": "error", **told})


class TestContract(JournalContract):
    """The promises of the port."""

    @pytest.fixture
    def lines(self) -> list[str]:
        """Give what has been written."""
        return []

    @pytest.fixture
    def journal(self, lines: list[str]) -> StructlogJournal:
        """Give a journal that writes into the list."""
        return StructlogJournal(write=lines.append)

    @pytest.fixture
    def written(self, journal: StructlogJournal, lines: list[str]) -> Callable[[], str]:
        """Give a function that waits until all is written and reads it."""

        def read() -> str:
            journal.close()
            return "".join(lines)

        return read


def test_a_change_is_one_line_with_all_there_is_to_know() -> None:
    """A line tells subject, before, after, reason, advice and detail."""
    (line,) = written(change(reason=Reason.REFUSED, detail="Connect call failed"))
    line.pop("timestamp")
    assert line == {
        "event": "health_changed",
        "level": "error",
        "subject": "check:database",
        "before": "ok",
        "after": "error",
        "reason": "refused",
        "advice": ADVICE[Reason.REFUSED],
        "detail": "Connect call failed",
    }


def test_what_is_not_known_is_left_out() -> None:
    """A line has no empty fields."""
    (line,) = written(change(before="", after="ok"))
    assert {"before", "reason", "advice", "detail", "dropped"}.isdisjoint(line)


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({"subject": "readiness", "after": "ready"}, "info"),
        ({"subject": "readiness", "after": "not ready"}, "error"),
        ({"subject": "readiness", "after": "not ready", "reason": Reason.DRAINING}, "info"),
        ({"subject": "check:database", "after": "ok"}, "info"),
        ({"subject": "check:cache", "after": "degraded", "reason": Reason.TIMEOUT}, "warning"),
        ({"subject": "check:database", "after": "error", "reason": Reason.TIMEOUT}, "error"),
        ({"subject": "status_cache", "after": "failing", "reason": Reason.TIMEOUT}, "warning"),
        ({"subject": "status_cache", "after": "answering"}, "info"),
        ({"subject": "status_source", "after": "failing", "reason": Reason.TIMEOUT}, "error"),
        ({"subject": "verdict", "after": "healthy"}, "info"),
        ({"subject": "verdict", "after": "degraded"}, "warning"),
        ({"subject": "verdict", "after": "unhealthy"}, "error"),
        ({"subject": "access", "after": "failing", "reason": Reason.FAILED}, "error"),
        ({"subject": "access", "after": "working"}, "info"),
    ],
)
def test_the_level_follows_the_direction(told: dict[str, Any], level: str) -> None:
    """What turns bad is an error or a warning, what turns good is information."""
    (line,) = written(change(**told))
    assert line["level"] == level


@pytest.mark.parametrize(
    "detail",
    [
        f"connecting to postgresql://tasker:{CANARY}@db/tasker failed",
        f"redis://:{CANARY}@cache:6379/0",
        f"postgres://tasker:p@ss:{CANARY}@db/tasker",
        f"invalid dsn: password={CANARY} host=db",
        f"password = '{CANARY} with spaces'",
        f'{{"password": "{CANARY}", "user": "x"}}',
        f"{{'api_key': '{CANARY}'}}",
        f"PGPASSWORD={CANARY} psql",
        f"Authorization: Bearer {CANARY}",
        f"authorization: basic {CANARY}",
        f"?token={CANARY}&x=1",
        f"secret:{CANARY}",
        f"pass\nword: {CANARY} is the one given at construction",
        f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.sig",
    ],
)
def test_secrets_are_not_shown(detail: str) -> None:
    """Passwords, tokens and the secrets given at construction never reach a line."""
    (line,) = written(change(detail=detail), secrets=(CANARY,) if "given" in detail else ())
    assert CANARY not in json.dumps(line)
    assert "***" in line["detail"]


def test_a_given_secret_is_hidden_percent_encoded_too() -> None:
    """A secret is recognised in the form that a URL gives it."""
    assert redact("with p%40ss%2Fword there", secrets=["p@ss/word"]) == "with *** there"


def test_what_is_no_secret_is_shown() -> None:
    """A vendor's message without a secret stays as it is."""
    text = 'password authentication failed for user "tasker" at 10.0.0.1:5432 (attempt 1)'
    assert redact(text, secrets=["", "at"]) == text


@pytest.mark.parametrize("evil", ["\r\n", "\n", "\x1b[31m", "\u2028", "\u2029", "\x00", "\u202e"])
@pytest.mark.parametrize("renderer", ["json", "console"])
def test_a_line_is_one_line(evil: str, renderer: Any) -> None:
    """Nothing that somebody else wrote breaks, colours or reorders a line."""
    lines: list[str] = []
    journal = StructlogJournal(renderer=renderer, write=lines.append)
    journal.record(change(subject=f"check:x{evil}y", detail=f"before{evil}level=info after"))
    journal.close()
    (line,) = lines
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@given(st.text(max_size=6000), st.lists(st.text(max_size=10), max_size=3))
def test_any_text_comes_out_printable_and_capped(text: str, secrets: list[str]) -> None:
    """Whatever is given, at most 500 printable characters come out, and no exception."""
    shown = redact(text, secrets)
    assert shown.isprintable()
    assert len(shown) <= 500


def test_a_long_text_does_not_show_half_a_secret_at_its_end() -> None:
    """What lies across the bound of what is looked at is not shown at all."""
    text = "x" * 10 + " " * 3980 + CANARY * 5
    assert redact(text, secrets=[CANARY * 5]) == f"{'x' * 10} …"


@pytest.mark.parametrize("text", ["://", "password=", "eyJ.", "eyJa", "bearer ", "'", "token: '"])
def test_no_text_makes_it_slow(text: str) -> None:
    """Text made to be slow to search is searched like any other."""
    before = os.times().user
    redact(text * 100_000)
    assert os.times().user - before < 0.5


class _Blocked:
    """A sink that stops at its first line until it is let go."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.entered.set()
        self.open.wait()
        self.lines.append(line)


def test_a_blocked_sink_stops_nobody() -> None:
    """While the sink is blocked changes are taken, and counted when there are too many."""
    sink = _Blocked()
    journal = StructlogJournal(write=sink)
    journal.record(change())
    assert sink.entered.wait(5)
    for _ in range(1500):
        journal.record(change())
    assert journal.dropped == 500
    sink.open.set()
    journal.record(change(after="ok"))
    journal.close(5)
    assert len(sink.lines) + journal.dropped == 1502
    assert any(json.loads(line).get("dropped") for line in sink.lines[-1:]) or journal.dropped > 500


def test_a_blocked_pipe_does_not_stop_closing() -> None:
    """Closing waits for a sink that is blocked no longer than it was told."""
    sink = _Blocked()
    journal = StructlogJournal(write=sink)
    journal.record(change())
    assert sink.entered.wait(5)
    journal.close(0.05)
    assert sink.lines == []
    sink.open.set()


def test_closing_does_not_wait_for_room() -> None:
    """Closing gives up in time though the lines before it fill all the room there is."""
    sink = _Blocked()
    journal = StructlogJournal(write=sink)
    journal.record(change())
    assert sink.entered.wait(5)
    while not journal.dropped:
        journal.record(change())
    journal.close(0.05)
    assert sink.lines == []
    sink.open.set()


def test_a_broken_sink_is_tried_again() -> None:
    """A sink that raises loses that line alone, and the loss is told on a later one."""
    lines: list[str] = []

    def write(line: str) -> None:
        if '"before": "first"' in line:
            raise OSError
        lines.append(line)

    journal = StructlogJournal(write=write)
    journal.record(change(before="first"))
    journal.close()
    assert journal.dropped == 1
    journal.record(change(before="second"))
    journal.close()
    (line,) = map(json.loads, lines)
    assert (line["before"], line["dropped"]) == ("second", 1)


def test_recording_raises_nothing() -> None:
    """A change that cannot be told is counted, and the caller goes on."""
    journal = StructlogJournal(write=lambda _: None)
    journal.record(change(detail=None))
    assert journal.dropped == 1


def test_it_writes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines go to standard error unless told otherwise, and none to standard output."""
    journal = StructlogJournal()
    journal.record(change(detail="umlaut ü"))
    journal.close()
    out, err = capfd.readouterr()
    assert out == ""
    assert json.loads(err)["detail"] == "umlaut ü"


def test_people_get_another_form() -> None:
    """The console form is a line of text with the same facts."""
    lines: list[str] = []
    journal = StructlogJournal(renderer="console", write=lines.append)
    journal.record(change(reason=Reason.TIMEOUT))
    journal.close()
    (line,) = lines
    assert "health_changed" in line
    assert "reason=timeout" in line
    assert not line.startswith("{")


def test_the_embedders_logging_is_left_alone() -> None:
    """Neither structlog's nor logging's configuration is touched or used."""
    heard: list[object] = []
    trap: Callable[..., Any] = lambda *_: heard.append(_)  # noqa: E731  a processor for one test
    handlers = list(logging.root.handlers)
    structlog.configure(processors=[trap])
    try:
        assert written(change())[0]["event"] == "health_changed"
        assert structlog.get_config()["processors"] == [trap]
    finally:
        structlog.reset_defaults()
    assert heard == []
    assert logging.root.handlers == handlers
