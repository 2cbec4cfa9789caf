"""The adapters in ``examples``: the contract certifies one and turns the other down."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

pytest_plugins = ["pytester"]

EXAMPLES: Final = Path(__file__).parents[2] / "examples"

_FORGETFUL: Final = """
import pytest
from forgetful_status_cache import ForgetfulStatusCache
from tasker_health.testing.contracts import StatusCacheContract

class TestForgetfulStatusCache(StatusCacheContract):
    @pytest.fixture
    def cache(self):
        return ForgetfulStatusCache()

    @pytest.fixture
    def pass_time(self):
        async def at_once(seconds): pass
        return at_once
"""


@pytest.fixture
def beside_the_examples(pytester: pytest.Pytester) -> pytest.Pytester:
    """Copy the examples to where pytester runs."""
    for example in EXAMPLES.glob("*.py"):
        shutil.copy(example, pytester.path)
    return pytester


def test_a_strangers_cache_passes(beside_the_examples: pytest.Pytester) -> None:
    """A cache written against the published port alone passes its whole contract."""
    result = beside_the_examples.runpytest_inprocess(
        "test_file_status_cache.py", "-p", "no:cacheprovider"
    )
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] > 30


def test_a_forgetful_cache_fails(beside_the_examples: pytest.Pytester) -> None:
    """A cache that forgets absence and expiry fails exactly the promises that say so."""
    beside_the_examples.makepyfile(test_forgetful=_FORGETFUL)
    result = beside_the_examples.runpytest_inprocess(
        "test_forgetful.py", "-p", "no:cacheprovider", "-rf"
    )
    failed = {
        line.partition(" - ")[0].rpartition("::")[2]
        for line in result.outlines
        if line.startswith("FAILED ")
    }
    assert failed == {
        "test_nothing_put_is_none",
        "test_a_report_is_not_kept_past_its_time",
        "test_each_report_has_its_own_time",
    }
    assert result.parseoutcomes()["passed"] > 20
