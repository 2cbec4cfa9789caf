"""The application that ``serve`` runs, before any server has started it."""

from __future__ import annotations

import pytest

from tasker_health.domain.errors import ConfigurationError
from tasker_health.entrypoints.options import Configuration
from tasker_health.entrypoints.server import create_app


def test_what_is_not_open_has_nothing_to_drain() -> None:
    """Told to drain before it was started, it does nothing, and raises nothing."""
    app = create_app(Configuration(database_url="postgresql://tasker@127.0.0.1:1/tasker"))
    app.drain()


def test_without_a_configuration_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a factory, which is given nothing, it takes its settings from the environment."""
    monkeypatch.setenv("TASKER_HEALTH_DATABASE_URL", "mysql://127.0.0.1/tasker")
    with pytest.raises(ConfigurationError, match="TASKER_HEALTH_DATABASE_URL"):
        create_app()
