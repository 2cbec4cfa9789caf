"""The shipped configuration of Envoy, read strictly with the types of its own API.

Envoy itself is no program of the suite's: what the file does is not shown here, only that
every field of it exists, has the type it must have, and says what the others' files do.
"""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tasker_health.entrypoints.http import paths
from tasker_health.entrypoints.options import Configuration

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of that package's generated code
    from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap
    from envoy_data_plane.envoy.config.cluster.v3 import OutlierDetection
    from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
    from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
        HttpConnectionManager,
    )
    from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import (
        PreviousHostsPredicate,
    )

FILE: Final = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
_ANY: Final = (HttpConnectionManager, PreviousHostsPredicate, Router)
"""What the file names by its type: importing it makes it known."""


_MISREAD: Final = "enforcing_consecutive_5xx"
"""A field whose name the reader takes apart wrongly, at its digit."""


def read() -> Any:
    """Read the file anew, to be changed at will."""
    document = yaml.safe_load(FILE.read_text())
    detection = document["static_resources"]["clusters"][0]["outlier_detection"]
    assert detection.pop(_MISREAD) == 0
    assert hasattr(OutlierDetection(), _MISREAD)
    return document


def test_every_field_is_one_of_the_api() -> None:
    """The file reads as a Bootstrap, its extensions included, and nothing of it is lost."""
    bootstrap = Bootstrap.from_dict(read())
    assert bootstrap.static_resources is not None
    assert [cluster.name for cluster in bootstrap.static_resources.clusters] == ["tasker_app"]
    (listener,) = bootstrap.static_resources.listeners
    extension = listener.filter_chains[0].filters[0].typed_config
    assert extension is not None
    manager = extension.unpack()
    assert isinstance(manager, HttpConnectionManager)
    assert manager.route_config is not None
    assert len(manager.route_config.virtual_hosts[0].routes) == 2
    types = {line.partition("googleapis.com/")[2] for line in FILE.read_text().splitlines()}
    assert {kind.__name__ for kind in _ANY} == {name.rpartition(".")[2] for name in types if name}


@pytest.mark.parametrize("place", ["cluster", "check", "manager"])
def test_a_field_that_there_is_not_is_noticed(place: str) -> None:
    """A field that was misspelt is refused, in the file itself and in an extension."""
    document = read()
    resources = document["static_resources"]
    cluster = resources["clusters"][0]
    places: dict[str, dict[str, object]] = {
        "cluster": cluster,
        "check": cluster["health_checks"][0],
        "manager": resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"],
    }
    places[place]["intervall"] = "2s"
    with pytest.raises(KeyError, match="intervall"):
        Bootstrap.from_dict(document)


def test_readiness_is_what_is_asked() -> None:
    """It asks readiness often enough to see a drain before the instance ends."""
    bootstrap = Bootstrap.from_dict(read())
    assert bootstrap.static_resources is not None
    (check,) = bootstrap.static_resources.clusters[0].health_checks
    http = check.http_health_check
    assert http is not None
    assert paths("/tasker")[http.path] == "ready"
    assert [(codes.start, codes.end) for codes in http.expected_statuses] == [(200, 201)]
    for seconds in (check.interval, check.no_traffic_interval, check.timeout):
        assert seconds is not None
    assert check.unhealthy_threshold is not None
    assert check.healthy_threshold is not None
    assert check.interval is not None
    assert check.timeout is not None
    slowest = check.unhealthy_threshold * (check.interval + check.timeout)
    drain = timedelta(seconds=Configuration().drain_delay_seconds)
    assert check.interval + check.timeout < drain
    assert slowest < 2 * drain
