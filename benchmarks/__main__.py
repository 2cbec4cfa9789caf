"""``python -m benchmarks``: run all benchmarks and print their figures."""

from __future__ import annotations

from benchmarks import caches, endpoints, guide_table, token_timing

for benchmark in (guide_table, endpoints, caches, token_timing):
    benchmark.main()
    print()
