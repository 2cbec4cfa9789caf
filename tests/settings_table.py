"""The table of all settings, as ``docs/configuration.md`` shows it, made from the code.

``python -m tests.settings_table`` writes it into the document; a test sees that it is there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from tasker_health.domain.secret import Secret
from tasker_health.domain.settings import Settings
from tasker_health.entrypoints.options import CATALOGUE, VARIABLES, Configuration

if TYPE_CHECKING:
    from tasker_health.entrypoints.options import Setting

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"


def table() -> str:
    """Make the table, a part a heading, in the order of the file's tables."""
    tables: dict[str, list[str]] = {}
    for setting in CATALOGUE.values():
        head = [
            f"### `[{setting.table}]`",
            "",
            "| variable | default | what it is |",
            "|---|---|---|",
        ]
        tables.setdefault(setting.table, head).append(_row(setting))
    return "\n\n".join("\n".join(lines) for lines in tables.values()) + "\n"


def _row(setting: Setting) -> str:
    holder: attrs.AttrsInstance = Configuration()
    if setting.part is not None:
        holder = getattr(Settings(), setting.part)
    default = "auto" if setting.name == "tasker_schema" else getattr(holder, setting.name)
    meaning = _meanings(type(holder))[setting.name]
    return f"| `{VARIABLES}{setting.name.upper()}` | {_shown(default)} | {meaning} |"


def _shown(default: object) -> str:
    if isinstance(default, Secret):
        return _shown(default.reveal())
    if default in (None, "", frozenset()):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _meanings(holder: type[attrs.AttrsInstance]) -> dict[str, str]:
    """Read what each field is from the class's own docstring."""
    args = (holder.__doc__ or "").partition("Args:")[2].partition("\n\n")[0]
    names = "|".join(re.escape(field.name) for field in attrs.fields(holder))
    parts = re.split(rf"^\s+({names}): ", args, flags=re.MULTILINE)
    return {
        name: " ".join(text.split()).replace("``", "`").rstrip(".")
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


if __name__ == "__main__":
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
