"""The command ``tasker-health``, and ``python -m tasker_health``.

``check`` is dispatched before anything is imported that it does not need: a container's
health check starts this program every few seconds.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command that the arguments name; returns its exit code."""
    if sys.argv[1:2] == ["check"]:
        from tasker_health.entrypoints.check import main as check  # noqa: PLC0415

        return check(sys.argv[2:])
    from tasker_health.entrypoints.cli import main as command  # noqa: PLC0415

    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
