"""Checks: whatever they do, one classified result a name comes out in time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tasker_health.adapters.clock import SystemClock
from tasker_health.domain.checks import CheckResult, CheckStatus, HealthCheck
from tasker_health.domain.errors import ConfigurationError, SourceError
from tasker_health.domain.reasons import Reason
from tasker_health.domain.running import CheckRunner, unanswered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

pytestmark = pytest.mark.anyio


def check(
    *names: str,
    does: Callable[[], Awaitable[object]],
    critical: bool = True,
    timeout_seconds: float | None = None,
) -> HealthCheck:
    """Make a check whose probe does as told and then answers ok for every name."""

    async def probe() -> Sequence[CheckResult]:
        await does()
        return tuple(CheckResult(name=name) for name in names)

    return HealthCheck(names=names, probe=probe, critical=critical, timeout_seconds=timeout_seconds)


async def well() -> None:
    """Do nothing, successfully."""


async def hang() -> None:
    """Never end."""
    await asyncio.Event().wait()


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    """Make something that raises."""

    async def fail() -> None:
        raise error

    return fail


async def run(*checks: HealthCheck, budget: float = 0.05) -> dict[str, CheckResult]:
    """Run the checks once and give the results by name."""
    runner = CheckRunner(checks, SystemClock())
    results = await runner.run(budget)
    await runner.aclose()
    return {result.name: result for result in results}


async def test_results_come_in_the_order_of_the_checks() -> None:
    """The document lists checks as they were given, however long each took."""

    async def slow() -> None:
        await asyncio.sleep(0.01)

    runner = CheckRunner([check("b", "a", does=slow), check("c", does=well)], SystemClock())
    assert [result.name for result in await runner.run(1)] == ["b", "a", "c"]


async def test_no_checks_no_results() -> None:
    """Nothing asked, nothing answered."""
    assert await CheckRunner([], SystemClock()).run(1) == ()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SourceError(Reason.REFUSED), Reason.REFUSED),
        (TimeoutError(), Reason.TIMEOUT),
        (ValueError("vendor words"), Reason.FAILED),
        (OSError("vendor words"), Reason.FAILED),
    ],
)
async def test_an_exception_becomes_a_reason(error: Exception, reason: Reason) -> None:
    """No error escapes; the vendor's words are kept for the log alone."""
    result = (await run(check("x", does=raising(error))))["x"]
    assert (result.status, result.reason) == (CheckStatus.ERROR, reason)
    assert str(error) in result.detail
    assert "vendor" not in repr(result)


async def test_the_log_is_told_the_cause() -> None:
    """A classified error brings along what the vendor said."""

    async def fail() -> None:
        raise SourceError(Reason.AUTH) from RuntimeError("password rejected")

    result = (await run(check("x", does=fail)))["x"]
    assert "RuntimeError: password rejected" in result.detail


async def test_an_error_before_the_first_await_is_caught_too() -> None:
    """A probe that is no coroutine function at all does not break the others."""

    def explode() -> Awaitable[Sequence[CheckResult]]:
        raise RuntimeError("at once")

    results = await run(HealthCheck(names=("x",), probe=explode), check("y", does=well))
    assert results["x"].reason is Reason.FAILED
    assert results["y"].status is CheckStatus.OK


async def test_what_follows_from_an_answer_is_unknown_without_it() -> None:
    """The first name bears the reason; the others cannot be told."""
    results = await run(check("database", "migrations", does=raising(SourceError(Reason.AUTH))))
    assert results["database"].reason is Reason.AUTH
    assert results["migrations"].reason is Reason.UNKNOWN
    assert results["migrations"].response_time_ms is None


async def test_a_hanging_check_times_out_and_the_others_do_not() -> None:
    """Each is asked at once with the others, under the same budget."""
    began = time.monotonic()
    results = await run(check("x", does=hang), check("y", does=hang), check("z", does=well))
    assert time.monotonic() - began < 0.5
    assert results["x"].reason is results["y"].reason is Reason.TIMEOUT
    assert results["z"].status is CheckStatus.OK
    assert results["x"].response_time_ms is not None
    assert results["x"].response_time_ms >= 50


async def test_a_check_has_a_deadline_of_its_own() -> None:
    """A check that may take less than the budget is not waited for longer."""
    began = time.monotonic()
    results = await run(check("x", does=hang, timeout_seconds=0.01), budget=5)
    assert time.monotonic() - began < 1
    assert results["x"].reason is Reason.TIMEOUT


