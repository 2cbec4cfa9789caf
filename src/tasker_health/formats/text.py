"""Readiness as lines of text, the way Kubernetes' own health endpoints tell it.

::

    [+]database ok
    [-]migrations failed: pending
    [+]cache degraded: timeout
    not ready

A plus stands for what does not keep traffic away, a minus for what does. The last line is
the verdict. As there, a good verdict stands alone unless every check is asked for; a bad
one always comes with its lines, because they say why.

Source: Kubernetes, *API health endpoints* (``/readyz?verbose``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasker_health.domain.checks import CheckStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasker_health.domain.checks import CheckResult
    from tasker_health.domain.readiness import ReadinessReport

__all__ = ["TEXT", "ready"]

TEXT: Final = "text/plain"


def ready(report: ReadinessReport, *, verbose: bool = False) -> bytes:
    """Write a readiness report.

    Args:
        report: what to tell.
        verbose: whether every check has its line although all is well.
    """
    lines = [*_lines(report)] if verbose or not report.ready else []
    verdict = "ready" if report.ready else "not ready"
    return "".join(f"{line}\n" for line in (*lines, verdict)).encode()


def _lines(report: ReadinessReport) -> Iterator[str]:
    for result in report.checks:
        yield _line(result)
    if report.reason is not None:
        yield f"[-]process failed: {report.reason}"


def _line(result: CheckResult) -> str:
    if result.status is CheckStatus.OK:
        return f"[+]{result.name} ok"
    if result.status is CheckStatus.DEGRADED:
        return f"[+]{result.name} degraded: {result.reason}"
    return f"[-]{result.name} failed: {result.reason}"
