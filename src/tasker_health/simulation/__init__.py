"""Tasker at play: its tables, its state machine as a pure model, and what writes it.

For the demo, the tests and the benchmarks. The service itself never writes to Tasker's
tables and imports nothing from here.
"""
