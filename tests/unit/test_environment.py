"""Settings as users write them: where they may stand, who wins, and how they are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.domain.database import Generation
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.settings import Settings
from tasker_health.entrypoints.environment import read_configuration
from tasker_health.entrypoints.options import CATALOGUE, Configuration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "canary-s3cret"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Write a settings file and give the environment that names it."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "tasker-health.toml"
        path.write_text(text)
        return {"TASKER_HEALTH_CONFIG": str(path)}

    return write


def refusal(environ: dict[str, str], **overrides: str) -> str:
    """Read what cannot be read, and give the one line that says why."""
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(environ, overrides=overrides)
    line = str(caught.value)
    assert line.isprintable()
    return line


def test_nothing_given_is_the_defaults_of_the_guide() -> None:
    """An environment without settings of ours gives every default, and no origin."""
    assert read_configuration({"PATH": "/bin", "LANG": "C"}) == Configuration()
    assert read_configuration({}).origins == {}


def test_every_option_of_the_domain_is_a_setting() -> None:
    """Each field of each part of the settings can be given; no two share a name."""
    fields = [
        field.name
        for part in attrs.fields(Settings)
        for field in attrs.fields(type(getattr(Settings(), part.name)))
    ]
    ours = [field.name for field in attrs.fields(Configuration) if field.metadata]
    assert sorted(CATALOGUE) == sorted([*fields, *ours])


def test_the_environment_wins_over_the_file(write: Callable[[str], dict[str, str]]) -> None:
    """A variable overrides the file's key; the rest of the file stands."""
    environ = write("[health]\ncache_duration_seconds = 5\nmax_stale_seconds = 7\n")
    environ["TASKER_HEALTH_CACHE_DURATION_SECONDS"] = "30"
    health = read_configuration(environ).settings.health
    assert (health.cache_duration_seconds, health.max_stale_seconds) == (30, 7)


def test_the_command_line_wins_over_the_environment() -> None:
    """An override beats the variable of the same setting."""
    read = read_configuration(
        {"TASKER_HEALTH_DATABASE_URL": "sqlite:///a"}, overrides={"database_url": "sqlite:///b"}
    )
    assert read.database_url.reveal() == "sqlite:///b"
    assert read.origin("database_url").written == "--database-url"


def test_each_value_knows_where_it_came_from(write: Callable[[str], dict[str, str]]) -> None:
    """An origin names the setting as it was written, and the place."""
    environ = write("[auth]\nauthorization_enabled = true\n")
    environ["TASKER_HEALTH_PREFIX"] = "/t"
    read = read_configuration(environ)
    path = environ["TASKER_HEALTH_CONFIG"]
    assert read.origin("authorization_enabled").written == "authorization_enabled"
    assert read.origin("authorization_enabled").place == f"[auth] of {path}"
    assert read.origin("prefix").place == "the environment"
    assert read.origin("pool_size").written == "TASKER_HEALTH_POOL_SIZE"
    assert read.origin("pool_size").place == "the default"


@given(empty=st.sampled_from(["", " ", "\t "]), name=st.sampled_from(sorted(CATALOGUE)))
def test_an_empty_value_is_no_value(empty: str, name: str) -> None:
    """A variable that is set to nothing leaves the default standing."""
    assert read_configuration({f"TASKER_HEALTH_{name.upper()}": empty}) == Configuration()


def test_an_empty_variable_leaves_the_file_standing(
    write: Callable[[str], dict[str, str]],
) -> None:
    """What is set to nothing in the environment is read from the file."""
    environ = write('[cache]\ncache_url = "redis://h"\n') | {"TASKER_HEALTH_CACHE_URL": ""}
    assert read_configuration(environ).cache_url.reveal() == "redis://h"


def test_an_empty_key_of_the_file_is_no_value(write: Callable[[str], dict[str, str]]) -> None:
    """What the file sets to nothing keeps its default, and no origin."""
    read = read_configuration(write('[cache]\ncache_url = ""\n'))
    assert read.cache_url == Configuration().cache_url
    assert read.origins == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("YES", True), ("1", True), ("off", False), ("False", False), ("0", False)],
)
def test_switches_are_read_as_people_write_them(text: str, value: bool) -> None:
    """Several words in any case mean on and off."""
    read = read_configuration({"TASKER_HEALTH_REQUIRE_WRITABLE": text})
    assert read.settings.database.require_writable is value


