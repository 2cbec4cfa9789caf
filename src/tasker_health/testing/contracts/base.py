"""What all suites stand on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Contract", "cancelled_after", "to_override"]


class Contract:
    """Runs its coroutine tests on asyncio."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on the event loop that the package is made for."""
        return "asyncio"


def to_override(contract: object, fixture: str) -> NoReturn:
    """Say which fixture a subclass has not overridden."""
    pytest.fail(f"{type(contract).__name__} must override the fixture {fixture!r}", pytrace=False)


async def cancelled_after(
    steps: int, start: Callable[[], Coroutine[object, object, object]]
) -> None:
    """Start a coroutine, let the event loop turn so many times, and cancel it."""
    task = asyncio.ensure_future(start())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=10)
    assert task.done(), "a cancelled call must end"  # noqa: S101  a contract speaks by assert
