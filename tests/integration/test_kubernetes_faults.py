"""The shipped pods under a kubelet: what its probes make of them, from the first to the last.

The processes are real, their arguments, environment and probes are the manifests'. Time runs
faster by a factor for the kubelet, and with it for the two settings that are made for its
periods. Redis runs with the arguments of its own manifest.

Source: PROBE_SEMANTICS, *kubelet* and *Drain*.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from tests.integration.kubelet import Kind, Kubelet
from tests.integration.processes import free_port
from tests.integration.served import COMMAND
from tests.manifests import OVERLAYS, build, container, environment, expanded, found, pod_of

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import StartRedis
    from tests.integration.postgres_server import OwnPostgresServer

pytestmark = pytest.mark.faults

FACTOR: Final = 6.0
REUSE_SECONDS: Final = 1.0
BUSY_SECONDS: Final = 1.5
"""What a busy machine may add to any of these."""

_PASSWORD: Final = "canary-redis-secret"


@attrs.frozen
class Pod:
    """A process and the kubelet that probes it."""

    name: str
    process: subprocess.Popen[bytes]
    kubelet: Kubelet
    port: int
    log: Path

    def ask(self, endpoint: str) -> Any:
        """Ask on a connection of its own; tell the document of a 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", f"/tasker/health/{endpoint}")
            answer = connection.getresponse()
            assert answer.status == 200
            return json.loads(answer.read())
        finally:
            connection.close()


@contextmanager
def pod(
    folder: Path, overlay: str, number: int, urls: dict[str, str], *, factor: float = FACTOR
) -> Iterator[Pod]:
    """Run one pod of an overlay, probed from before it listens; end it at last.

    Args:
        folder: where its log goes.
        overlay: whose manifests.
        number: which replica.
        urls: where its servers really are, by the setting's name.
        factor: by how much time runs faster.
    """
    manifests = build(overlay)
    told = container(manifests)
    secrets = {"database-url": "replaced", "redis-password": _PASSWORD}
    variables = environment(manifests, secrets)
    variables |= {name: urls[name] for name in variables.keys() & urls.keys()}
    drain = "TASKER_HEALTH_DRAIN_DELAY_SECONDS"
    variables[drain] = str(float(variables[drain]) / factor)
    variables["TASKER_HEALTH_READINESS_REUSE_SECONDS"] = str(REUSE_SECONDS / factor)
    port = free_port()
    real = {"0.0.0.0": "127.0.0.1", "8000": str(port)}  # noqa: S104  what stands there
    arguments = [real.get(word, word) for word in told["args"]]
    log = folder / f"{overlay}-{number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  our own command
            [COMMAND, *arguments],
            env={"PATH": os.environ["PATH"], **variables},
            stdout=output,
            stderr=output,
        )
    try:
        with Kubelet(told, "127.0.0.1", port, factor=factor) as kubelet:
            yield Pod(f"{overlay}-{number}", process, kubelet, port, log)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)


@contextmanager
def deployed(folder: Path, database_url: str, start_redis: StartRedis) -> Iterator[list[Pod]]:
    """Run every replica of every overlay over one database, and Redis for those who share."""
    redis = start_redis(**redis_options())
    urls = {
        "TASKER_HEALTH_DATABASE_URL": database_url,
        "TASKER_HEALTH_CACHE_URL": redis.url,
    }
    with ExitStack() as running:
        yield [
            running.enter_context(pod(folder, overlay, number, urls))
            for overlay in OVERLAYS
            for number in range(found(build(overlay), "Deployment")["spec"]["replicas"])
        ]


def redis_options() -> dict[str, str]:
    """Give the options of the fleet's Redis, as its manifest passes them."""
    manifests, name = build("fleet"), "tasker-health-redis"
    program, *words = container(manifests, name)["args"]
    assert program == "redis-server"
    values = environment(manifests, {"redis-password": _PASSWORD}, name)
    pairs = zip(words[::2], words[1::2], strict=True)
    return {option.removeprefix("--"): expanded(value, values) for option, value in pairs}


def until(pods: list[Pod], within_seconds: float, *, in_endpoints: bool) -> None:
    """Wait until all of them are in the endpoints, or none is."""
    deadline = time.monotonic() + within_seconds
    for one in pods:
        left = max(deadline - time.monotonic(), 0)
        one.kubelet.until(lambda kubelet: kubelet.in_endpoints is in_endpoints, left)


