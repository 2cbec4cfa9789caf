"""``tasker-health status``: the report in the terminal, once or again and again.

Exit code 0: healthy or degraded; 1: unhealthy, or no report; 2: called wrongly, or a setting
cannot be had. ``--fail-on degraded`` moves the line, as ``?fail_on`` does over HTTP.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from tasker_health.domain.status import Verdict
from tasker_health.entrypoints.check import default_prefix

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from tasker_health.entrypoints.fetching import Ask

__all__ = ["command", "token_options"]

_CLEARED: Final = "\x1b[H\x1b[2J"
_FAILING: Final = (Verdict.DEGRADED.value, Verdict.UNHEALTHY.value)

token_file = click.option(
    "--token-file", metavar="PATH", help="The file that holds the API token; - for standard input."
)
token_env = click.option(
    "--token-env", metavar="VARIABLE", help="The variable of the environment that holds it."
)


def token_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add the two ways to show a token; none of them is its value, which ``ps`` would show."""
    return token_file(token_env(command))


@click.command("status")
@click.option("--url", metavar="BASE", help="Ask this server (scheme, host, port) instead.")
@click.option(
    "--prefix", metavar="PREFIX", help="Its path before /health; the setting's unless told."
)
@token_options
@click.option(
    "--timeout",
    "timeout_seconds",
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(0.01, 60),
    help="How long a report is waited for.",
)
@click.option(
    "--watch",
    is_flag=False,
    flag_value=5.0,
    metavar="[SECONDS]",
    type=click.FloatRange(0.1, 3600),
    help="Tell again every so often, 5 seconds unless told, until Ctrl-C.",
)
@click.option("--json", "as_json", is_flag=True, help="The document as HTTP has it, on one line.")
@click.option(
    "--fail-on",
    type=click.Choice(_FAILING),
    default=Verdict.UNHEALTHY.value,
    show_default=True,
    help="From which verdict on the exit code is 1.",
)
def command(
    *,
    url: str | None,
    prefix: str | None,
    token_file: str | None,
    token_env: str | None,
    timeout_seconds: float,
    watch: float | None,
    as_json: bool,
    fail_on: str,
) -> int:
    """Tell how Tasker is: verdict, findings, counts and performance.

    Straight from the database of TASKER_HEALTH_DATABASE_URL, or from a running server with
    --url. Exit code 0: healthy or degraded; 1: unhealthy, or no report; 2: called wrongly.
    Ctrl-C ends --watch with 0.
    """
    source = _source(url, prefix, token_file, token_env, timeout_seconds)
    show = _Shown(as_json=as_json, fail_on=Verdict(fail_on))
    try:
        if watch is None:
            return asyncio.run(_once(source, show))
        asyncio.run(_again(source, show, watch))
    except KeyboardInterrupt:
        if watch is None:
            raise
    except BrokenPipeError:  # who read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _source(
    url: str | None,
    prefix: str | None,
    token_file: str | None,
    token_env: str | None,
    timeout_seconds: float,
) -> AbstractAsyncContextManager[Ask]:
    from tasker_health.entrypoints import fetching  # noqa: PLC0415  not for --help

    if url is None:
        for option, given in (("--prefix", prefix), *_tokens(token_file, token_env)):
            if given is not None:
                raise click.UsageError(f"{option} goes with --url alone.")
        from tasker_health.entrypoints.environment import read_configuration  # noqa: PLC0415

        configuration = read_configuration(os.environ)
        return fetching.own_status(configuration, timeout_seconds=timeout_seconds)
    return fetching.served_status(
        url,
        prefix=prefix or default_prefix(os.environ),
        token=fetching.read_token(token_file, token_env),
        timeout_seconds=timeout_seconds,
    )


def _tokens(token_file: str | None, token_env: str | None) -> tuple[tuple[str, str | None], ...]:
    return ("--token-file", token_file), ("--token-env", token_env)


class _Shown:
    """Writes reports, and tells what each means for the exit code."""

    def __init__(self, *, as_json: bool, fail_on: Verdict) -> None:
        self._json = as_json
        self._fail_on = fail_on
        self.screen = not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.screen and not os.environ.get("NO_COLOR")

    def report(self, body: bytes) -> int:
        """Write a document; gives the exit code.

        Raises:
            ValueError: it is none.
        """
        from tasker_health.formats import terminal  # noqa: PLC0415  not for --help

        document = terminal.read_status(body)
        if self._json:
            self.write(body.decode().strip() + "\n")
        else:
            self.write(terminal.status(document, datetime.now(UTC), colour=self.colour))
        return int(document.status.severity >= self._fail_on.severity)

    def write(self, text: str) -> None:
        """Write to standard output, at once."""
        sys.stdout.write(text)
        sys.stdout.flush()


async def _once(source: AbstractAsyncContextManager[Ask], show: _Shown) -> int:
    from tasker_health.entrypoints.fetching import UntoldError  # noqa: PLC0415  not for --help

    async with source as ask:
        try:
            return show.report(await ask())
        except (UntoldError, ValueError) as error:
            sys.stderr.write(f"tasker-health: no report: {error}\n")
            return 1


async def _again(source: AbstractAsyncContextManager[Ask], show: _Shown, seconds: float) -> None:
    """Tell again and again; what cannot be told is said, and asked again."""
    from tasker_health.entrypoints.fetching import UntoldError  # noqa: PLC0415  not for --help

    async with source as ask:
        while True:
            try:
                body = await ask()
            except UntoldError as error:
                _untold(show, str(error))
            else:
                if show.screen:
                    show.write(_CLEARED)
                try:
                    show.report(body)
                except ValueError as error:
                    _untold(show, str(error))
            if show.screen:
                show.write(f"\nEvery {seconds:g} s; Ctrl-C ends it.\n")
            await asyncio.sleep(seconds)


def _untold(show: _Shown, words: str) -> None:
    """Say that there is no report: on the screen, else apart from the reports."""
    now = datetime.now(UTC)
    line = f"NO REPORT  {now:%Y-%m-%d %H:%M:%S}Z, {words}\n"
    if show.screen:
        show.write(f"{_CLEARED}{line}")
    else:
        sys.stderr.write(line)
        sys.stderr.flush()
