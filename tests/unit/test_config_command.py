"""``tasker-health config``: every setting with its source, no secret, and all that is wrong."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.entrypoints import cli
from tasker_health.entrypoints.config_command import hidden
from tasker_health.entrypoints.environment import read_what_can_be
from tasker_health.entrypoints.options import CATALOGUE

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "canary-s3cret"
URL = f"postgresql://canary-user:{SECRET}@db.internal:5432/tasker?sslmode=require&password={SECRET}"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with a database and no other setting of ours."""
    for name in list(os.environ):
        if name.startswith("TASKER_HEALTH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TASKER_HEALTH_DATABASE_URL", URL)


def run(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run a command; gives its code and what it wrote. No secret is ever in it."""
    code = cli.main(["config", *argv])
    out, err = capsys.readouterr()
    assert "canary" not in out + err
    return code, out, err


def test_every_setting_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    """All of the catalogue, in its order, each with a value and where it came from."""
    code, out, _ = run(["show"], capsys)
    names = [line.split(" ")[0] for line in out.splitlines()]
    assert code == 0
    assert names == [f"TASKER_HEALTH_{name.upper()}" for name in CATALOGUE]
    assert all("  # " in line for line in out.splitlines())
    lines = {line.split(" ")[0]: line.split("=", 1)[1] for line in out.splitlines()}
    assert "postgresql://***@db.internal:5432/tasker?sslmode=***" in lines[names_of("database_url")]
    assert lines[names_of("tasker_schema")].split() == ["auto", "#", "the", "default"]


def names_of(setting: str) -> str:
    """Give a setting's variable."""
    return f"TASKER_HEALTH_{setting.upper()}"


def test_only_what_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--changed`` shows what somebody set, and where: the environment, or the file."""
    file = tmp_path / "settings.toml"
    file.write_text('[database]\npool_size = 4\nexpected_migrations = ["2", "1"]\n')
    monkeypatch.setenv("TASKER_HEALTH_CONFIG", str(file))
    monkeypatch.setenv("TASKER_HEALTH_DEBUG_REQUESTS", "yes")
    _, out, _ = run(["show", "--changed"], capsys)
    told = {" ".join(line.split()) for line in out.splitlines()}
    assert len(told) == 4
    assert {
        f"TASKER_HEALTH_EXPECTED_MIGRATIONS = 1,2 # [database] of {file}, as expected_migrations",
        f"TASKER_HEALTH_POOL_SIZE = 4 # [database] of {file}, as pool_size",
        "TASKER_HEALTH_DEBUG_REQUESTS = true # the environment, as TASKER_HEALTH_DEBUG_REQUESTS",
    } < told


def test_nothing_given_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says that every setting has its default; as JSON there are simply none."""
    monkeypatch.delenv("TASKER_HEALTH_DATABASE_URL")
    assert run(["show", "--changed"], capsys) == (
        0,
        "tasker-health: every setting has its default\n",
        "",
    )
    assert run(["show", "--changed", "--json"], capsys) == (0, '{"settings":[]}\n', "")


def test_json_has_values_of_their_types(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers stay numbers, switches switches; what nobody said is null."""
    _, out, _ = run(["show", "--json"], capsys)
    assert out.count("\n") == 1
    rows = {row["name"]: row for row in json.loads(out)["settings"]}
    assert rows["cache_duration_seconds"] == {
        "name": "cache_duration_seconds",
        "table": "health",
        "value": 15,
        "source": "the default",
    }
    assert rows["degraded_failed_share"]["value"] == 0.05
    assert rows["authorization_enabled"]["value"] is False
    assert rows["expected_migrations"]["value"] == []
    assert rows["pool_size"]["value"] is None
    assert rows["log_format"]["value"] == "json"


def test_no_secret_setting_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the catalogue calls secret is hidden, those to come included."""
    secrets = [setting.name for setting in CATALOGUE.values() if setting.secret]
    assert {"database_url", "cache_url"} <= set(secrets)
    monkeypatch.setenv("TASKER_HEALTH_CACHE_URL", f"redis://canary-user:{SECRET}@cache:6379/0")
    _, out, _ = run(["show", "--json"], capsys)
    rows = {row["name"]: row["value"] for row in json.loads(out)["settings"]}
    assert rows["cache_url"] == "redis://***@cache:6379/0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("postgres://h/d", "postgres://h/d"),
        ("postgresql:///d?host=/run&user=canary", "postgresql:///d?host=***&user=***"),
        ("postgresql://u:p@a:1,b:2/d", "postgresql://***@a:1,b:2/d"),
        ("rediss://:canary@[::1]:6379/0", "rediss://***@[::1]:6379/0"),
        ("sqlite:////srv/tasker.sqlite3", "sqlite:////srv/tasker.sqlite3"),
        ("postgresql://u:canary/x@h/d", "***"),
        ("postgresql://u:p@h/d#canary", "postgresql://***@h/d"),
        ("redis://:2024?canary@cache:6379/0", "***"),
        ("redis://:2024#canary@cache:6379/0", "***"),
        ("postgresql://u:2024/canary@h/d", "***"),
        ("postgresql://[canary", "***"),
        ("canary", "***"),
    ],
)
def test_a_url_is_shown_without_who(url: str, shown: str) -> None:
    """Where something is may be seen; user, password and parameters may not."""
    assert hidden(url) == shown


