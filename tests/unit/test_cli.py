"""What a user did wrong: exit code 2 and exactly one line, for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasker_health import __main__ as program
from tasker_health.entrypoints import cli

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "canary-s3cret"
URL = f"postgresql://tasker:{SECRET}@127.0.0.1:1/tasker"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without any setting of ours."""
    for name in list(os.environ):
        if name.startswith("TASKER_HEALTH_"):
            monkeypatch.delenv(name)


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that is refused; give the one line that says why."""
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err[:-1].isprintable()  # one line
    assert err.startswith("tasker-health: ")
    assert SECRET not in err
    return err.removeprefix("tasker-health: ").rstrip("\n")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "Missing command."),
        (["serv"], "No such command 'serv'."),
        (["serve", "--prot", "1"], "No such option"),
        (["serve", "--port", "http"], "'http' is not a valid integer"),
        (["serve", "--port", "65536"], "65536 is not in the range"),
        (["serve", "--workers", "0"], "0 is not in the range"),
        (["serve", "now"], "unexpected extra argument"),
        (["demo", "--generation", "rails"], "'rails' is not one of"),
        (["demo", "--seed", "x"], "'x' is not a valid integer"),
    ],
)
def test_a_wrong_call_is_refused(
    argv: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what is wrong and where help is."""
    line = refusal(argv, capsys)
    assert told in line
    assert "--help" in line


def test_serve_without_a_database_says_which_setting_to_give(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The one setting without a default is named."""
    line = refusal(["serve"], capsys)
    assert line.startswith("TASKER_HEALTH_DATABASE_URL is missing: allowed is the URL of")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DATABASE_URL", f"mysql://u:{SECRET}@h/d", "begins with one of"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@h:port/d", "TASKER_HEALTH_DATABASE_URL"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@h/d?nonsense=1", "parameter"),
        ("CACHE_URL", f"memcached://:{SECRET}@h", "allowed is memcached://"),
        ("CACHE_URL", f"redis+sentinel://:{SECRET}@h", "whose master cannot be had"),
        ("CACHE_URL", f"redis+cluster://:{SECRET}@h/1", "whose db cannot be had"),
        ("CACHE_URL", f"postgresql://u:{SECRET}@h/d?nonsense=1", "parameter nonsense"),
        ("CACHE_URL", f"ftp://:{SECRET}@h", "is of scheme 'ftp'"),
        ("CACHE_URL", SECRET, "memory://, redis://"),
        ("CACHE_URL", f"redis://:{SECRET}@h:port/0", "TASKER_HEALTH_CACHE_URL"),
        ("CACHE_DURATION_SECONDS", "long", "is 'long'"),
        ("CASHE_URL", SECRET, "the nearest is TASKER_HEALTH_CACHE_URL"),
        ("AUTHENTICATOR_CLASS", "os:system", "system is no class"),
        ("AUTHENTICATOR_CLASS", "none.such:Class", "No module named 'none'"),
        ("AUTHORIZATION_COORDINATOR_CLASS", "json:JSONDecoder", "async def is_authorized"),
        ("STATUS_REQUIRES_AUTHENTICATION", "true", "unless one of TASKER_HEALTH_AUTHENTICATOR"),
        ("TOKENS_FILE", "/none/such.toml", "No such file"),
        ("PREFIX", "tasker", "allowed is a path"),
        ("LOG_FORMAT", "xml", "json or console"),
        ("CONFIG", "/none/such.toml", "No such file"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_setting_that_cannot_be_had_is_refused_before_anything_starts(
    name: str,
    value: str,
    told: str,
    workers: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is named as it was written, in the parent, before any worker."""
    monkeypatch.setenv("TASKER_HEALTH_DATABASE_URL", URL)
    monkeypatch.setenv(f"TASKER_HEALTH_{name}", value)
    line = refusal(["serve", "--port", "0", "--workers", workers], capsys)
    assert line.startswith(f"TASKER_HEALTH_{name}")
    assert told in line


def test_the_core_schema_on_sqlite_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two settings that do not go together are told by the one that does not fit."""
    monkeypatch.setenv("TASKER_HEALTH_DATABASE_URL", f"sqlite:///{tmp_path}/t.db")
    monkeypatch.setenv("TASKER_HEALTH_TASKER_SCHEMA", "core")
    assert refusal(["serve", "--port", "0"], capsys).startswith("TASKER_HEALTH_TASKER_SCHEMA is")


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_is_refused(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An address of another machine, or a name of none, is told as it was given."""
    monkeypatch.setenv("TASKER_HEALTH_DATABASE_URL", URL)
    line = refusal(["serve", "--host", host, "--port", "0"], capsys)
    assert line.startswith(f"--host is '{host}': allowed is an address of this machine")


@pytest.mark.parametrize(
    "argv",
    [
        ["demo", "--database-url", f"mysql://u:{SECRET}@h/d"],
        ["demo", "--database-url", "sqlite:///x.db"],
        ["demo", "--database-url", URL],
        ["demo", "--generation", "core"],
    ],
)
def test_a_demo_that_cannot_be_had_is_refused(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that the demo does not write in, or cannot reach, is one line too."""
    assert "--database-url" in refusal([*argv, "--port", "0"], capsys)


def test_the_demo_reads_the_other_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake in the environment is refused before a database is made."""
    monkeypatch.setenv("TASKER_HEALTH_CACHE_URI", "x")
    assert "TASKER_HEALTH_CACHE_URI is unknown" in refusal(["demo", "--port", "0"], capsys)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == "tasker-health, version 0.1.0\n"


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command is told with what it does."""
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in ("serve", "demo", "check", "token"))


def test_the_program_hands_check_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The console script runs either kind of command and gives its exit code."""
    monkeypatch.setattr("sys.argv", ["tasker-health", "check", "reddy"])
    assert program.main() == 2
    assert "'reddy'" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["tasker-health", "serv"])
    assert program.main() == 2


def test_check_among_the_commands_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """However it is reached, a check of nothing is refused by its own usage."""
    assert "ready, live or status" in refusal(["check"], capsys)


def test_ctrl_c_before_anything_is_served(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interrupt while the settings are read is exit code 130, without a traceback."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasker_health.entrypoints.environment.read_configuration", interrupted)
    assert cli.main(["serve"]) == 130
    out, err = capsys.readouterr()
    assert (out, err.strip()) == ("", "")


def test_the_module_is_the_program() -> None:
    """``python -m tasker_health`` is the console script, exit code and all."""
    ran = subprocess.run(
        [sys.executable, "-m", "tasker_health", "serv"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("tasker-health: No such command 'serv'.")
