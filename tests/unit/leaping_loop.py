"""An event loop on which time passes at once, so that deadlines can be told to the millisecond.

Where every task waits, the loop leaps to the next timer instead of sleeping; what runs
takes no time at all. Use it in a module by a fixture ``anyio_backend`` that returns
``ON_A_LEAPING_LOOP``. No thread and no socket may be waited for.
"""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = ["ON_A_LEAPING_LOOP", "LeapingLoop", "LoopClock"]

_SOME_DAY: Final = datetime(2025, 6, 18, 15, 30, tzinfo=UTC)


class _Leaping(selectors.DefaultSelector):
    """Counts the time that it was to wait, and does not wait."""

    leapt = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready; if nothing is, it is later now."""
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        self.leapt += 0 if ready else max(0.0, timeout)
        return ready


class LeapingLoop(asyncio.SelectorEventLoop):
    """The loop; it starts at 1000."""

    def __init__(self) -> None:
        self._leaping: Final = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Tell how far it has leapt."""
        return self._leaping.leapt


class LoopClock:
    """The Clock port on the time of the running loop."""

    def now(self) -> datetime:
        """Show some day, and what has passed of it."""
        return _SOME_DAY + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Show the loop's time."""
        return asyncio.get_running_loop().time()


ON_A_LEAPING_LOOP: Final[tuple[str, dict[str, Any]]] = (
    "asyncio",
    {"loop_factory": LeapingLoop},
)
