"""Pin every dependency anew: `make lock`. Hashes for all, hosts for none."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
COMMON = (
    *("uv", "pip", "compile", "--quiet", "--upgrade", "pyproject.toml", "--universal"),
    *("--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"),
)

for group, name, extra in (
    ("build", "run.txt", ()),
    ("dev", "dev.txt", ("--constraints", str(HERE / "run.txt"))),
):
    subprocess.run(  # noqa: S603  our own arguments
        (*COMMON, "--group", group, *extra, "--output-file", str(HERE / name)),
        cwd=HERE.parent,
        check=True,
    )
