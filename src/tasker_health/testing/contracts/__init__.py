"""What each port promises, as tests to subclass: an adapter that passes keeps the promise.

A test module certifies an adapter by a subclass that overrides the fixtures without a
default, as each suite's docstring tells::

    class TestMyStatusCache(StatusCacheContract):
        @pytest.fixture
        def cache(self) -> StatusCache:
            return MyStatusCache(...)

What not every adapter can do is a class attribute or a suite of its own; no test asks
what an adapter *is*. The suites need pytest, anyio's plugin (which comes with anyio) and
Hypothesis, and run on asyncio.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{suites}"
        for suites in ("access", "base", "cache", "database", "incidents", "local")
    )
)

# After the line above, or a failing promise would not show its values.
from tasker_health.testing.contracts.access import (  # noqa: E402
    AuthenticatorContract,
    CoordinatorClassContract,
    CoordinatorContract,
    RecognisingAuthenticatorContract,
)
from tasker_health.testing.contracts.cache import (  # noqa: E402
    StatusCacheContract,
    StoredStatusCacheContract,
)
from tasker_health.testing.contracts.database import (  # noqa: E402
    DatabaseProbeContract,
    TaskerContract,
)
from tasker_health.testing.contracts.incidents import IncidentStoreContract  # noqa: E402
from tasker_health.testing.contracts.local import (  # noqa: E402
    ClockContract,
    JournalContract,
    MeterContract,
)

__all__ = [
    "AuthenticatorContract",
    "ClockContract",
    "CoordinatorClassContract",
    "CoordinatorContract",
    "DatabaseProbeContract",
    "IncidentStoreContract",
    "JournalContract",
    "MeterContract",
    "RecognisingAuthenticatorContract",
    "StatusCacheContract",
    "StoredStatusCacheContract",
    "TaskerContract",
]
