"""The document of all settings says what the code does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.settings_table import BEGIN, DOCUMENT, END, table

from tasker_health.entrypoints.environment import read_configuration

if TYPE_CHECKING:
    from pathlib import Path


def test_every_setting_is_documented_with_its_default() -> None:
    """The table in the document is the one made from the code, row by row."""
    written = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    assert written == table(), "run: python -m tests.settings_table"


def test_the_example_file_of_the_document_is_good(tmp_path: Path) -> None:
    """The TOML that the document shows is read without complaint."""
    shown = DOCUMENT.read_text().partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "tasker-health.toml"
    file.write_text(shown)
    configuration = read_configuration({"TASKER_HEALTH_CONFIG": str(file)})
    assert configuration.settings.health.cache_duration_seconds == 30
    assert configuration.pool_size == 4
