"""Whether the time of an answer tells what was wrong with a token.

Each sample is one authentication that is refused. Samples of the classes are interleaved at
random, each with a token of its own, and each class is compared with *unknown* by Welch's
t-test: a |t| below 4.5 shows no difference (the bound that the test vector leakage
assessment of cryptographic hardware uses).
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import tempfile
from datetime import timedelta
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from tasker_health.adapters.auth.token_file import PREFIX, TokenFile, TokenRecord
from tasker_health.adapters.auth.tokens import TokenAuthenticator, digest, new_token, open_tokens
from tasker_health.domain.errors import InvalidCredentialsError
from tasker_health.domain.permissions import Credentials
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BOUND", "main", "measure", "welch"]

BOUND: Final = 4.5
SAMPLES: Final = 100_000
BOUNDED: Final = frozenset({"wrong"})
"""An expired token does the same work too, and only who holds it could time it."""
WARM_UP: Final = 2_000
TOKENS: Final = 20
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def measure(samples: int = SAMPLES) -> dict[str, list[int]]:
    """Give the nanoseconds of each refusal, so many in all, by what was wrong."""
    drawn = random.Random(1)  # noqa: S311  which class comes next is no secret
    with tempfile.TemporaryDirectory() as folder:
        authenticator, good, expired = _file_of_tokens(Path(folder) / "tokens.toml")
    make: dict[str, Callable[[], str]] = {
        "unknown": new_token,
        "wrong": lambda: _spoilt(drawn.choice(good), drawn),
        "expired": lambda: drawn.choice(expired),
    }
    # Made before, one way or another, and all alike when their time comes: how a token is
    # made leaves its traces in the caches of the processor.
    kinds = drawn.choices(tuple(make), k=WARM_UP + samples)
    brought = [_bearer(make[kind]()) for kind in kinds]
    gc.disable()
    try:
        times = [_refusal_ns(authenticator, credentials) for credentials in brought]
    finally:
        gc.enable()
    taken: dict[str, list[int]] = {kind: [] for kind in make}
    for kind, time in list(zip(kinds, times, strict=True))[WARM_UP:]:
        taken[kind].append(time)
    return taken


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Give Welch's t of two samples."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread)


def main() -> None:
    """Print one line a class."""
    taken = measure()
    # What the machine did meanwhile is cut off alike: it would only hide a difference.
    limit = statistics.quantiles([time for times in taken.values() for time in times], n=20)[-1]
    kept = {kind: [time for time in times if time <= limit] for kind, times in taken.items()}
    print(f"tokens, time to refuse one beside {2 * TOKENS} others, {SAMPLES} interleaved samples")
    print(f"{'':<8}{'samples':>9}{'mean us':>9}{'Welch t':>9}{'budget':>8}")
    for kind, times in kept.items():
        line = f"{kind:<8}{len(times):>9}{statistics.fmean(times) / 1000:>9.3f}"
        if kind != "unknown":
            line += f"{welch(times, kept['unknown']):>9.2f}"
            line += f"{f'< {BOUND}':>8}" if kind in BOUNDED else ""
        print(line)


def _file_of_tokens(path: Path) -> tuple[TokenAuthenticator, Sequence[str], Sequence[str]]:
    """Give an authenticator, and the good and the expired tokens that it knows."""
    clock = ManualClock()  # stands still, so that no sample has a look at the file in it
    file = TokenFile(str(path), setting="--file")
    good, expired = ([new_token() for _ in range(TOKENS)] for _ in range(2))
    for number, token in enumerate((*good, *expired)):
        over = clock.now() - timedelta(days=1) if token in expired else None
        file.add(
            TokenRecord(name=f"t{number}", sha256=digest(token), created=clock.now(), expires=over)
        )
    return open_tokens(str(path), clock, setting="--file"), good, expired


def _spoilt(token: str, drawn: random.Random) -> str:
    """Change one letter."""
    at = drawn.randrange(len(PREFIX), len(token))
    other = drawn.choice([letter for letter in _LETTERS if letter != token[at]])
    return token[:at] + other + token[at + 1 :]


def _bearer(token: str) -> Credentials:
    return Credentials(headers={"authorization": f"Bearer {token}"})


def _refusal_ns(authenticator: TokenAuthenticator, brought: Credentials) -> int:
    """Time one authentication, which waits for nothing and so needs no event loop."""
    answer = authenticator.authenticate(brought)
    began = perf_counter_ns()
    try:
        answer.send(None)
    except InvalidCredentialsError:
        return perf_counter_ns() - began
    raise AssertionError("every sample must be refused")


if __name__ == "__main__":
    main()
