"""Readiness: the rule, the reuse, and one flight for all who ask."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.checks import CheckResult, CheckStatus, HealthCheck
from tasker_health.domain.errors import CheckSelectionError
from tasker_health.domain.readiness import (
    LivenessReport,
    Readiness,
    ReadinessReport,
    assess,
    selected,
)
from tasker_health.domain.reasons import Reason
from tasker_health.domain.settings import HealthSettings
from tasker_health.testing.doubles import ManualClock, RecordingJournal

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio

AT = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)


class Switch:
    """A check that is as it was last set, and counts how often it is asked."""

    def __init__(self, name: str = "database", *, critical: bool = True) -> None:
        self.result = CheckResult(name=name)
        self.asked = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.check = HealthCheck(names=(name,), probe=self, critical=critical)

    async def __call__(self) -> Sequence[CheckResult]:
        """Answer as set, when let go."""
        self.asked += 1
        await self.hold.wait()
        return (self.result,)

    def fail(self, reason: Reason = Reason.REFUSED) -> None:
        """Answer with an error from now on."""
        self.result = CheckResult.error(self.result.name, reason, detail="vendor words")

    def heal(self) -> None:
        """Answer ok from now on."""
        self.result = CheckResult(name=self.result.name)


class Bench:
    """A readiness use case with everything around it in the test's hands."""

    def __init__(self, *switches: Switch, settings: HealthSettings | None = None) -> None:
        self.clock, self.journal = ManualClock(), RecordingJournal()
        self.readiness = Readiness(
            [switch.check for switch in switches],
            clock=self.clock,
            journal=self.journal,
            settings=settings or HealthSettings(),
        )

    async def ready(self) -> bool:
        """Ask once."""
        return (await self.readiness.report()).ready


results = st.lists(
    st.builds(
        lambda name, status: CheckResult(
            name=name, status=status, reason=None if status == "ok" else Reason.FAILED
        ),
        st.from_regex(r"[a-z]{1,6}", fullmatch=True),
        st.sampled_from(CheckStatus),
    ),
    unique_by=lambda result: result.name,
    max_size=6,
)


@given(results, st.sets(st.from_regex(r"[a-z]{1,6}", fullmatch=True)), st.booleans())
def test_one_failing_critical_check_and_only_that_is_not_ready(
    found: list[CheckResult], optional: set[str], all_optional: bool
) -> None:
    """Ready is the absence of an error in a check that is critical."""
    critical = {result.name: not (all_optional or result.name in optional) for result in found}
    report = assess(found, critical, AT)
    failing = [r for r in found if critical[r.name] and r.status is CheckStatus.ERROR]
    assert report.ready is not bool(failing)
    assert [result.name for result in report.checks] == [result.name for result in found]


def test_a_failing_check_that_is_not_critical_is_degraded() -> None:
    """Its error is told, with its reason, as something that needs no other instance."""
    report = assess([CheckResult.error("cache", Reason.TIMEOUT)], {"cache": False}, AT)
    assert report.ready
    assert report.checks[0].status is CheckStatus.DEGRADED
    assert report.checks[0].reason is Reason.TIMEOUT


@pytest.mark.parametrize(
    ("ready", "checks", "reason"),
    [
        (True, (CheckResult.error("x", Reason.FAILED),), None),
        (False, (CheckResult(name="x"),), None),
        (True, (), Reason.DRAINING),
    ],
)
def test_a_report_cannot_contradict_itself(
    ready: bool, checks: tuple[CheckResult, ...], reason: Reason | None
) -> None:
    """Ready says exactly what the checks and the reason say."""
    with pytest.raises(ValueError, match="ready"):
        ReadinessReport(ready=ready, checks=checks, at=AT, reason=reason)


@given(results, st.sets(st.from_regex(r"[a-z]{1,6}", fullmatch=True)), st.booleans())
def test_a_narrowed_report_is_that_of_its_checks_alone(
    found: list[CheckResult], names: set[str], draining: bool
) -> None:
    """Leaving checks out is as if they had not been there; a process that drains still does."""
    names |= {result.name for result in found[::2]}
    whole = assess(found, {result.name: True for result in found}, AT)
    kept = [result for result in found if result.name in names]
    alone = assess(kept, {result.name: True for result in kept}, AT)
    if draining:
        whole = attrs.evolve(whole, ready=False, reason=Reason.DRAINING)
        alone = attrs.evolve(alone, ready=False, reason=Reason.DRAINING)
    assert whole.narrowed(names) == alone


def test_a_report_narrowed_to_all_its_checks_is_itself() -> None:
    """Whoever leaves nothing out sees what everybody sees."""
    report = assess(
        [CheckResult(name="a"), CheckResult.error("b", Reason.DNS)], {"b": True, "a": True}, AT
    )
    assert report.narrowed({"a", "b"}) == report


@pytest.mark.parametrize(
    ("only", "exclude", "left"),
    [
        (None, (), ["a", "b", "c"]),
        (None, ("b", "b"), ["a", "c"]),
        (None, ("c", "a"), ["b"]),
        ("b", (), ["b"]),
        ("b", ("a",), ["b"]),
    ],
)
def test_checks_are_selected_by_name(
    only: str | None, exclude: tuple[str, ...], left: list[str]
) -> None:
    """What is left is told in the order of the document."""
    assert selected(("a", "b", "c"), only=only, exclude=exclude) == left


