"""The kubelet of the tests asks and judges as the real one: without that it would prove little."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

import pytest
from tests.integration.kubelet import BODY_LIMIT, Kind, Kubelet, Outcome, ProbeError, http_get
from tests.integration.processes import free_port
from tests.manifests import build, container

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PATH: Final = "/tasker/health/live"
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
SILENCE: Final = b""
FAST: Final = {"periodSeconds": 0.02, "failureThreshold": 3}


class Peer:
    """Answers each connection with the next of its answers, and keeps what it was asked.

    After an answer that is not whole it stays silent until the caller leaves.
    """

    def __init__(self, answers: Iterable[bytes]) -> None:
        self._answers = iter(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listener.getsockname()[1]
        self.asked: Final[list[bytes]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            self.asked.append(connection.recv(65_536))
            answer = next(self._answers)
            try:
                connection.sendall(answer)
                while connection.recv(65_536):
                    pass
            except OSError:
                return

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@contextmanager
def peer(*answers: bytes) -> Iterator[Peer]:
    """Run a peer that gives these answers, and the last of them for ever."""
    running = Peer(chain(answers, repeat(answers[-1])))
    try:
        yield running
    finally:
        running.close()


def ask(*answers: bytes, timeout_seconds: float = 5.0) -> Outcome:
    """Ask a peer once."""
    with peer(*answers) as running:
        return http_get("127.0.0.1", running.port, PATH, timeout_seconds)


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """Write an answer."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_what_is_asked() -> None:
    """A GET for the path, with the kubelet's own headers and the pod's address as its host."""
    with peer(OK) as running:
        http_get("127.0.0.1", running.port, PATH, 5.0)
        (asked,) = running.asked
    lines = asked.decode().split("\r\n")
    assert lines[0] == f"GET {PATH} HTTP/1.1"
    assert {line.lower() for line in lines[1:-2]} == {
        f"host: 127.0.0.1:{running.port}",
        "user-agent: kube-probe/1.37",
        "accept: */*",
        "connection: close",
    }


@pytest.mark.parametrize(
    ("status", "success"), [(200, True), (204, True), (399, True), (400, False), (503, False)]
)
def test_codes(status: int, success: bool) -> None:
    """From 200 to 399 is a success; the output of a failure tells the code, not the body."""
    outcome = ask(answer(status, body=b"" if status == 204 else b"canary"))
    assert outcome.success is success
    assert "canary" not in outcome.output
    assert success or outcome.output == f"HTTP probe failed with statuscode: {status}"


def test_a_redirect_on_the_same_host_is_followed() -> None:
    """What counts is where it leads, another port included, and ten of them are too many."""
    assert not ask(answer(302, "Location: /elsewhere"), BUSY).success
    with peer(OK) as other:
        there = f"Location: http://127.0.0.1:{other.port}/x"
        assert ask(answer(307, there), BUSY) == Outcome(success=True, output="")
        assert len(other.asked) == 1
    assert ask(answer(302, "Location: /again")).output == "stopped after 10 redirects"


def test_a_redirect_to_another_host_is_a_success_with_a_warning() -> None:
    """It is not followed."""
    outcome = ask(answer(302, "Location: http://elsewhere.invalid/"), BUSY)
    assert (outcome.success, outcome.warning) == (True, True)


def test_a_body_is_read_up_to_its_limit() -> None:
    """What comes after 10 KiB is not waited for."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    assert ask(head + b"x" * (BODY_LIMIT + 1)).success


def test_a_body_that_does_not_come_is_no_result() -> None:
    """With the head there and the body not, the probe says neither yes nor no."""
    with pytest.raises(ProbeError):
        ask(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx", timeout_seconds=0.1)


def test_whoever_does_not_answer_fails() -> None:
    """Silence, a refused connection and what is no HTTP are failures, in time."""
    began = time.monotonic()
    assert not ask(SILENCE, timeout_seconds=0.1).success
    assert time.monotonic() - began < 2
    assert not ask(b"SSH-2.0-x\r\n\r\n").success
    assert not http_get("127.0.0.1", free_port(), PATH, 1.0).success


@contextmanager
def watched(*answers: bytes, **probes: Mapping[str, float]) -> Iterator[tuple[Peer, Kubelet]]:
    """Have a kubelet probe a peer, with these numbers in place of the manifest's."""
    told = {
        f"{kind}Probe": {
            "httpGet": {"path": f"/{kind}", "port": 8000},
            **FAST,
            **probes.get(kind, {}),
        }
        for kind in Kind
    }
    with peer(*answers) as running:
        kubelet = Kubelet({"ports": [], **told}, "127.0.0.1", running.port)
        with kubelet:
            yield running, kubelet


