"""A kubelet's probing of one container, to the letter, with the probes of a manifest.

What is asked, and what an answer means, is :func:`http_get`; when it is asked, and what that
makes of the container, is :class:`Kubelet`. Time may run faster: delays and periods of readiness
and liveness are divided by a factor. Time-outs are not, nor is the startup probe: no program
answers or starts the faster for it.

Left out on purpose, since no manifest of ours has it: exec, gRPC and TCP probes, TLS, headers
of the user's own, and the first moments after a kubelet's own start. A container that has to be
restarted is only noted, and not probed again: that is what a test wants to know.

Source: Kubernetes' ``pkg/probe/http`` and ``pkg/kubelet/prober``, as of 1.3x; PROBE_SEMANTICS,
*Callers*.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

import attrs
import h11

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from tests.manifests import Manifest

__all__ = ["BODY_LIMIT", "Kind", "Kubelet", "Outcome", "Probe", "ProbeError", "http_get"]

BODY_LIMIT: Final = 10 * 1024
_REDIRECTS: Final = 10
_TRIES: Final = 3
_REDIRECTING: Final = frozenset({301, 302, 303, 307, 308})


class Kind(StrEnum):
    """What a probe is for."""

    STARTUP = "startup"
    READINESS = "readiness"
    LIVENESS = "liveness"


class ProbeError(Exception):
    """A probe that says neither yes nor no: its result is thrown away."""


@attrs.frozen
class Outcome:
    """What one probe says.

    Args:
        success: whether it passed.
        output: what an event would tell; never the body of a failure.
        warning: whether it passed with a warning.
    """

    success: bool
    output: str
    warning: bool = False


@attrs.frozen(kw_only=True)
class Probe:
    """One probe of a container.

    Args:
        kind: what it is for.
        path: what it gets, of the pod's own address.
        port: the container's port.
        initial_delay_seconds: since the container's start, how long not to ask.
        period_seconds: how often to ask.
        timeout_seconds: bound of one answer, its body included.
        failure_threshold: failures in a row that count.
        success_threshold: successes in a row that count.
    """

    kind: Kind
    path: str
    port: int
    initial_delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int
    success_threshold: int

    @classmethod
    def of(cls, container: Manifest, kind: Kind, factor: float = 1.0) -> Probe:
        """Read a container's probe, with the API's defaults; time runs faster by a factor."""
        told = container[f"{kind}Probe"]
        factor = 1.0 if kind is Kind.STARTUP else factor
        asked = told["httpGet"]
        assert asked.keys() == {"path", "port"}, "nothing else is done here"
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        return cls(
            kind=kind,
            path=asked["path"],
            port=ports.get(asked["port"], asked["port"]),
            initial_delay_seconds=told.get("initialDelaySeconds", 0) / factor,
            period_seconds=told.get("periodSeconds", 10) / factor,
            timeout_seconds=told.get("timeoutSeconds", 1),
            failure_threshold=told.get("failureThreshold", 3),
            success_threshold=told.get("successThreshold", 1),
        )


class _Received(NamedTuple):
    status: int
    location: str


def http_get(host: str, port: int, path: str, timeout_seconds: float) -> Outcome:
    """Ask once, on a connection of its own, and follow redirects on the same host.

    Raises:
        ProbeError: the head of an answer came, and its body did not.
    """
    deadline = time.monotonic() + timeout_seconds
    start = url = urlsplit(f"http://{host}:{port}{path}")
    for _ in range(_REDIRECTS):
        try:
            received = _exchange(url, deadline)
        except (OSError, h11.RemoteProtocolError) as error:
            return Outcome(success=False, output=f"Get {url.geturl()!r}: {error}")
        if received.status not in _REDIRECTING or not received.location:
            return _judged(received.status)
        url = urlsplit(urljoin(url.geturl(), received.location))
        if url.hostname != start.hostname:
            return _judged(received.status)
    return Outcome(success=False, output=f"stopped after {_REDIRECTS} redirects")


def _judged(status: int) -> Outcome:
    if 300 <= status < 400:
        return Outcome(success=True, output="Probe terminated redirects", warning=True)
    if 200 <= status < 400:
        return Outcome(success=True, output="")
    return Outcome(success=False, output=f"HTTP probe failed with statuscode: {status}")


def _exchange(url: SplitResult, deadline: float) -> _Received:
    target = f"{url.path or '/'}{'?' * bool(url.query)}{url.query}"
    request = h11.Request(
        method="GET",
        target=target,
        headers=[
            ("Host", url.netloc),
            ("User-Agent", "kube-probe/1.37"),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ],
    )
    speaking = h11.Connection(our_role=h11.CLIENT)
    left = max(deadline - time.monotonic(), 0.001)
    address = (url.hostname or "", url.port or 80)
    with socket.create_connection(address, left) as connection:
        # It does not stay behind when it is closed: a second, as the kubelet's own.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))
        connection.sendall(
            (speaking.send(request) or b"") + (speaking.send(h11.EndOfMessage()) or b"")
        )
        return _receive(speaking, connection, deadline)


def _receive(speaking: h11.Connection, connection: socket.socket, deadline: float) -> _Received:
    """Read a head, and a body up to its end or the limit."""
    head = _head(speaking, connection, deadline)
    headers = dict(head.headers)
    size = 0
    try:
        while size <= BODY_LIMIT:
            event = _next(speaking, connection, deadline)
            if not isinstance(event, h11.Data):
                break
            size += len(event.data)
    except (OSError, h11.RemoteProtocolError) as error:
        raise ProbeError(str(error)) from error
    return _Received(head.status_code, headers.get(b"location", b"").decode("latin-1"))


def _head(speaking: h11.Connection, connection: socket.socket, deadline: float) -> h11.Response:
    while True:
        event = _next(speaking, connection, deadline)
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("no answer")


def _next(
    speaking: h11.Connection, connection: socket.socket, deadline: float
) -> type[h11.NEED_DATA | h11.PAUSED] | h11.Event:
    """Give the next event; it is never that there is none yet."""
    while True:
        event = speaking.next_event()
        if event is not h11.NEED_DATA:
            return event
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("Client.Timeout exceeded")
        connection.settimeout(left)
        speaking.receive_data(connection.recv(65_536))


@attrs.frozen
class Seen:
    """One probe that was sent.

    Args:
        at: when it was answered, on the monotonic clock.
        kind: what it was for.
        outcome: what it said.
    """

    at: float
    kind: Kind
    outcome: Outcome


@attrs.define
class _Worker:
    """Where one probe stands."""

    probe: Probe
    last: bool | None = None
    run: int = 0
    on_hold: bool = False
    wake: threading.Event = attrs.field(factory=threading.Event)


class Kubelet:
    """Probes one container, from its start until the pod is gone.

    Args:
        container: the container of a manifest.
        host: the pod's address.
        port: the one that is mapped to the container's, for pods that share an address.
        factor: by how much time runs faster.
    """

    def __init__(self, container: Manifest, host: str, port: int, *, factor: float = 1.0) -> None:
        self.probes: Final = {kind: Probe.of(container, kind, factor) for kind in Kind}
        self.seen: Final[list[Seen]] = []
        self.restarts: Final[list[Kind]] = []
        self._address: Final = (host, port)
        self._started_at: Final = time.monotonic()
        self._changed: Final = threading.Condition()
        self._started = self._ready = self._deleted = self._over = False
        self._workers: Final = {kind: _Worker(probe) for kind, probe in self.probes.items()}
        self._threads: Final = [
            threading.Thread(target=self._work, args=(worker,), name=f"{kind}-probe", daemon=True)
            for kind, worker in self._workers.items()
        ]

    def __enter__(self) -> Self:
        """Begin to probe: the container has just been started."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop: the pod is gone."""
        self._over = True
        for worker in self._workers.values():
            worker.wake.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} hangs"

    @property
    def started(self) -> bool:
        """Tell whether the startup probe has succeeded."""
        return self._started

    @property
    def ready(self) -> bool:
        """Tell whether the container is ready, as readiness has it."""
        return self._started and self._ready

    @property
    def in_endpoints(self) -> bool:
        """Tell whether a Service leads here: a pod that is being deleted is out at once."""
        return self.ready and not self._deleted

    def delete(self) -> None:
        """Have the pod deleted; its signal is the caller's to send.

        Readiness is probed on; startup and liveness are not.
        """
        with self._changed:
            self._deleted = True
            self._changed.notify_all()

    def until(self, holds: Callable[[Kubelet], bool], within_seconds: float) -> float:
        """Wait until something holds; tell how long that took."""
        began = time.monotonic()
        with self._changed:
            held = self._changed.wait_for(lambda: holds(self), within_seconds)
        assert held, f"after {within_seconds:g} s: {self.seen[-6:]}"
        return time.monotonic() - began

    def outcomes(self, kind: Kind, since: float = 0.0) -> list[Outcome]:
        """List what the probes of a kind said from a moment on."""
        return [one.outcome for one in list(self.seen) if one.kind == kind and one.at >= since]

    def _work(self, worker: _Worker) -> None:
        """Ask at once, and then at every tick; a tick that was missed is not made up for."""
        period = worker.probe.period_seconds
        tick = time.monotonic()
        while self._ask_if_due(worker):
            now = time.monotonic()
            tick += period * max(1, -(-(now - tick) // period))
            worker.wake.wait(tick - now)
            worker.wake.clear()

    def _ask_if_due(self, worker: _Worker) -> bool:
        """Probe once where a probe is due; tell whether to go on."""
        kind = worker.probe.kind
        if self._over or (self._deleted and kind is not Kind.READINESS):
            return False
        due = time.monotonic() - self._started_at >= worker.probe.initial_delay_seconds
        if worker.on_hold or not due or self._started is (kind is Kind.STARTUP):
            return True
        try:
            outcome = self._ask(worker.probe)
        except ProbeError:
            return True
        with self._changed:
            self.seen.append(Seen(time.monotonic(), kind, outcome))
            self._count(worker, success=outcome.success)
            self._changed.notify_all()
        return True

    def _ask(self, probe: Probe) -> Outcome:
        """Ask, and again where an answer said neither yes nor no."""
        for _ in range(_TRIES - 1):
            try:
                return http_get(*self._address, probe.path, probe.timeout_seconds)
            except ProbeError:
                continue
        return http_get(*self._address, probe.path, probe.timeout_seconds)

    def _count(self, worker: _Worker, *, success: bool) -> None:
        worker.run = worker.run + 1 if worker.last is success else 1
        worker.last = success
        probe = worker.probe
        if worker.run < (probe.success_threshold if success else probe.failure_threshold):
            return
        if probe.kind is Kind.READINESS:
            self._ready = success
        elif not success:
            worker.on_hold, worker.run = True, 0
            self.restarts.append(probe.kind)
        elif probe.kind is Kind.STARTUP:
            self._started = True
            self._workers[Kind.READINESS].wake.set()  # it is not waited for