@pytest.mark.parametrize(
    ("only", "exclude", "given"),
    [
        ("x", (), "x"),
        ("", (), ""),
        (None, ("a", "x"), "x"),
        (None, ("a", "b"), "a and b"),
        ("a", ("a",), "a"),
        ("x", ("a", "b"), "x"),
    ],
)
def test_a_selection_that_cannot_be_had_is_named(
    only: str | None, exclude: tuple[str, ...], given: str
) -> None:
    """Unknown names are refused, and so is a verdict on nothing, which would always be good."""
    with pytest.raises(CheckSelectionError) as caught:
        selected(("a", "b"), only=only, exclude=exclude)
    assert caught.value.given == given
    assert str(caught.value) == (
        f"{given!r} cannot be selected: allowed is a, b, but not all of them"
    )


async def test_the_names_are_there_before_anything_was_asked() -> None:
    """What can be asked about is known without asking it."""
    switches = Switch("b"), Switch("a", critical=False)
    assert list(Bench(*switches).readiness.names) == ["b", "a"]
    assert [switch.asked for switch in switches] == [0, 0]


def test_liveness_has_one_way_to_come_out() -> None:
    """A process that can tell is alive."""
    assert LivenessReport(at=AT).alive is True
    with pytest.raises(TypeError, match="alive"):
        LivenessReport(at=AT, alive=False)  # type: ignore[call-arg]  # the point of the test


async def test_a_good_result_is_reused_for_a_second_at_most() -> None:
    """However many ask in a second, the database is asked once."""
    switch = Switch()
    bench = Bench(switch)
    for _ in range(100):
        assert await bench.ready()
    assert switch.asked == 1
    bench.clock.advance(0.999)
    await bench.ready()
    assert switch.asked == 1
    bench.clock.advance(0.001)
    await bench.ready()
    assert switch.asked == 2


async def test_a_bad_result_is_reused_for_a_quarter_of_it() -> None:
    """An instance that is out of service comes back soon after it could."""
    switch = Switch()
    switch.fail()
    bench = Bench(switch)
    assert not await bench.ready()
    switch.heal()
    bench.clock.advance(0.249)
    assert not await bench.ready()
    bench.clock.advance(0.001)
    assert await bench.ready()


async def test_a_good_result_does_not_outlive_its_second_when_all_goes_wrong() -> None:
    """From one second after a failure, no answer says ready."""
    switch = Switch()
    bench = Bench(switch)
    assert await bench.ready()
    switch.fail()
    bench.clock.advance(1)
    assert not await bench.ready()


async def test_callers_at_once_share_one_run() -> None:
    """A thousand probes at the same moment are one run of the checks."""
    switch = Switch()
    switch.hold.clear()
    bench = Bench(switch, settings=HealthSettings(readiness_timeout_seconds=30))
    callers = [asyncio.create_task(bench.ready()) for _ in range(1000)]
    await asyncio.sleep(0)
    switch.hold.set()
    assert all(await asyncio.gather(*callers))
    assert switch.asked == 1


async def test_a_hanging_check_is_an_answer_within_the_budget() -> None:
    """The whole answer is there in time, and says timeout."""
    switch = Switch()
    switch.hold.clear()
    bench = Bench(switch)
    began = time.monotonic()
    report = await bench.readiness.report()
    assert time.monotonic() - began < 1  # its 0.1 s, and what a busy machine adds
    assert not report.ready
    assert report.checks[0].reason is Reason.TIMEOUT
    await bench.readiness.aclose()


async def test_transitions_are_noted_once() -> None:
    """One line when it turns bad, with the vendor's words; one when it is good again."""
    switch = Switch()
    bench = Bench(switch)
    for _ in range(3):
        await bench.ready()
        bench.clock.advance(1)
    switch.fail()
    for _ in range(3):
        await bench.ready()
        bench.clock.advance(1)
    switch.fail(Reason.TIMEOUT)
    await bench.ready()
    bench.clock.advance(1)
    switch.heal()
    await bench.ready()
    told = [(c.subject, c.before, c.after, c.reason) for c in bench.journal.changes]
    assert told == [
        ("readiness", "", "ready", None),
        ("check:database", "ok", "error", Reason.REFUSED),
        ("readiness", "ready", "not ready", None),
        ("check:database", "error", "error", Reason.TIMEOUT),
        ("check:database", "error", "ok", None),
        ("readiness", "not ready", "ready", None),
    ]
    assert bench.journal.changes[1].detail == "vendor words"


async def test_a_start_with_everything_down_is_noted() -> None:
    """The first answer is a transition from nothing."""
    switch = Switch()
    switch.fail()
    bench = Bench(switch)
    assert not await bench.ready()
    told = [(c.subject, c.before, c.after) for c in bench.journal.changes]
    assert told == [("check:database", "", "error"), ("readiness", "", "not ready")]


async def test_draining_is_not_ready_and_asks_nothing() -> None:
    """A process that was asked to stop says so at once, with what it last knew."""
    switch = Switch()
    bench = Bench(switch)
    assert await bench.ready()
    bench.readiness.drain()
    bench.readiness.drain()
    report = await bench.readiness.report()
    assert (report.ready, report.reason) == (False, Reason.DRAINING)
    assert [check.name for check in report.checks] == ["database"]
    assert switch.asked == 1
    assert [(c.before, c.after, c.reason) for c in bench.journal.about("readiness")] == [
        ("", "ready", None),
        ("ready", "not ready", Reason.DRAINING),
    ]


async def test_draining_out_of_a_bad_state_is_not_told_as_out_of_a_good_one() -> None:
    """The log says what the instance really was when it was asked to stop."""
    switch = Switch()
    switch.fail()
    bench = Bench(switch)
    await bench.ready()
    bench.readiness.drain()
    told = bench.journal.about("readiness")[-1]
    assert (told.before, told.after, told.reason) == ("not ready", "not ready", Reason.DRAINING)


async def test_draining_before_anything_was_asked_has_no_checks_to_tell() -> None:
    """Nothing is invented about checks that never ran."""
    bench = Bench(Switch())
    bench.readiness.drain()
    assert (await bench.readiness.report()).checks == ()