def test_nothing_else_is_probed_before_the_start() -> None:
    """Until the startup probe has passed nobody asks for the others; afterwards, not for it."""
    with watched(BUSY, BUSY, OK, startup={"failureThreshold": 30}) as (running, kubelet):
        kubelet.until(lambda pod: pod.ready, 5)
        kubelet.until(lambda pod: len(pod.outcomes(Kind.LIVENESS)) >= 3, 5)
        kinds = [asked.split(b" ")[1] for asked in running.asked]
    assert kinds[:3] == [b"/startup"] * 3
    assert b"/startup" not in kinds[3:]
    assert kubelet.restarts == []


@pytest.mark.parametrize("kind", [Kind.STARTUP, Kind.LIVENESS])
def test_failures_in_a_row_restart(kind: Kind) -> None:
    """At its threshold, and only then, a restart is due, once; the probe then waits for it."""
    answers = {Kind.STARTUP: (BUSY,), Kind.LIVENESS: (OK, BUSY, BUSY, BUSY)}[kind]
    numbers = {"readiness": {"initialDelaySeconds": 10_000}}
    with watched(*answers, **numbers) as (_, kubelet):
        kubelet.until(lambda pod: bool(pod.restarts), 5)
        failures = [one for one in kubelet.outcomes(kind) if not one.success]
        assert len(failures) == 3
    assert kubelet.restarts == [kind]
    assert [one for one in kubelet.outcomes(kind) if not one.success] == failures


def test_failures_that_are_not_in_a_row_change_nothing() -> None:
    """One success between them begins the count anew."""
    numbers = {"liveness": {"initialDelaySeconds": 10_000}}
    answers = (OK, OK, BUSY, BUSY, OK, BUSY, BUSY, OK)
    with watched(*answers, **numbers) as (_, kubelet):
        kubelet.until(lambda pod: len(pod.outcomes(Kind.READINESS)) >= 7, 5)
        assert kubelet.ready


def test_readiness_has_its_own_threshold_of_successes() -> None:
    """It takes as many successes in a row as the manifest says to be ready."""
    numbers = {"liveness": {"initialDelaySeconds": 10_000}, "readiness": {"successThreshold": 3}}
    with watched(OK, OK, BUSY, OK, **numbers) as (_, kubelet):
        kubelet.until(lambda pod: pod.ready, 5)
        said = [outcome.success for outcome in kubelet.outcomes(Kind.READINESS)]
    assert said[:5] == [True, False, True, True, True]


def test_a_pod_that_is_deleted() -> None:
    """It leaves the endpoints at once; readiness is probed on, liveness is not."""
    with watched(OK) as (_, kubelet):
        kubelet.until(lambda pod: pod.in_endpoints, 5)
        kubelet.delete()
        assert kubelet.ready
        assert not kubelet.in_endpoints
        time_of_deletion = time.monotonic()
        kubelet.until(lambda pod: len(pod.outcomes(Kind.READINESS, time_of_deletion)) >= 5, 5)
        assert len(kubelet.outcomes(Kind.LIVENESS, time_of_deletion)) <= 1  # one was under way


def test_the_numbers_are_the_manifests() -> None:
    """Probes are read from the shipped manifest; a factor divides delays and periods alone.

    The startup probe keeps its own.
    """
    told = container(build("single"))
    kubelet = Kubelet(told, "127.0.0.1", 1, factor=10)
    readiness = kubelet.probes[Kind.READINESS]
    assert (readiness.initial_delay_seconds, readiness.period_seconds) == (1.0, 0.5)
    assert (readiness.timeout_seconds, readiness.failure_threshold) == (3, 3)
    assert readiness.success_threshold == 1
    assert {probe.port for probe in kubelet.probes.values()} == {8000}
    assert kubelet.probes[Kind.STARTUP].period_seconds == 1
    assert kubelet.probes[Kind.STARTUP].path == kubelet.probes[Kind.LIVENESS].path == PATH
