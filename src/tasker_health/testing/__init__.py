"""For users' own tests: a service in memory, users of every kind, contract suites, worlds.

Nothing in the package imports it. What is published here needs nothing but the package.
The contract suites need pytest and anyio's plugin, the strategies need Hypothesis, so
each is a module of its own.
"""

from tasker_health.testing.asking import Answer, ask
from tasker_health.testing.doubles import ManualClock, RecordingJournal, RecordingMeter
from tasker_health.testing.services import InMemoryHealth
from tasker_health.testing.users import (
    TestAuthenticator,
    admin_user,
    auth_headers,
    user_with_permission,
    user_without_permissions,
)

__all__ = [
    "Answer",
    "InMemoryHealth",
    "ManualClock",
    "RecordingJournal",
    "RecordingMeter",
    "TestAuthenticator",
    "admin_user",
    "ask",
    "auth_headers",
    "user_with_permission",
    "user_without_permissions",
]
