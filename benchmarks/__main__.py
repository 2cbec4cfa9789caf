"""``python -m benchmarks``: run all benchmarks and print their figures."""

from __future__ import annotations

from benchmarks import endpoints, token_timing

endpoints.main()
print()
token_timing.main()