@given(
    text=st.text(max_size=20).filter(
        lambda text: (
            text.strip()
            and text.strip().lower() not in {"true", "false", "yes", "no", "on", "off", "0", "1"}
        )
    )
)
def test_nothing_else_is_a_switch(text: str) -> None:
    """Any other text is refused in one line that names the setting and what is allowed."""
    line = refusal({"TASKER_HEALTH_AUTHORIZATION_ENABLED": text})
    assert line.startswith("TASKER_HEALTH_AUTHORIZATION_ENABLED is ")
    assert line.endswith("(from the environment): allowed is true or false")


@given(seconds=st.floats(min_value=0, max_value=86_400))
def test_numbers_are_read_exactly(seconds: float) -> None:
    """A number that is written out reads back as itself."""
    read = read_configuration({"TASKER_HEALTH_CACHE_DURATION_SECONDS": repr(seconds)})
    assert read.settings.health.cache_duration_seconds == seconds


@pytest.mark.parametrize("text", ["abc", "1_0", "nan", "inf", "-1", "86401", "1,5", "0x10", "٣"])
def test_bad_numbers_are_refused(text: str) -> None:
    """What is no number, or out of range, is refused with what was given."""
    line = refusal({"TASKER_HEALTH_CACHE_DURATION_SECONDS": text})
    assert line.startswith(f"TASKER_HEALTH_CACHE_DURATION_SECONDS is {text!r} (from the env")
    assert "a number" in line


@pytest.mark.parametrize("value", ["2.5", "0", "-3", "true", "many", "101"])
def test_a_whole_number_is_insisted_upon(value: str) -> None:
    """A pool cannot be so large."""
    assert "whole number from 1 to 100" in refusal({"TASKER_HEALTH_POOL_SIZE": value}) or (
        "a whole number" in refusal({"TASKER_HEALTH_POOL_SIZE": value})
    )


def test_lists_are_separated_by_commas(write: Callable[[str], dict[str, str]]) -> None:
    """Versions are read from a text with commas, and from an array of texts or numbers."""
    expected = frozenset({"20250101", "20250102"})
    text = {"TASKER_HEALTH_EXPECTED_MIGRATIONS": " 20250101, 20250102 ,"}
    assert read_configuration(text).settings.database.expected_migrations == expected
    array = write('[database]\nexpected_migrations = ["20250101", 20250102]\n')
    assert read_configuration(array).settings.database.expected_migrations == expected


@pytest.mark.parametrize(
    ("text", "generation"),
    [("auto", None), ("engine", Generation.ENGINE), ("CORE", Generation.CORE)],
)
def test_the_schema_is_a_generation_or_auto(text: str, generation: Generation | None) -> None:
    """The generation is told by its name, in any case."""
    read = read_configuration({"TASKER_HEALTH_TASKER_SCHEMA": text})
    assert read.settings.database.tasker_schema is generation


