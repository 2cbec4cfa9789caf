"""Pin every dependency anew: `make lock`. Hashes for all, hosts for none."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
COMMON = (
    *("uv", "pip", "compile", "--quiet", "--upgrade", "pyproject.toml", "--universal"),
    *("--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"),
)

SAME = ("--constraints", str(HERE / "run.txt"))
EXTRAS = ("alerts", "datadog", "jwt", "memcached", "otlp")

# To run it; to run it with everything that a setting may ask for, as the image does; to
# work on it.
for name, what in (
    ("run.txt", ("--group", "build")),
    ("image.txt", ("--group", "build", *SAME, *(f"--extra={extra}" for extra in EXTRAS))),
    ("dev.txt", ("--group", "dev", *SAME)),
):
    subprocess.run(  # noqa: S603  our own arguments
        (*COMMON, *what, "--output-file", str(HERE / name)),
        cwd=HERE.parent,
        check=True,
    )
