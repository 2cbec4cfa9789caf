"""``tasker-health check`` over real sockets: whatever answers, it ends in time with one line."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from tasker_health.entrypoints import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = (
    b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'11\r\n{"ready": false, \r\n15\r\n"reason": "draining"}\r\n0\r\n\r\n'
)
# What a shell has put into the background ignores the signal, and its children inherit that.
INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from tasker_health.__main__ import main; sys.exit(main())"
)


@contextmanager
def server(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Take one connection after another and answer each as the test says; give the base URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                try:
                    connection.recv(65_536)
                    answer(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize(
    ("endpoint", "sent", "code", "told"),
    [
        ("live", OK + b"\r\n", 0, "live: 200"),
        ("live", b"HTTP/1.0 204 No Content\r\n\r\n", 0, "live: 204"),
        ("live", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", 1, "live: 302"),
        ("live", b"HTTP/1.1 500\r\n\r\n", 1, "live: 500"),
        ("live", b"SSH-2.0-OpenSSH_9.2\r\n", 1, "live: what answered does not speak HTTP"),
        ("live", b"", 1, "live: what answered does not speak HTTP"),
        ("ready", OK + b"\r\n{", 0, "ready: 200"),
        ("status", OK + b"\r\n[]", 0, "status: 200"),
        (
            "status",
            OK + b'Transfer-Encoding: chunked\r\n\r\n15\r\n{"status": "healthy"}\r\nno chunk',
            0,
            "status: 200 healthy",
        ),
        ("status", OK + b'\r\n{"status": "degraded"}', 0, "status: 200 degraded"),
        (
            "ready",
            CHUNKED,
            1,
            "ready: 503 not ready: draining",
        ),
    ],
)
def test_what_comes_back_is_told_in_one_line(
    endpoint: str, sent: bytes, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """2xx is 0 and everything else is 1, with the code and the words of the document."""
    with server(lambda connection: connection.sendall(sent)) as url:
        assert check.main([endpoint, "--url", url]) == code
    assert capsys.readouterr().out == f"{told}\n"


def test_a_kept_connection_is_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that announces a length and keeps the connection open does not cost the timeout."""
    over = threading.Event()

    def keep(connection: socket.socket) -> None:
        connection.sendall(OK + b'Content-Length: 21\r\n\r\n{"status": "healthy"}')
        over.wait(10)

    with server(keep) as url:
        began = time.monotonic()
        assert check.main(["status", "--url", url, "--timeout", "8"]) == 0
        assert time.monotonic() - began < 5
        over.set()
    assert capsys.readouterr().out == "status: 200 healthy\n"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_server_costs_the_timeout_and_no_more(
    scheme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No answer, nor a handshake, is waited for longer than the timeout."""
    over = threading.Event()
    with server(lambda _: over.wait(10)) as url:
        began = time.monotonic()
        given = url.replace("http", scheme)
        assert check.main(["live", "--url", given, "--timeout", "0.3"]) == 1
        assert time.monotonic() - began < 5
        over.set()
    assert capsys.readouterr().out == "live: no answer within 0.3 s\n"


def test_a_socket_that_gives_up_first_says_the_same() -> None:
    """The socket's own timeout is told as the deadline of the whole call is."""
    over = threading.Event()
    with server(lambda _: over.wait(10)) as url:
        target = check._parse(["live", "--url", url, "--timeout", "0.1"], "/tasker")
        assert check._ask(target) == (1, "no answer within 0.1 s")
        over.set()


def test_ctrl_c_ends_it_at_once() -> None:
    """An interrupt while an answer is waited for is exit code 130, without a word."""
    asked, over = threading.Event(), threading.Event()

    def keep(_: socket.socket) -> None:
        asked.set()
        over.wait(30)

    with (
        server(keep) as url,
        subprocess.Popen(  # noqa: S603  this very interpreter
            [sys.executable, "-c", INTERRUPTIBLE, "check", "live", "--url", url, "--timeout", "60"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        try:
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=30) == (b"", b"")
            assert process.returncode == 130
        finally:
            process.kill()
            over.set()


def test_a_server_that_drips_costs_the_timeout_and_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A byte every now and then does not prolong the call."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not over.wait(0.1):
            connection.sendall(b"H")

    with server(drip) as url:
        began = time.monotonic()
        assert check.main(["live", "--url", url, "--timeout", "0.5"]) == 1
        assert time.monotonic() - began < 5
        over.set()
    assert capsys.readouterr().out == "live: no answer within 0.5 s\n"


def test_nobody_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that nobody listens on, and a name that there is not, are exit code 1."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    assert check.main(["live", "--url", f"http://127.0.0.1:{port}"]) == 1
    assert check.main(["live", "--url", "http://a..b:1"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "live: no answer: Connection refused",
        "live: no answer: 'a..b' is no host name",
    ]


def test_the_path_is_made_of_prefix_and_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix comes from the option, else from the environment, else it is /tasker."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for _ in range(3):
            connection, _ = listener.accept()
            with closing(connection):
                asked.append(connection.recv(65_536).split(b"\r\n")[0])
                connection.sendall(OK + b"\r\n")

    thread = threading.Thread(target=run)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.delenv("TASKER_HEALTH_PREFIX", raising=False)
    assert check.main(["live", f"--url={url}/"]) == 0
    monkeypatch.setenv("TASKER_HEALTH_PREFIX", "/ops/t")
    assert check.main(["live", f"--url={url}"]) == 0
    assert check.main(["live", f"--url={url}", "--prefix", "/"]) == 0
    thread.join(5)
    listener.close()
    assert asked == [
        b"GET /tasker/health/live HTTP/1.1",
        b"GET /ops/t/health/live HTTP/1.1",
        b"GET /health/live HTTP/1.1",
    ]
