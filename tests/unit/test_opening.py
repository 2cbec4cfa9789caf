"""Opening a database: what cannot be had is refused before anything connects."""

from __future__ import annotations

import sys

import pytest

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sql.opening import DatabaseOptions, open_database
from tasker_health.domain.database import DatabaseExpectations
from tasker_health.domain.errors import ConfigurationError


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line tells which extra is missing; the password is not in it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it were not there
    options = DatabaseOptions(target="postgresql+psycopg://u:canary@h/d")
    with pytest.raises(ConfigurationError) as refused:
        open_database(options, DatabaseExpectations(), SystemClock())
    told = str(refused.value)
    assert "tasker-health[psycopg]" in told
    assert "canary" not in told