@given(st.text(st.characters(codec="ascii", exclude_characters="/?#[]"), min_size=1))
def test_no_password_can_be_seen(password: str) -> None:
    """Whatever stands between the colon and the last ``@``."""
    told = hidden(f"postgresql://user:CANARY{password}CANARY@host:5432/db")
    assert "CANARY" not in told


def test_a_good_configuration_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 0; nothing was opened."""
    code, out, err = run(["check"], capsys)
    assert (code, err) == (0, "")
    assert out == "tasker-health: all that the settings name can be had\n"


def test_all_problems_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that there are not, values that cannot be, and what cannot be loaded: a line each."""
    file = tmp_path / "settings.toml"
    file.write_text('colour = 1\n[helth]\n[health]\ncolour = "red"\ncache_duration_seconds = "x"\n')
    for name, value in (
        ("CONFIG", str(file)),
        ("DATABASE_URL", f"mysql://u:{SECRET}@h/d"),
        ("CASHE_URL", SECRET),
        ("POOL_SIZE", "0"),
        ("DEBUG_REQUESTS", "maybe"),
        ("UNHEALTHY_FAILED_SHARE", "0.01"),
        ("AUTHORIZATION_COORDINATOR_CLASS", "json:JSONDecoder"),
        ("TOKENS_FILE", "/none/such.toml"),
    ):
        monkeypatch.setenv(f"TASKER_HEALTH_{name}", value)
    code, out, err = run(["check"], capsys)
    assert (code, out) == (2, "")
    told = [line.removeprefix("tasker-health: ").split(" ")[0] for line in err.splitlines()]
    assert sorted(told) == sorted(
        [
            *("colour", "[helth]", "colour", "cache_duration_seconds"),
            *map(
                names_of,
                (
                    *("cashe_url", "pool_size", "debug_requests", "degraded_failed_share"),
                    *("database_url", "authorization_coordinator_class", "tokens_file"),
                ),
            ),
        ]
    )


def test_what_follows_from_an_unreadable_file_is_no_news(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read is the one problem, not all that it would have said."""
    monkeypatch.delenv("TASKER_HEALTH_DATABASE_URL")
    monkeypatch.setenv("TASKER_HEALTH_CONFIG", "/none/such.toml")
    code, _, err = run(["check"], capsys)
    assert code == 2
    assert err.count("\n") == 1
    assert "TASKER_HEALTH_CONFIG" in err


def test_what_is_wrong_is_left_out_of_what_is_read() -> None:
    """The good settings hold, a bad one has its default, and both are told."""
    configuration, problems = read_what_can_be(
        {"TASKER_HEALTH_POOL_SIZE": "0", "TASKER_HEALTH_PREFIX": "/ops"}
    )
    assert (configuration.prefix, configuration.pool_size) == ("/ops", None)
    assert [problem.setting for problem in problems] == ["TASKER_HEALTH_POOL_SIZE"]
    assert set(configuration.origins) == {"prefix"}
