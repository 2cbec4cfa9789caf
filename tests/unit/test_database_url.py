"""``DATABASE_URL``: what is understood, what is refused, and what is never shown."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.adapters.sql.url import DatabaseTarget, parse_database_url
from tasker_health.domain.errors import ConfigurationError
from tasker_health.domain.secret import Secret

SECRET = "canary-Pa55"

UNDERSTOOD: list[tuple[str, dict[str, Any]]] = [
    (
        "postgresql://tasker:pa%40ss%2Fw%25@db.example:6432/tasker_production",
        {
            "driver": "asyncpg",
            "user": Secret("tasker"),
            "password": Secret("pa@ss/w%"),
            "hosts": (("db.example", 6432),),
            "database": "tasker_production",
        },
    ),
    ("postgres://h/d", {"driver": "asyncpg", "hosts": (("h", 5432),), "database": "d"}),
    ("postgresql+asyncpg://h/d", {"driver": "asyncpg"}),
    ("postgresql+psycopg://h/d", {"driver": "psycopg"}),
    ("POSTGRESQL://h/d", {"driver": "asyncpg"}),
    (" postgres://h/d\n", {"database": "d"}),
    ("postgresql:///d", {"hosts": (), "database": "d"}),
    ("postgresql://", {"hosts": (), "database": ""}),
    ("postgresql://[::1]:5433/d", {"hosts": (("::1", 5433),)}),
    ("postgresql://[fe80::1%25eth0]/d", {"hosts": (("fe80::1%eth0", 5432),)}),
    ("postgresql://a:1,b:2/d", {"hosts": (("a", 1), ("b", 2))}),
    (
        "postgresql:///d?host=/var/run/postgresql",
        {"hosts": (("/var/run/postgresql", 5432),), "database": "d"},
    ),
    ("postgresql:///d?host=/run/pg&port=5433", {"hosts": (("/run/pg", 5433),)}),
    ("postgresql://%2Frun%2Fpg/d", {"hosts": (("/run/pg", 5432),)}),
    (
        "postgresql://u@h/?dbname=d&password=p",
        {"database": "d", "password": Secret("p"), "user": Secret("u")},
    ),
    (
        "postgresql://h/d?sslmode=verify-full&sslrootcert=/ca.pem",
        {"tls": {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}},
    ),
    ("postgresql://h/d?application_name=ours", {"settings": {"application_name": "ours"}}),
    (
        "postgresql://h/d?options=-c%20search_path%3Dfoo%20--work_mem%3D1MB%20-cgeqo%3Doff",
        {"settings": {"search_path": "foo", "work_mem": "1MB", "geqo": "off"}},
    ),
    ("postgresql://h/d?schema_search_path=a,b", {"settings": {"search_path": "a,b"}}),
    ("postgresql://h/d?variables[work_mem]=1MB", {"settings": {"work_mem": "1MB"}}),
    ("postgresql://h/d?connect_timeout=3", {"connect_timeout_seconds": 3.0}),
    ("postgresql://h/d?connect_timeout=0", {"connect_timeout_seconds": None}),
    (
        "postgresql://h/d?pool=7&checkout_timeout=2.5",
        {"pool_size": 7, "checkout_timeout_seconds": 2.5},
    ),
    ("postgresql://h/d?prepared_statements=false", {"prepared_statements": False}),
    ("postgresql://h/d?target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
    (
        "postgresql://h/d?advisory_locks=false&reaping_frequency=10&statement_limit=9&timeout=5000",
        {"settings": {}, "tls": {}},
    ),
    (
        "postgresql://h/d?encoding=unicode&keepalives_idle=30&gssencmode=disable",
        {"settings": {}, "tls": {}},
    ),
    (
        "sqlite:///db/production.sqlite3",
        {"driver": "aiosqlite", "database": "db/production.sqlite3"},
    ),
    ("sqlite:////var/lib/x%20y.sqlite3", {"database": "/var/lib/x y.sqlite3"}),
    ("sqlite+aiosqlite:///x.db?timeout=5000", {"database": "x.db"}),
    ("sqlite3:///x.db", {"database": "x.db"}),
    ("sqlite3:db/x.db", {"database": "db/x.db"}),
]


@pytest.mark.parametrize(("url", "fields"), UNDERSTOOD)
def test_what_is_understood(url: str, fields: dict[str, Any]) -> None:
    """URLs as Rails and psql users write them are read into these fields."""
    target = parse_database_url(url)
    assert {name: getattr(target, name) for name in fields} == fields


REFUSED = [
    ("", "postgresql://"),
    (SECRET, "postgresql://"),
    ("mysql://u:canary-Pa55@h/d", "postgresql://"),
    ("postgresql://u:canary-Pa55@h:x/d", "percent-encoded"),
    ("postgresql://u:canary-Pa55@h:99999/d", "65535"),
    ("postgresql://u:canary-Pa55/more@h/d", "percent-encoded"),
    ("postgresql://u:canary-Pa55#more@h/d", "percent-encoded"),
    ("postgresql://u:canary-Pa55?more@h/d", "percent-encoded"),
    ("postgresql://u:canary-Pa55@[::1/d", "percent-encoded"),
    ("postgresql://u:canary-Pa55%ff@h/d", "percent-encoded"),
    ("postgresql://u:12/canary-Pa55@h/d", "percent-encoded"),
    ("postgresql://h/d?password=canary-Pa55&nonsense=1", "parameter nonsense"),
    ("postgresql://h/d?canary-Pa55=1", "one of the parameters"),
    ("postgresql://h/d?sslmode=canary-Pa55", "parameter sslmode"),
    ("postgresql://h/d?pool=canary-Pa55", "parameter pool"),
    ("postgresql://h/d?pool=0", "parameter pool"),
    ("postgresql://h/d?connect_timeout=canary-Pa55", "parameter connect_timeout"),
    ("postgresql://h/d?prepared_statements=canary-Pa55", "parameter prepared_statements"),
    ("postgresql://h/d?options=canary-Pa55", "parameter options"),
    ("postgresql://h/d?encoding=latin1", "parameter encoding"),
    ("postgresql:///d?port=canary-Pa55", "65535"),
    ("sqlite://", "sqlite:///PATH"),
    ("sqlite:///:memory:", "sqlite:///PATH"),
    ("sqlite://canary-Pa55/x", "sqlite:///PATH"),
    ("sqlite:///x?sslmode=require", "parameter sslmode"),
]


@pytest.mark.parametrize(("url", "part"), REFUSED)
def test_what_is_refused(url: str, part: str) -> None:
    """One line names the setting and what is allowed; nothing of a secret, nor its cause."""
    with pytest.raises(ConfigurationError) as refused:
        parse_database_url(url, source="the environment")
    line = str(refused.value)
    assert line.startswith("DATABASE_URL")
    assert part in line
    assert "(from the environment)" in line
    assert "\n" not in line
    assert SECRET not in line + repr(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize("written", ["canary_Pa55", "canary_Pa55=1", "sslmode=canary_Pa55"])
def test_half_a_password_is_no_parameter(written: str) -> None:
    """What follows a ``?`` that should have been encoded is not repeated as a name."""
    with pytest.raises(ConfigurationError) as refused:
        parse_database_url(f"postgresql://u:pa?{written}@h/d")
    assert "canary" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    """Neither the value nor its fingerprint tells who we are."""
    target = parse_database_url(f"postgresql://admin:{SECRET}@h/d?sslpassword={SECRET}")
    assert SECRET not in repr(target) + str(target) + target.fingerprint
    assert "admin" not in repr(target)


def test_the_fingerprint_names_the_database() -> None:
    """Host, port and database make it; who asks, and how, does not."""
    one = parse_database_url("postgresql://a:b@h/d").fingerprint
    assert one == parse_database_url("postgres://c@h:5432/d?pool=3").fingerprint
    for other in ("postgresql://a:b@h/e", "postgresql://a:b@i/d", "postgresql://a:b@h:1/d"):
        assert parse_database_url(other).fingerprint != one


def test_what_is_read_is_what_was_written() -> None:
    """Defaults are the driver's: what the URL does not say stays unsaid."""
    target = parse_database_url("postgresql:///")
    assert target == DatabaseTarget(driver="asyncpg")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever is written, the answer is a target or the one error."""
    for url in (text, f"postgresql://{text}", f"postgresql://h/d?{text}", f"sqlite:///{text}"):
        try:
            target = parse_database_url(url)
        except ConfigurationError:
            continue
        assert target.fingerprint


def test_a_refusal_survives_pickling() -> None:
    """The error can cross a process boundary unchanged."""
    with pytest.raises(ConfigurationError) as refused:
        parse_database_url("postgresql://h/d?pool=none")
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)  # noqa: S301  ours
