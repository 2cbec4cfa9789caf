"""A report survives its way through a cache exactly, and nothing else passes for one."""

from __future__ import annotations

import pickle
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.status import (
    Activity,
    Finding,
    PerformanceMetrics,
    Rule,
    Snapshot,
    StatusReport,
    SystemHealth,
    Verdict,
    Vitals,
)
from tasker_health.formats.snapshot import LARGEST_BYTES, decode, encode
from tasker_health.testing.reports import reports

AT: Final = datetime(2025, 6, 18, 15, 30, 0, 123456, tzinfo=UTC)

REPORT: Final = StatusReport(
    snapshot=Snapshot(
        at=AT,
        took_ms=3.5,
        system_health=SystemHealth(
            total_tasks=7,
            pending_tasks=2,
            running_tasks=1,
            completed_tasks=1,
            failed_tasks=1,
            blocked_tasks=1,
            cancelled_tasks=1,
            retry_queue_size=4,
        ),
        performance=PerformanceMetrics(window_seconds=3600.0, retry_success_rate=0.5),
        activity=Activity(ready_steps=3, ready_since=AT, last_transition_at=AT),
        vitals=Vitals(round_trip_ms=1.25),
    ),
    verdict=Verdict.DEGRADED,
    findings=(
        Finding(
            rule=Rule.BLOCKED,
            severity=Verdict.DEGRADED,
            observed=301.5,
            threshold=300.0,
            since=AT,
            look_at="the blocked tasks",
        ),
    ),
    expires_at=AT + timedelta(seconds=15),
)
GOOD: Final = encode(REPORT)


@given(reports())
def test_what_is_read_is_what_was_written(report: StatusReport) -> None:
    """Every report comes back equal, to the microsecond and the last digit."""
    assert decode(encode(report)) == report


def test_times_come_back_in_utc() -> None:
    """A time of another zone is the same moment, told in UTC."""
    east = attrs.evolve(REPORT, expires_at=AT.astimezone(timezone(timedelta(hours=3))))
    assert decode(encode(east)).expires_at.tzinfo is UTC
    assert decode(encode(east)) == east


def test_a_report_is_small() -> None:
    """A report is far below the cap on what is read."""
    assert len(GOOD) < LARGEST_BYTES / 32


@given(st.binary(max_size=200))
def test_bytes_of_chance_are_no_report(data: bytes) -> None:
    """Whatever is no report raises ValueError and nothing else."""
    with pytest.raises(ValueError, match=r".+"):
        decode(data)


@given(st.integers(0, len(GOOD) - 1))
def test_a_report_that_was_cut_short_is_none(length: int) -> None:
    """No beginning of a report passes for one."""
    with pytest.raises(ValueError, match=r".+"):
        decode(GOOD[:length])


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_damaged_byte_never_does_more_than_fail(at: int, byte: int) -> None:
    """With one byte changed, the bytes are a report again or a ValueError."""
    data = bytearray(GOOD)
    data[at] = byte
    try:
        assert isinstance(decode(bytes(data)), StatusReport)
    except ValueError:
        return


def changed(old: str, new: str) -> bytes:
    """Change one place of a good report."""
    data = GOOD.replace(old.encode(), new.encode(), 1)
    assert data != GOOD, f"{old} does not stand in {GOOD!r}"
    return data


