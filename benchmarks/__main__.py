"""``python -m benchmarks``: run all benchmarks and print their figures."""

from __future__ import annotations

from benchmarks import endpoints

endpoints.main()
