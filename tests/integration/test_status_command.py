"""``tasker-health status`` as a user runs it: of a server, of a database, once and again."""

from __future__ import annotations

import io
import os
import pty
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest
from tests.integration.processes import free_port
from tests.integration.served import COMMAND, environment, served
from tests.integration.tasker_databases import make_sqlite

from tasker_health.entrypoints import cli
from tasker_health.formats.documents import StatusDocument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer

AWAY = "postgresql://tasker:canary-s3cret@127.0.0.1:1/tasker"
STALLED = {"degraded_response_time_ms": "0.0001"}  # every database is slower: degraded


@pytest.fixture
def tasker(tmp_path: Path) -> str:
    """Make a Tasker's database, empty, in a file."""
    return anyio.run(make_sqlite, tmp_path)


def status(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(  # noqa: S603  our own command
        [COMMAND, "status", *words],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextmanager
def started(*words: str, **settings: object) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and end it."""
    process = subprocess.Popen(  # noqa: S603  our own command
        [COMMAND, "status", *words],
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def answering(code: int, body: bytes, *, location: str = "") -> Iterator[tuple[str, list[str]]]:
    """Serve one answer to everybody; gives the base and the credentials that were shown."""
    shown: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(code)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", shown
        finally:
            server.shutdown()
            thread.join()


def test_of_a_database_without_a_server(tasker: str) -> None:
    """The report fits 80 columns, has no colour where nobody looks, and nothing else is said."""
    ran = status(database_url=tasker)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("HEALTHY  ")
    assert "measured now" in ran.stdout
    assert "In the last 1 h" in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= 80
    assert "\x1b" not in ran.stdout


def test_json_is_the_document_of_http_on_one_line(tasker: str, tmp_path: Path) -> None:
    """Byte for byte what the server sends."""
    with served(tmp_path, database_url=tasker) as service:
        first = service.ask("status")
        ran = status("--json", "--url", f"http://127.0.0.1:{service.port}")
        over_http = service.ask("status")
    assert first.status == 200
    assert ran.stdout == over_http.body.decode() + "\n"
    assert ran.stdout.count("\n") == 1


def test_json_of_a_database_is_the_same_document(tasker: str) -> None:
    """Without a server the document has the same keys in the same order."""
    document = msgspec.json.decode(status("--json", database_url=tasker).stdout)
    assert list(document) == list(StatusDocument.__struct_fields__)
    assert document["system_health"]["total_tasks"] == 0


def test_the_exit_code_follows_fail_on(tasker: str) -> None:
    """Degraded passes unless it is told not to."""
    degraded = status(database_url=tasker, **STALLED)
    failing = status("--fail-on", "degraded", database_url=tasker, **STALLED)
    assert (degraded.returncode, failing.returncode) == (0, 1)
    assert degraded.stdout.startswith("DEGRADED  ")
    assert "response_time: the database answers in " in degraded.stdout
    assert "look at: " in degraded.stdout


def test_no_report_is_one_line_with_advice() -> None:
    """A database that is away: the reason, what to look at, exit code 1, and no secret."""
    ran = status("--timeout", "2", database_url=AWAY)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "tasker-health: no report: refused: nothing listens there: is the server running,"
        " and on that port?\n"
    )


def test_the_token_is_shown_to_the_server(tasker: str, tmp_path: Path) -> None:
    """By a file or by a variable; without it the server's refusal is told."""
    tokens, file = tmp_path / "tokens.toml", tmp_path / "token"
    made = subprocess.run(  # noqa: S603  our own command
        [COMMAND, "token", "create", "me", "--file", tokens], capture_output=True, check=True
    )
    file.write_bytes(made.stdout)
    settings = {"tokens_file": tokens, "status_requires_authentication": "true"}
    with served(tmp_path, database_url=tasker, **settings) as service:
        url = ("--url", f"http://127.0.0.1:{service.port}")
        by_file = status(*url, "--token-file", str(file))
        os.environ["OUR_TEST_TOKEN"] = file.read_text().strip()
        try:
            by_variable = status(*url, "--token-env", "OUR_TEST_TOKEN")
        finally:
            del os.environ["OUR_TEST_TOKEN"]
        without = status(*url)
    assert by_file.stdout.startswith("HEALTHY")
    assert by_variable.stdout.startswith("HEALTHY")
    assert without.returncode == 1
    assert without.stderr == (
        "tasker-health: no report: the server answers 401: Credentials are required.\n"
    )


def test_a_redirect_gets_no_token(tmp_path: Path) -> None:
    """The token is for one server: where that sends us on, nobody is asked."""
    (tmp_path / "token").write_text("canary-token\n")
    with (
        answering(200, b"{}") as (other, shown_other),
        answering(302, b"", location=f"{other}/tasker/health/status") as (base, shown),
    ):
        ran = status("--url", base, "--token-file", str(tmp_path / "token"))
    assert ran.stderr == "tasker-health: no report: the server answers 302\n"
    assert shown == ["/tasker/health/status Bearer canary-token"]
    assert shown_other == []


def test_a_token_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dash reads one line; an empty one is refused."""
    with answering(401, b"") as (base, shown):
        monkeypatch.setattr("sys.stdin", io.StringIO("canary-token\n"))
        assert cli.main(["status", "--url", base, "--token-file", "-"]) == 1
        assert cli.main(["status", "--url", base, "--token-file", "-"]) == 2
    assert shown == ["/tasker/health/status Bearer canary-token"]
    assert "canary" not in capsys.readouterr().err


def test_what_a_server_sends_cannot_write_on_the_terminal() -> None:
    """Another document is none; control characters of a refusal are taken out."""
    told = b'{"type":"x","title":"x","status":503,"detail":"a\\u001b[31mb\\nc"}'
    with answering(200, b"\x1b[2J<html>") as (base, _):
        other = status("--url", base, "--json")
    with answering(503, told) as (base, _):
        refusal = status("--url", base)
    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == "tasker-health: no report: what answered sent no status document\n"
    assert refusal.stderr == "tasker-health: no report: the server answers 503: a [31mb c\n"


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    """The timeout bounds the whole, whatever the other side does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        ran = status("--url", f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.3")
    assert ran.stderr == "tasker-health: no report: no answer within 0.3 s\n"
    assert time.monotonic() - began < 5


def test_ctrl_c_ends_a_single_report_too() -> None:
    """Who does not want to wait for it gets the shell's own code, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with started("--url", url) as process:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=10)
            assert (process.returncode, errors.strip()) == (130, "")


def test_watch_goes_on_and_ends_with_ctrl_c(tasker: str) -> None:
    """Report after report, and a clean end: code 0, no traceback."""
    with started("--watch", "0.1", "--json", database_url=tasker) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
    assert errors == ""
    assert all(line.startswith('{"status":"healthy"') for line in lines)


def test_watch_tells_of_a_source_that_fails_and_goes_on(tasker: str, tmp_path: Path) -> None:
    """A server that comes up later is first told as missing, then reported of."""
    port = free_port()
    words = ("--watch", "0.1", "--url", f"http://127.0.0.1:{port}")
    with started(*words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stderr.readline()
        with served(tmp_path, "serve", "--port", str(port), database_url=tasker):
            report = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode == 0
    assert line.startswith("NO REPORT  ")
    assert line.endswith("no answer: Connection refused\n")
    assert report.startswith("HEALTHY  ")


def test_whoever_reads_us_may_leave(tasker: str) -> None:
    """A closed pipe ends a watch without a word."""
    with started("--watch", "0.1", database_url=tasker) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""
        process.stdout = None


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(
    tasker: str, no_color: str, *, coloured: bool
) -> None:
    """On a terminal the verdict is coloured, unless NO_COLOR says otherwise."""
    ours, theirs = pty.openpty()
    env = {**environment(database_url=tasker), "NO_COLOR": no_color, "TERM": "xterm"}
    try:
        subprocess.run(  # noqa: S603  our own command
            [COMMAND, "status"], env=env, stdout=theirs, check=True, timeout=30
        )
        told = os.read(ours, 4096).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert ("\x1b[32;1mHEALTHY\x1b[0m" in told) is coloured
    assert ("\x1b" in told) is coloured


def test_watch_on_a_terminal_shows_one_screen(tasker: str, tmp_path: Path) -> None:
    """Each report replaces the one before; a failure replaces it too, and says so."""
    ours, theirs = pty.openpty()
    env = {**environment(), "NO_COLOR": "", "TERM": "xterm"}
    told = b""

    def read_until(words: bytes) -> None:
        nonlocal told
        while words not in told:
            told += os.read(ours, 4096)

    try:
        with served(tmp_path, database_url=tasker) as service:
            process = subprocess.Popen(  # noqa: S603  our own command
                [COMMAND, "status", "--watch", "0.1", "--url", f"http://127.0.0.1:{service.port}"],
                env=env,
                stdout=theirs,
            )
            read_until(b"Ctrl-C ends it.")
        read_until(b"NO REPORT")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(ours)
    assert told.startswith(b"\x1b[H\x1b[2J\x1b[32;1mHEALTHY")


def test_watch_takes_another_document_for_a_failure() -> None:
    """What is no status document is told, and asked for again."""
    with answering(200, b"{}") as (base, _), started("--watch", "0.1", "--url", base) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
    assert all(line.endswith("what answered sent no status document\n") for line in lines)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://a..b", "no answer: 'a..b' is no host name"),
        ("http://127.0.0.1:1", "no answer: Connection refused"),
        ("https://127.0.0.1:1", "no answer: Connection refused"),
    ],
)
def test_who_cannot_be_asked_is_told(
    url: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is none, and a port that nobody listens on."""
    assert cli.main(["status", "--url", url]) == 1
    assert capsys.readouterr().err == f"tasker-health: no report: {told}\n"


def test_what_does_not_speak_http_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Another protocol on the port."""

    def greet(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, args=(listener,))
        thread.start()
        assert cli.main(["status", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}"]) == 1
        thread.join()
    told = "tasker-health: no report: what answered does not speak HTTP\n"
    assert capsys.readouterr().err == told


def test_a_frozen_database_is_no_report_in_time(postgres: OwnPostgresServer) -> None:
    """A server that falls silent costs the timeout, and a moment to leave it."""
    url = postgres.url(postgres_database(postgres))
    postgres.freeze()
    try:
        began = time.monotonic()
        ran = status("--timeout", "0.5", database_url=url)
        took = time.monotonic() - began
    finally:
        postgres.thaw()
    assert ran.returncode == 1
    assert "no report: timeout: " in ran.stderr
    assert took < 10


def postgres_database(server: OwnPostgresServer) -> str:
    """Make an empty database, and name it."""
    return server.create_database().rpartition("/")[2]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--token-file", "x"], "--token-file goes with --url alone."),
        (["--prefix", "/x"], "--prefix goes with --url alone."),
        (["--url", "http://u:canary@h"], "--url: allowed is scheme, host and port"),
        (["--url", "http://h", "--token-env", "NO_SUCH"], "--token-env is 'NO_SUCH'"),
        (["--url", "http://h", "--token-file", "/none"], "--token-file is '/none'"),
        (["--url", "http://h", "--token-file", "a", "--token-env", "b"], "none beside"),
        (["--url", "http://h", "--prefix", "a b"], "--prefix"),
        (["--watch", "0"], "not in the range"),
        (["--fail-on", "healthy"], "is not one of"),
        ([], "TASKER_HEALTH_DATABASE_URL is missing"),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked of anybody; no secret is repeated."""
    assert cli.main(["status", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert err.count("\n") == 1
    assert "canary" not in err
