"""Receivers of what we send: an HTTP server that answers as told, agents, and strict readers.

Each runs in a thread of the test's own process, on a free port of the loopback interface,
and keeps all that arrived. What arrived is read as strictly as the receiver's documents say.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

__all__ = [
    "BREAK",
    "HANG",
    "Agent",
    "Post",
    "Receiver",
    "agent",
    "answer",
    "gauges",
    "pagerduty_problems",
    "receiver",
    "verified",
    "wait_until",
]

BREAK: Final = b"break"
"""An answer that is none: the connection is closed."""

HANG: Final = b"hang"
"""An answer that never comes, as long as the other side waits for it."""


@attrs.frozen
class Post:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def document(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)


def answer(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """Write an answer."""
    told = {"Content-Length": str(len(body)), "Connection": "close"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} Told\r\n{lines}\r\n".encode() + body


class Receiver:
    """Takes POSTs. Answers each with the next of ``answers``, and then with ``usual``."""

    def __init__(self, usual: bytes) -> None:
        self.usual = usual
        self.answers: Final[list[bytes]] = []
        self.posts: Final[list[Post]] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {n.strip().lower(): v.strip() for n, _, v in (h.partition(":") for h in head)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.posts.append(Post(head[0].split()[1], headers, body, time.monotonic()))
            told = self.answers.pop(0) if self.answers else self.usual
            if told == HANG:
                await reader.read()
            elif told != BREAK:
                writer.write(told)
                await writer.drain()
        writer.close()


@contextmanager
def receiver(usual: bytes = b"", *, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver that answers 202 unless told otherwise."""
    made, ready, over = Receiver(usual or answer(202)), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        async with await asyncio.start_server(made.handle, "127.0.0.1", 0, ssl=tls) as server:
            made.port = server.sockets[0].getsockname()[1]
            ready.set()
            await over.wait()
            server.close()  # who hangs is left behind, and ended with the loop

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield made
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join(10)


def wait_until(what: Callable[[], object], *, within_seconds: float = 30.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within_seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


_EVENT: Final = {"routing_key", "event_action", "dedup_key"}
_TRIGGER: Final = _EVENT | {"payload", "client", "client_url", "links", "images"}
_PAYLOAD: Final = {"summary", "source", "severity"}
_DETAILS: Final = {"timestamp", "component", "group", "class", "custom_details"}
_SEVERITIES: Final = {"critical", "error", "warning", "info"}
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")


def pagerduty_problems(post: Post, routing_key: str) -> list[str]:
    """Tell what is wrong with an event, by PagerDuty's description of the Events API v2."""
    problems = []

    def must(so: object, told: str) -> None:
        if not so:
            problems.append(told)

    must(post.path == "/v2/enqueue", "path")
    must(post.headers.get("content-type") == "application/json", "content type")
    must(len(post.body) <= 512 * 1024, "more than 512 KB")
    event = post.document
    must(event.get("routing_key") == routing_key, "routing_key")
    action = event.get("event_action")
    must(action in {"trigger", "acknowledge", "resolve"}, "event_action")
    key = event.get("dedup_key")
    must(isinstance(key, str) and 0 < len(key) <= 255, "dedup_key")
    must(set(event) <= (_TRIGGER if action == "trigger" else _EVENT), "unknown keys")
    if action != "trigger":
        return problems
    payload = event.get("payload", {})
    must(set(payload) >= _PAYLOAD, "payload lacks something")
    must(set(payload) <= _PAYLOAD | _DETAILS, "payload has too much")
    must(0 < len(payload.get("summary", "")) <= 1024, "summary")
    must(isinstance(payload.get("source"), str) and payload["source"], "source")
    must(payload.get("severity") in _SEVERITIES, "severity")
    must(_INSTANT.fullmatch(payload.get("timestamp", "")), "timestamp")
    must(isinstance(payload.get("custom_details"), dict), "custom_details")
    return problems


def verified(post: Post, secret: str, *, now: float | None = None) -> bool:
    """Check a webhook as the Standard Webhooks specification says a receiver does."""
    headers = post.headers
    sent = headers["webhook-timestamp"]
    if abs((time.time() if now is None else now) - int(sent)) > 300:
        return False
    signed = b".".join([headers["webhook-id"].encode(), sent.encode(), post.body])
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    versions = (one.partition(",") for one in headers["webhook-signature"].split())
    return any(v == "v1" and hmac.compare_digest(s, expected) for v, _, s in versions)


class Agent:
    """A DogStatsD agent: a datagram socket, and what arrived on it."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket: Final = bound

    @property
    def url(self) -> str:
        """Where to send to, as the setting has it."""
        name = self._socket.getsockname()
        return f"unix://{name}" if isinstance(name, str) else f"udp://127.0.0.1:{name[1]}"

    def close(self) -> None:
        """Be gone: nobody listens any more."""
        name = self._socket.getsockname()
        self._socket.close()
        if isinstance(name, str):
            Path(name).unlink()

    def take(self, *, within_seconds: float = 15.0) -> bytes:
        """Wait for the next datagram."""
        self._socket.settimeout(within_seconds)
        return self._socket.recv(65536)


@contextmanager
def agent(path: Path | None = None, port: int = 0) -> Iterator[Agent]:
    """Listen on UDP, or on a Unix socket at this path."""
    family = socket.AF_INET if path is None else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", port) if path is None else str(path))
        try:
            yield Agent(bound)
        finally:
            if path is not None:
                path.unlink(missing_ok=True)


_GAUGE: Final = re.compile(r"([a-z][a-z0-9_.]*):(-?\d+(?:\.\d+)?)\|g(?:\|#([^|]*))?(?:\|[ce]:.*)?")


def gauges(datagram: bytes) -> dict[str, tuple[float, set[str]]]:
    """Read a datagram as DogStatsD's datagram format has it: value and tags by name."""
    found = {}
    for line in datagram.decode().splitlines():
        read = _GAUGE.fullmatch(line)
        assert read is not None, line
        assert read[1] not in found, f"{read[1]} twice"
        found[read[1]] = (float(read[2]), set(read[3].split(",")) if read[3] else set())
    return found
