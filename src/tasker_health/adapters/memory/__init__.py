"""Tasker, its database and a status cache, in this process's memory.

For tests and for playing; nothing here is a stub: :mod:`.world` holds tasks, steps and
their transitions, and the rules of both generations are applied to them.
"""