POISON: Final = {
    "nothing": b"",
    "null": b"null",
    "NaN": b"NaN",
    "a list": b"[]",
    "another version": changed('"version":1', '"version":2'),
    "a version as text": changed('"version":1', '"version":"1"'),
    "no version": changed('"version":1,', ""),
    "NaN as a number": changed('"took_ms":3.5', '"took_ms":NaN'),
    "infinity as a number": changed('"took_ms":3.5', '"took_ms":Infinity'),
    "1e999": changed('"took_ms":3.5', '"took_ms":1e999'),
    "a negative time": changed('"took_ms":3.5', '"took_ms":-1'),
    "text as a number": changed('"took_ms":3.5', '"took_ms":"3.5"'),
    "true as a count": changed('"total_tasks":7', '"total_tasks":true'),
    "half a task": changed('"total_tasks":7', '"total_tasks":7.5'),
    "a huge count": changed('"total_tasks":7', f'"total_tasks":{"9" * 30_000}'),
    "counts that do not add up": changed('"total_tasks":7', '"total_tasks":8'),
    "a share over 1": changed('"retry_success_rate":0.5', '"retry_success_rate":1.5'),
    "an unknown field": changed('"version":1', '"version":1,"os.system":"id"'),
    "a field too few": changed('"took_ms":3.5,', ""),
    "an unknown rule": changed('"rule":"blocked"', '"rule":"pwned"'),
    "a verdict that is not its findings'": changed('"verdict":"degraded"', '"verdict":"healthy"'),
    "a time without zone": changed("15:30:00.123456Z", "15:30:00.123456"),
    "a time that UTC has not": changed("2025-06-18T15:30:00.123456Z", "0001-01-01T00:00:00+23:00"),
    "a time as a number": changed('"2025-06-18T15:30:00.123456Z"', "1750260600"),
    "not UTF-8": GOOD.replace(b"the blocked", b"\xff\xfe\x80"),
    "an unpaired surrogate": changed("the blocked", "\\ud800"),
    "something after it": GOOD + b"{}",
    "deep nesting of lists": b"[" * 60_000,
    "deep nesting of objects": b'{"version":' * 5_000,
    "deep nesting inside": changed('"took_ms":3.5', f'"took_ms":{"[" * 30_000}'),
    "too large": GOOD + b" " * LARGEST_BYTES,
    "a pickle": pickle.dumps(REPORT),
}


@pytest.mark.parametrize("data", POISON.values(), ids=POISON.keys())
def test_poison_is_refused_at_once(data: bytes) -> None:
    """A value that is not exactly a report raises ValueError, and takes no time over it."""
    began = time.perf_counter()
    with pytest.raises(ValueError, match=r".+"):
        decode(data)
    assert time.perf_counter() - began < 1.0


def test_a_pickle_is_not_run() -> None:
    """Reading runs nothing of what it reads."""
    trap = pickle.dumps(_Trap())
    with pytest.raises(ValueError, match="no report"):
        decode(trap)
    assert SPRUNG == []
    pickle.loads(trap)  # noqa: S301  shows that the trap works
    assert SPRUNG == ["sprung"]


SPRUNG: Final[list[str]] = []


class _Trap:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _spring, ("sprung",)


def _spring(word: str) -> None:
    SPRUNG.append(word)


@attrs.frozen(kw_only=True)
class _Newer(StatusReport):
    """A report with a field that is not known here."""

    mood: str = "hopeful"


@pytest.mark.parametrize(
    "report",
    [
        _Newer(**attrs.asdict(REPORT, recurse=False)),
        attrs.evolve(REPORT, snapshot=attrs.evolve(REPORT.snapshot, took_ms=float("inf"))),
        attrs.evolve(REPORT, findings=(attrs.evolve(REPORT.findings[0], observed=float("nan")),)),
        attrs.evolve(
            REPORT, findings=(attrs.evolve(REPORT.findings[0], look_at="x" * LARGEST_BYTES),)
        ),
        attrs.evolve(REPORT, findings=(attrs.evolve(REPORT.findings[0], look_at="\ud800"),)),
    ],
    ids=["a field more", "infinite", "not a number", "too large", "no text"],
)
def test_what_could_not_be_read_back_is_not_written(report: StatusReport) -> None:
    """A report that would come back different is refused when it is written."""
    with pytest.raises(ValueError, match=r".+"):
        encode(report)


@pytest.mark.parametrize(
    "value", [StatusReport, Snapshot, SystemHealth, PerformanceMetrics, Activity, Vitals, Finding]
)
def test_every_field_is_written(value: type[attrs.AttrsInstance]) -> None:
    """The document holds each field of each value by its name."""
    names = {field.name for field in attrs.fields(value)}
    found: list[set[str]] = []

    def look(part: object) -> None:
        if isinstance(part, dict):
            found.append(set(part))
            for inner in part.values():
                look(inner)
        if isinstance(part, list):
            for inner in part:
                look(inner)

    look(msgspec.json.decode(GOOD))
    assert names in found