async def test_a_check_that_resists_cancellation_is_not_asked_again_until_it_is_gone() -> None:
    """At most one run of a check is under way, however often readiness asks."""
    starts = 0
    may_end = asyncio.Event()

    async def resist() -> None:
        nonlocal starts
        starts += 1
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    runner = CheckRunner([check("x", does=resist)], SystemClock())
    for _ in range(3):
        (result,) = await runner.run(0.01)
        assert result.reason is Reason.TIMEOUT
    assert starts == 1
    may_end.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    (result,) = await runner.run(0.5)
    assert result.status is CheckStatus.OK
    assert starts == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "x",
        [CheckResult(name="other")],
        [CheckResult(name="x"), CheckResult(name="x")],
        [True],
        CheckResult(name="x"),
    ],
)
async def test_nonsense_is_a_failure(answer: object) -> None:
    """A probe that does not answer for exactly its names has not answered."""

    async def nonsense() -> object:
        return answer

    results = await run(HealthCheck(names=("x",), probe=nonsense))  # type: ignore[arg-type]  # the point
    assert results["x"].reason is Reason.FAILED


async def test_single_turns_a_coroutine_function_into_a_check() -> None:
    """An embedder's ping is a check: returning is ok, whatever it returns."""

    async def ping() -> str:
        return "pong"

    made = HealthCheck.single("payments", ping, critical=False)
    assert (made.names, made.critical) == (("payments",), False)
    assert (await run(made))["payments"] == CheckResult(name="payments")
    broken = HealthCheck.single("payments", raising(SourceError(Reason.TLS)))
    assert broken.critical
    assert (await run(broken))["payments"].reason is Reason.TLS


async def test_a_late_loop_is_not_a_late_database() -> None:
    """When the host blocks the loop past the deadline, what already arrived still counts."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    async def answered_in_time() -> None:
        # The answer is there at once, but it takes two turns of the loop to be seen.
        loop.call_soon(time.sleep, 0.1)
        loop.call_later(0.09, loop.call_soon, loop.call_soon, arrived.set_result, None)
        await arrived

    results = await run(check("x", does=answered_in_time), budget=0.05)
    assert results["x"].status is CheckStatus.OK


async def test_a_cancelled_run_leaves_nothing_behind() -> None:
    """Cancelling who asked ends the checks."""
    before = asyncio.all_tasks()
    runner = CheckRunner([check("x", does=hang)], SystemClock())
    task = asyncio.create_task(runner.run(30))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


async def test_closing_ends_what_is_under_way() -> None:
    """A check that was left behind is gone after closing."""
    before = asyncio.all_tasks()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)

    runner = CheckRunner([check("x", does=slow_to_end)], SystemClock())
    await runner.run(0.01)
    assert asyncio.all_tasks() != before
    await runner.aclose()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("names", [(), ("",), ("Upper",), ("with space",), ("x" * 65,), ("1st",)])
def test_a_check_has_proper_names(names: tuple[str, ...]) -> None:
    """A name becomes a key of a document and a label of a metric: a short lower-case word."""
    with pytest.raises(ConfigurationError, match=r"^names is .*lower-case"):
        check(*names, does=well)


def test_a_check_is_critical_unless_told_otherwise() -> None:
    """Whoever adds a check and says no more means that it must be well."""
    assert HealthCheck(names=("x",), probe=check("x", does=well).probe).critical


def test_the_words_of_a_vendor_make_no_other_result() -> None:
    """What is for the log alone does not tell two results apart."""
    one, other = (CheckResult.error("x", Reason.DNS, detail=words) for words in ("a", "b"))
    assert one == other


def test_no_name_answers_twice() -> None:
    """Two checks of one name would hide each other."""
    with pytest.raises(ConfigurationError, match=r"^checks is .*'x'.*each name once"):
        CheckRunner([check("x", does=well), check("x", "y", does=well)], SystemClock())


def test_a_result_has_a_reason_exactly_when_it_is_not_ok() -> None:
    """An error without a word, or a word without an error, cannot be told."""
    with pytest.raises(ValueError, match="reason"):
        CheckResult(name="x", status=CheckStatus.ERROR)
    with pytest.raises(ValueError, match="reason"):
        CheckResult(name="x", reason=Reason.FAILED)
    with pytest.raises(ValueError, match="response_time_ms"):
        CheckResult(name="x", response_time_ms=-1)
    with pytest.raises(ValueError, match="name"):
        CheckResult(name="X")


def test_unanswered_tells_time_only_where_it_was_spent() -> None:
    """Only the name that was asked has a time."""
    first, second = unanswered(check("a", "b", does=well), Reason.DNS, "told", 7)
    assert (first.response_time_ms, first.detail) == (7, "told")
    assert (second.response_time_ms, second.detail) == (None, "")
