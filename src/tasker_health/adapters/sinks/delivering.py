"""Sending the same until it is taken: with back-off, for so long, and never what was refused.

Overload (429), a failing receiver (5xx) and a connection that broke are tried again, at
growing intervals with jitter, or when the receiver says. Any other answer will not change
by asking again.

The loop is our own: it has to end within a look of its watcher, to hand on what a receiver
says beyond that, and to write no log.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from tasker_health.domain.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from tasker_health.adapters.sinks.posting import Answer, Poster

__all__ = ["deliver"]

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 3600.0
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = range(500, 600)


async def deliver(
    poster: Poster,
    body: bytes,
    headers: Callable[[], Mapping[str, str]],
    *,
    taken: Container[int],
    patience_seconds: float,
    refused_again_in_seconds: float,
) -> Answer:
    """Post until it is taken.

    Args:
        poster: where to.
        body: what is sent, the same each time.
        headers: what is sent with it, made anew each time.
        taken: the codes that say so.
        patience_seconds: for how long to go on.
        refused_again_in_seconds: when to send again what was refused; ``inf`` for never.

    Raises:
        DeliveryError: it was not taken.
    """
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + patience_seconds, _FIRST_PAUSE_SECONDS
    while True:
        try:
            answer = await poster.post(body, headers())
        except DeliveryError as error:
            wait, failure = 0.0, error
        else:
            if answer.status in taken:
                return answer
            told = f"answered {answer.status}"
            if answer.status != _TOO_MANY and answer.status not in _SERVER_ERRORS:
                raise DeliveryError(poster.receiver, told, refused_again_in_seconds)
            wait = min(answer.retry_after_seconds or 0.0, _LONGEST_RETRY_AFTER_SECONDS)
            failure = DeliveryError(poster.receiver, told, wait)
        # A generator of its own would be no better: no secret hangs on the jitter.
        wait = max(wait, pause * random.uniform(0.5, 1.0))  # noqa: S311  as said
        if loop.time() + wait >= until:
            raise failure
        await asyncio.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
