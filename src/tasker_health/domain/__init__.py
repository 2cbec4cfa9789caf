"""The rules of health, as values and use cases. Standard library and attrs only.

What is left out on purpose: every database, cache, framework, file and environment
variable. They stand behind :mod:`tasker_health.domain.ports`.
"""