def test_an_unknown_schema_is_refused() -> None:
    """Any other name is refused with those that there are."""
    assert refusal({"TASKER_HEALTH_TASKER_SCHEMA": "rails"}) == (
        "TASKER_HEALTH_TASKER_SCHEMA is 'rails' (from the environment):"
        " allowed is auto, engine or core"
    )


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("TASKER_HEALTH_CASHE_URL", "TASKER_HEALTH_CACHE_URL"),
        ("TASKER_HEALTH_Cache_Url", "TASKER_HEALTH_CACHE_URL"),
        ("TASKER_HEALTH_DATABASE", "TASKER_HEALTH_DATABASE_URL"),
        ("TASKER_HEALTH_PORT", "TASKER_HEALTH_P"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(written: str, nearest: str) -> None:
    """A misspelt name never passes in silence, and its value is not repeated."""
    line = refusal({written: SECRET})
    assert line.startswith(f"{written} is unknown (from the environment)")
    assert f"the nearest is {nearest}" in line
    assert SECRET not in line


def test_what_kubernetes_adds_for_a_service_of_our_name_is_no_mistake() -> None:
    """The variables of a Service called tasker-health, or tasker-health-redis, are let be."""
    variables = {
        "TASKER_HEALTH_SERVICE_HOST": "10.0.0.1",
        "TASKER_HEALTH_SERVICE_PORT": "8000",
        "TASKER_HEALTH_SERVICE_PORT_HTTP": "8000",
        "TASKER_HEALTH_PORT": "tcp://10.0.0.1:8000",
        "TASKER_HEALTH_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "TASKER_HEALTH_PORT_8000_TCP_PROTO": "tcp",
        "TASKER_HEALTH_PORT_8000_TCP_PORT": "8000",
        "TASKER_HEALTH_PORT_8000_TCP_ADDR": "10.0.0.1",
        "TASKER_HEALTH_REDIS_SERVICE_HOST": "10.0.0.2",
        "TASKER_HEALTH_REDIS_PORT": "tcp://10.0.0.2:6379",
    }
    assert read_configuration(variables) == Configuration()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[helth]\n", "[helth] is unknown"),
        ("[health]\ncache_duration = 1\n", "the nearest is cache_duration_seconds"),
        ("[cache]\npool_size = 1\n", "pool_size is unknown (from [cache] of "),
        ("cache_url = 'x'\n", "cache_url is unknown"),
        ("[health]\n\ncache_duration_seconds = \n", "at line 3"),
        ("[health]\ncache_duration_seconds = true\n", "is True (from [health] of "),
        ("[server]\nprefix = 5\n", "prefix is 5 (from [server] of "),
        ("[auth]\nauthorization_enabled = 1\n", "allowed is true or false"),
        ("[database]\nexpected_migrations = [1.5]\n", "a list of names"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(
    write: Callable[[str], dict[str, str]], text: str, told: str
) -> None:
    """The line names the file, and the table, key or line in it."""
    environ = write(text)
    line = refusal(environ)
    assert told in line
    assert environ["TASKER_HEALTH_CONFIG"] in line


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"[health\n"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing file, one that is no text and one that is no TOML are named."""
    path = tmp_path / "x.toml"
    if content is not None:
        path.write_bytes(content)
    line = refusal({"TASKER_HEALTH_CONFIG": str(path)})
    assert line.startswith(f"TASKER_HEALTH_CONFIG is {str(path)!r} (from the environment)")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """The reason is told in the system's own words."""
    assert "Is a directory" in refusal({"TASKER_HEALTH_CONFIG": str(tmp_path)})


def test_thresholds_that_contradict_are_refused() -> None:
    """The setting that does not fit is named, although the other one was given."""
    line = refusal({"TASKER_HEALTH_UNHEALTHY_FAILED_SHARE": "0.01"})
    assert line.startswith("TASKER_HEALTH_DEGRADED_FAILED_SHARE is 0.05 (from the default)")
    assert "unhealthy_failed_share, which is 0.01" in line


def test_secrets_never_print(write: Callable[[str], dict[str, str]]) -> None:
    """No URL is in the representation, nor in the refusal of a URL of the wrong type."""
    url = f"postgresql://u:{SECRET}@h/d"
    read = read_configuration(
        {"TASKER_HEALTH_DATABASE_URL": url, "TASKER_HEALTH_CACHE_URL": f"redis://:{SECRET}@h"}
    )
    assert read.database_url.reveal() == url
    assert SECRET not in repr(read)
    assert SECRET not in refusal(write(f'[cache]\ncache_url = ["{SECRET}"]\n'))


def test_the_root_is_a_prefix() -> None:
    """A single slash means that nothing stands before /health."""
    assert read_configuration({"TASKER_HEALTH_PREFIX": "/"}).prefix == ""


@pytest.mark.parametrize("prefix", ["tasker", "/tasker/", "//", "/a b", "/..", "/ta%2Fsker"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    """A prefix begins with a slash, does not end in one, and needs no decoding."""
    assert "allowed is a path" in refusal({"TASKER_HEALTH_PREFIX": prefix})


def test_a_long_value_is_cut() -> None:
    """What was given is shown, but never so that the line loses its end."""
    line = refusal({"TASKER_HEALTH_LOG_FORMAT": "x" * 5000})
    assert len(line) < 250
    assert line.endswith("allowed is json or console")
