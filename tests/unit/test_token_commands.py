"""``tasker-health token``: what it prints, where, and what it refuses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tasker_health.adapters.auth.token_file import parse
from tasker_health.adapters.auth.tokens import digest
from tasker_health.domain.permissions import METRICS_INDEX, STATUS_INDEX
from tasker_health.entrypoints import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tasker_health.adapters.auth.token_file import TokenRecord

    Run = Callable[..., tuple[int, str, str]]

VARIABLE = "TASKER_HEALTH_TOKENS_FILE"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the place of the token file that the environment names, and no other setting."""
    for name in list(os.environ):
        if name.startswith("TASKER_HEALTH_"):
            monkeypatch.delenv(name)
    path = tmp_path / "tokens.toml"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


@pytest.fixture
def run(path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``tasker-health token``; give its code, its output and its errors."""
    del path

    def run(*argv: str) -> tuple[int, str, str]:
        code = cli.main(["token", *argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def entries(path: Path) -> dict[str, TokenRecord]:
    """Read what stands in the file."""
    return {record.name: record for record in parse(path.read_bytes())}


def test_create_prints_the_token_once_and_keeps_its_digest(run: Run, path: Path) -> None:
    """The token alone is the output; how to use it is told beside, without it."""
    code, out, err = run("create", "grafana", "--permission", str(STATUS_INDEX))
    token = out.rstrip("\n")
    assert code == 0
    assert out == f"{token}\n"
    assert token not in err
    assert 'curl -H "Authorization: Bearer $TOKEN" http' in err
    assert "'grafana' (tasker.health_status:index; never expires)" in err
    assert token not in path.read_text()
    kept = entries(path)["grafana"]
    assert kept.sha256 == digest(token)
    assert (kept.permissions, kept.admin, kept.expires) == (frozenset({STATUS_INDEX}), False, None)


def test_create_takes_permissions_and_admin(run: Run, path: Path) -> None:
    """Permissions may be given again and again; admin is told as everything."""
    both = [word for p in (STATUS_INDEX, METRICS_INDEX) for word in ("--permission", str(p))]
    assert run("create", "a", *both)[0] == 0
    code, _, err = run("create", "b", "--admin")
    assert code == 0
    assert "(everything; " in err
    assert entries(path)["a"].permissions == {STATUS_INDEX, METRICS_INDEX}
    assert entries(path)["b"].admin is True


def test_expires_is_days_or_a_last_day(run: Run, path: Path) -> None:
    """Days count from now to the second; a day is good to its end."""
    assert run("create", "days", "--expires", "90d")[0] == 0
    assert "expires 9999-12-31T23:59:59Z" in run("create", "day", "--expires", "9999-12-31")[2]
    days, day = entries(path)["days"], entries(path)["day"]
    assert days.expires is not None
    assert (days.expires - days.created).total_seconds() == 90 * 86_400
    assert day.expires is not None
    assert day.expires.isoformat() == "9999-12-31T23:59:59+00:00"


def test_list_shows_all_but_secrets(run: Run, path: Path) -> None:
    """Each token has a line; what has expired is told so; no digest is shown."""
    for words in (["zoe", "--admin"], ["al", "--permission", str(STATUS_INDEX)], ["no"]):
        assert run("create", *words)[0] == 0
    with path.open("a") as file:
        file.write("expires = 2020-01-01T00:00:00Z\n")  # of the last entry
    code, out, err = run("list")
    head, *lines = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["NAME", "CREATED", "EXPIRES", "MAY"]
    assert [line.split()[0] for line in lines] == ["zoe", "al", "no"]
    assert lines[0].endswith("never expires                 everything")
    assert lines[1].endswith("tasker.health_status:index")
    assert "expired 2020-01-01T00:00:00Z" in lines[2]
    assert not any(record.sha256.hex() in out for record in entries(path).values())


def test_revoke_takes_one_out(run: Run, path: Path) -> None:
    """The other tokens stay, and the name is free again."""
    for name in ("a", "b"):
        run("create", name)
    assert run("revoke", "a") == (0, "", "The token 'a' is revoked.\n")
    assert set(entries(path)) == {"b"}
    assert run("create", "a")[0] == 0


def test_file_wins_over_the_setting(run: Run, path: Path, tmp_path: Path) -> None:
    """An option names another file, for each of the commands."""
    other = str(tmp_path / "other.toml")
    assert run("create", "a", "--file", other)[0] == 0
    assert " " in run("list", "--file", other)[1]
    assert run("revoke", "a", "--file", other)[0] == 0
    assert not path.exists()


def test_the_setting_may_stand_in_the_file_of_settings(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands change the file that the service reads, wherever that is named."""
    named = tmp_path / "named.toml"
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[auth]\ntokens_file = "{named}"\n')
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("TASKER_HEALTH_CONFIG", str(settings))
    assert run("create", "a")[0] == 0
    assert set(entries(named)) == {"a"}


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "Missing command. (see: tasker-health token --help)"),
        (["make"], "No such command 'make'"),
        (["create"], "Missing argument 'NAME'"),
        (["create", "a", "b"], "unexpected extra argument"),
        (["create", "two words"], "NAME is 'two words': allowed is 1 to 64 letters"),
        (["create", ""], "NAME is ''"),
        (["create", "a" * 65], "NAME is 'aaa"),
        (["create", "a\nb"], "NAME is 'a\\nb'"),
        (["create", "tht_canary"], "NAME: allowed is"),
        (["revoke", "tht_canary"], "NAME: allowed is"),
        (["revoke", "nobody"], "NAME is 'nobody'"),
        (["create", "a", "--permission", "index"], "--permission is 'index': allowed is one of"),
        (["create", "a", "--permission", "tasker.task:fly"], "tasker.task:cancel"),
        (["create", "a", "--permission", "tht_canary"], "--permission: allowed is one of"),
        (["create", "a", "--expires", "soon"], "--expires is 'soon': allowed is days from now"),
        (["create", "a", "--expires", ""], "--expires is ''"),
        (["create", "a", "--expires", "0d"], "--expires is '0d'"),
        (["create", "a", "--expires", "-1d"], "--expires is '-1d'"),
        (["create", "a", "--expires", "99999d9"], "--expires is"),
        (["create", "a", "--expires", "2026-02-30"], "--expires is '2026-02-30'"),
        (["create", "a", "--expires", "2020-01-01"], "a day that is not over"),
        (["create", "a", "--expires", "2999-W01-1"], "--expires is"),
        (["create", "a", "--file", "/none/such/x"], "--file is '/none/such/x' (from the command"),
        (["create", "a", "--file", ""], "--file is ''"),
        (["list", "--file", "/"], "not a regular file"),
        (["list"], f"{VARIABLE} is "),
    ],
)
def test_what_cannot_be_had_is_one_line(run: Run, path: Path, argv: list[str], told: str) -> None:
    """The exit code is 2, nothing is made, and no secret is repeated."""
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("tasker-health: ")
    assert err[:-1].isprintable()
    assert told in err
    assert "canary" not in err
    assert not path.exists()


def test_without_a_file_both_ways_to_name_one_are_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written anywhere by default."""
    monkeypatch.delenv(VARIABLE)
    code, out, err = run("create", "a")
    assert (code, out) == (2, "")
    assert "--file is missing" in err
    assert VARIABLE in err


def test_a_name_that_is_taken_gives_no_token(run: Run) -> None:
    """A token that was not kept is not printed either."""
    run("create", "a")
    code, out, err = run("create", "a")
    assert (code, out) == (2, "")
    assert "NAME is 'a'" in err


def test_help_tells_what_there_is(run: Run) -> None:
    """The three commands are listed, and the setting is named."""
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in ("create", "list", "revoke"))
    assert VARIABLE in out
