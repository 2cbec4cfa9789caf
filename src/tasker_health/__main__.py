"""The command ``tasker-health``, and ``python -m tasker_health``.

``check`` is dispatched before anything is imported that it does not need: a container's
health check starts this program every few seconds.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command that the arguments name; returns its exit code."""
    if sys.argv[1:2] == ["check"]:
        from tasker_health.entrypoints.check import main as check  # noqa: PLC0415

        return check(sys.argv[2:])
    if os.getpid() == 1:
        _heed_sigterm()
    from tasker_health.entrypoints.cli import main as command  # noqa: PLC0415

    return command(sys.argv[1:])


def _heed_sigterm() -> None:
    """End when told to, while what is to run is still being imported.

    The kernel keeps a signal from the first process of a container until it has a handler.
    """
    import signal  # noqa: PLC0415  not for a health check

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


if __name__ == "__main__":
    sys.exit(main())
