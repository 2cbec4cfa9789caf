"""``tasker-health check``: how it is called, what it makes of an answer, what it costs.

What it does over a real socket, in time, is in ``tests/integration/test_check_in_time.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.entrypoints import check

if TYPE_CHECKING:
    from pathlib import Path

ALLOWED_MODULES = {"tasker_health", "tasker_health.__main__", "tasker_health.entrypoints"}


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["reddy"],
        ["ready", "live"],
        ["live", "--url"],
        ["live", "--url", "ftp://127.0.0.1"],
        ["live", "--url", "127.0.0.1:8000"],
        ["live", "--url", "http://127.0.0.1:8000/tasker"],
        ["live", "--url", "http://127.0.0.1:0"],
        ["live", "--url", "http://127.0.0.1:65536"],
        ["live", "--url", "http://h\r\nX: y"],
        ["live", "--timeout", "0"],
        ["live", "--timeout", "nan"],
        ["live", "--timeout=-1"],
        ["live", "--timeout=soon"],
        ["live", "--prefix", "/a b"],
        ["live", "--prefix", "/a\r\nX: y"],
        ["live", "--verbose"],
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked, and the line says what is allowed."""
    assert check.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tasker-health: ")
    assert err.count("\n") == 1


def test_a_password_in_the_url_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """A URL with credentials is refused without showing it."""
    assert check.main(["live", "--url", "http://u:canary-s3cret@h"]) == 2
    assert "canary" not in capsys.readouterr().err


def test_help_tells_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    """The help names the three options and the exit codes."""
    assert check.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("--url", "--timeout", "--prefix", "Exit code"))


@given(data=st.binary(max_size=300))
def test_any_body_is_told_in_words_of_ours(data: bytes) -> None:
    """Whatever a server sends, nothing of it but lower-case words reaches the terminal."""
    for endpoint in ("ready", "live", "status"):
        told = check._told(endpoint, data)
        assert told == "" or told.isprintable()


def test_the_failing_checks_are_told() -> None:
    """Each check that is not ok is named with its reason; strange ones are left out."""
    body = b"""{"ready": false, "reason": "draining", "checks": {
        "database": {"status": "error", "reason": "timeout"}, "migrations": {"status": "ok"},
        "cache": {"status": "degraded", "reason": "\\u001b[31m"}, "X Y": {"status": "error"}}}"""
    assert check._told("ready", body) == "not ready: draining, database timeout, cache degraded"


@given(parts=st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_chunks_are_joined(parts: list[bytes]) -> None:
    """A body that comes in chunks is told as if it had come whole."""
    chunked = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts)
    assert check._joined(chunked + b"0\r\n\r\n") == b"".join(parts)


def test_it_loads_nothing_that_it_does_not_need() -> None:
    """Neither the rest of the package nor asyncio, click, json or an HTTP client is imported."""
    program = (
        "import sys; sys.argv = ['tasker-health', 'check', 'live', '--url', 'http://127.0.0.1:1'];"
        "from tasker_health.__main__ import main; main(); print(*sorted(sys.modules))"
    )
    bare = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    ran = subprocess.run(  # noqa: S603  this very interpreter, without what measures coverage
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=bare,
    )
    loaded = set(ran.stdout.split())
    assert not loaded & {"asyncio", "click", "json", "http.client", "ssl", "argparse", "attrs"}
    ours = {name for name in loaded if name.startswith("tasker_health")}
    assert ours == ALLOWED_MODULES | {"tasker_health.entrypoints.check"}


@pytest.mark.parametrize(
    ("variable", "text", "prefix"),
    [
        ("", None, "/tasker"),
        ("/ops", '[server]\nprefix = "/file"', "/ops"),
        ("", '[server]\nprefix = "/file"', "/file"),
        ("", "[server]", "/tasker"),
        ("", "server = 1", "/tasker"),
        ("", "[server]\nprefix = 3", "/tasker"),
        ("", "no TOML", "/tasker"),
    ],
)
def test_the_prefix_is_the_services_own(
    tmp_path: Path, variable: str, text: str | None, prefix: str
) -> None:
    """The environment, then the file; a file that is not good is not this command's affair."""
    file = tmp_path / "settings.toml"
    if text is not None:
        file.write_text(text)
    environ = {"TASKER_HEALTH_PREFIX": variable, "TASKER_HEALTH_CONFIG": str(file)}
    assert check.default_prefix(environ) == prefix