def probed(pods: list[Pod], kind: Kind, count: int) -> None:
    """Wait until each of them has been probed so often from now on."""
    since = time.monotonic()
    for one in pods:
        probe = one.kubelet.probes[kind]
        patience = probe.initial_delay_seconds + (count + 2) * probe.period_seconds + 5
        one.kubelet.until(lambda kubelet: len(kubelet.outcomes(kind, since)) >= count, patience)


def test_pods_from_start_to_end(
    tmp_path: Path, postgres: OwnPostgresServer, start_redis: StartRedis
) -> None:
    """A database that is away takes pods out of the endpoints and restarts none.

    Out within the threshold's periods of the fault, and a reuse period; back within a period of
    its end. A pod that is deleted fails its readiness probes before it refuses a connection.
    """
    url = postgres.create_database(Generation.ENGINE)
    postgres.freeze()
    with deployed(tmp_path, url, start_redis) as pods:
        assert len(pods) == 4
        readiness, liveness = (
            pods[0].kubelet.probes[kind] for kind in (Kind.READINESS, Kind.LIVENESS)
        )
        out = readiness.failure_threshold * readiness.period_seconds + REUSE_SECONDS / FACTOR
        back = readiness.period_seconds + 1.0  # a second is what healing may take

        # Start-up, with the database frozen.
        for one in pods:
            one.kubelet.until(lambda kubelet: kubelet.started, 30)
        probed(pods, Kind.READINESS, readiness.failure_threshold)
        assert not any(one.kubelet.in_endpoints for one in pods)
        postgres.thaw()
        until(pods, back + BUSY_SECONDS, in_endpoints=True)

        fleet = [one for one in pods if one.name.startswith("fleet")]
        cached = [one.ask("status")["cache_info"]["cached"] for one in fleet]
        assert cached == [False, True, True], "they measure once, and share it"

        # Failure and recovery: silence first, for longer than liveness would bear, then an end.
        postgres.freeze()
        until(pods, out + BUSY_SECONDS, in_endpoints=False)
        probed(pods, Kind.LIVENESS, liveness.failure_threshold + 1)
        postgres.thaw()
        until(pods, back + BUSY_SECONDS, in_endpoints=True)
        postgres.stop("immediate")
        until(pods, out + BUSY_SECONDS, in_endpoints=False)
        postgres.start()
        until(pods, back + BUSY_SECONDS, in_endpoints=True)

        for one in (pods[0], pods[-1]):
            drains(one)
            others = [other for other in pods if other.process.poll() is None]
            assert all(other.kubelet.in_endpoints for other in others)
        assert [one.name for one in pods if one.kubelet.restarts] == []
        for one in pods:
            assert all(outcome.success for outcome in one.kubelet.outcomes(Kind.LIVENESS))
            assert _PASSWORD not in one.log.read_text()


def drains(one: Pod) -> None:
    """Delete a pod: out at once, unready while it still answers, gone within the grace."""
    kubelet, began = one.kubelet, time.monotonic()
    grace = pod_of(build("single"))["spec"]["terminationGracePeriodSeconds"]
    kubelet.delete()
    assert not kubelet.in_endpoints
    one.process.send_signal(signal.SIGTERM)
    kubelet.until(lambda seen: not seen.ready, grace)
    assert one.ask("live")["alive"], "it refuses connections before readiness has told so"
    said = {outcome.output for outcome in kubelet.outcomes(Kind.READINESS, began)}
    assert said - {""} == {"HTTP probe failed with statuscode: 503"}
    assert one.process.wait(grace / FACTOR + BUSY_SECONDS) == 0


def test_a_process_that_hangs_is_restarted(tmp_path: Path) -> None:
    """Liveness is no formality: a process that is stopped in its tracks fails it."""
    nowhere = f"postgresql://monitor@127.0.0.1:{free_port()}/tasker"
    with pod(tmp_path, "single", 0, {"TASKER_HEALTH_DATABASE_URL": nowhere}, factor=20) as one:
        one.kubelet.until(lambda kubelet: bool(kubelet.outcomes(Kind.LIVENESS)), 30)
        one.process.send_signal(signal.SIGSTOP)
        probe = one.kubelet.probes[Kind.LIVENESS]
        slowest = max(probe.period_seconds, probe.timeout_seconds)
        patience = (probe.failure_threshold + 1) * slowest + BUSY_SECONDS
        one.kubelet.until(lambda kubelet: kubelet.restarts == [Kind.LIVENESS], patience)
