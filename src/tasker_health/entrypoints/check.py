"""``tasker-health check``: ask one endpoint once, print one line, exit 0, 1 or 2.

For a container's health check, so it starts fast and leaves out on purpose everything
that costs: no asyncio, no command-line library, no HTTP client, nothing else of this
package. The request runs in a thread that nobody waits for longer than the timeout, so
that a resolver, a handshake or a server that drips a byte a second cannot hold it.

Source: guide, *Docker Health Checks*.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Target", "UsageError", "default_prefix", "main", "target_of"]

_USAGE = (
    "usage: tasker-health check ready|live|status"
    " [--url BASE] [--timeout SECONDS] [--prefix PREFIX]"
)
_HELP = f"""{_USAGE}

Ask one endpoint of a running service. Exit code 0: a 2xx answer; 1: any other or none;
2: it was called wrongly.

  --url BASE         scheme, host and port    (default http://127.0.0.1:8000)
  --timeout SECONDS  bound of the whole call  (default 2)
  --prefix PREFIX    path before /health      (default: the setting's, else /tasker)
"""
_BASE = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?/?", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*", re.ASCII)
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_BODY_LIMIT = 65_536
_LONGEST_SECONDS = 3600.0


class UsageError(Exception):
    """The command was called wrongly; the message says how."""


class _AnswerError(Exception):
    """What came back is no HTTP answer."""


class Target(NamedTuple):
    """Where one endpoint stands, and how long its answer may take."""

    endpoint: str
    secure: bool
    host: str
    port: int
    path: str
    timeout_seconds: float


def main(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: what follows ``check``.

    Returns:
        0 for a 2xx answer, 1 for any other or none, 2 when called wrongly, 130 on Ctrl-C.
    """
    if "--help" in argv or "-h" in argv:
        sys.stdout.write(_HELP)
        return 0
    try:
        target = _parse(argv, default_prefix(os.environ))
    except UsageError as error:
        sys.stderr.write(f"tasker-health: {error}\n")
        return 2
    try:
        code, line = _within(target)
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{target.endpoint}: {line}\n")
    return code


def default_prefix(environ: Mapping[str, str]) -> str:
    """Tell the prefix that a service with these settings has: the variable's, the file's, ours.

    A file that is not good is the service's to complain of.
    """
    prefix, file = environ.get("TASKER_HEALTH_PREFIX"), environ.get("TASKER_HEALTH_CONFIG")
    if not prefix and file:
        import tomllib  # noqa: PLC0415  only for who has such a file

        try:
            with open(file, "rb") as opened:  # noqa: PTH123  pathlib is not loaded here
                prefix = tomllib.load(opened)["server"]["prefix"]
        except (OSError, ValueError, KeyError, TypeError):
            prefix = None
    return prefix if prefix and isinstance(prefix, str) else "/tasker"


def _parse(argv: list[str], prefix: str) -> Target:
    options = {"--url": "http://127.0.0.1:8000", "--timeout": "2", "--prefix": prefix}
    endpoints, rest = [], list(argv)
    while rest:
        word = rest.pop(0)
        name, given, value = word.partition("=")
        if name in options:
            if not given and not rest:
                raise UsageError(f"{name} needs a value; {_USAGE}")
            options[name] = value if given else rest.pop(0)
        elif word.startswith("-"):
            raise UsageError(f"{word!r} is no option; {_USAGE}")
        else:
            endpoints.append(word)
    if len(endpoints) != 1 or endpoints[0] not in {"ready", "live", "status"}:
        given = " ".join(map(repr, endpoints)) or "nothing"
        raise UsageError(f"check was given {given}: allowed is ready, live or status; {_USAGE}")
    return target_of(endpoints[0], options["--url"], options["--timeout"], options["--prefix"])


def target_of(endpoint: str, url: str, timeout: str, prefix: str) -> Target:
    """Read where an endpoint stands.

    Raises:
        UsageError: one of the texts is not good.
    """
    base = _BASE.fullmatch(url)
    if base is None or not 0 < int(base[3] or 80) < 65_536:  # noqa: PLR2004  the last port
        # A URL with a user and a password in it is refused here, so it is not repeated.
        given = "" if "@" in url else f" is {url!r}"
        raise UsageError(
            f"--url{given}: allowed is scheme, host and port, as in http://127.0.0.1:8000"
        )
    prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
    if _PREFIX.fullmatch(prefix) is None:
        raise UsageError(f"--prefix is {prefix!r}: allowed is a path, as in /tasker")
    secure = base[1] == "https"
    return Target(
        endpoint=endpoint,
        secure=secure,
        host=base[2].strip("[]"),
        port=int(base[3] or (443 if secure else 80)),
        path=f"{prefix}/health/{endpoint}",
        timeout_seconds=_seconds(timeout),
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise UsageError(f"--timeout is {text!r}: allowed is a number of seconds above 0, to 3600")
    return seconds


def _within(target: Target) -> tuple[int, str]:
    """Ask, and answer in time whatever happens."""
    outcome: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: outcome.append(_ask(target)), daemon=True)
    thread.start()
    thread.join(target.timeout_seconds)
    return outcome[0] if outcome else (1, _late(target))


def _late(target: Target) -> str:
    return f"no answer within {target.timeout_seconds:g} s"


def _ask(target: Target) -> tuple[int, str]:
    try:
        status, body = _exchange(target)
    except _AnswerError as error:
        return 1, str(error)
    except TimeoutError:
        return 1, _late(target)
    except OSError as error:
        return 1, f"no answer: {error.strerror or type(error).__name__}"
    except ValueError:  # what the codec for host names raises
        return 1, f"no answer: {target.host!r} is no host name"
    told = _told(target.endpoint, body)
    return int(not 200 <= status < 300), f"{status} {told}".rstrip()  # noqa: PLR2004  2xx


def _exchange(target: Target) -> tuple[int, bytes]:
    """Send one GET and read its answer to the end of the connection."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    request = (
        f"GET {target.path} HTTP/1.1\r\nHost: {host}:{target.port}\r\nAccept: application/json\r\n"
        "User-Agent: tasker-health-check\r\nConnection: close\r\n\r\n"
    )
    with _connect(target) as connection:
        connection.sendall(request.encode("ascii"))
        return _read(connection)


def _connect(target: Target) -> socket.socket:
    connection = socket.create_connection((target.host, target.port), target.timeout_seconds)
    if not target.secure:
        return connection
    import ssl  # noqa: PLC0415  as dear as everything else here together

    context = ssl.create_default_context()
    return context.wrap_socket(connection, server_hostname=target.host)


def _read(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while len(received) < _BODY_LIMIT and (part := connection.recv(_BODY_LIMIT)):
        received += part
        if _complete(received):
            break
    head, _, body = received.partition(b"\r\n\r\n")
    line = re.match(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r\n|\Z)", head)
    if line is None:
        raise _AnswerError("what answered does not speak HTTP")
    chunked = re.search(rb"\r\ntransfer-encoding:[^\r]*chunked", head, re.IGNORECASE)
    return int(line[1]), _joined(body) if chunked else body


def _complete(received: bytes) -> bool:
    """Tell whether the announced length is there, for servers that keep the connection."""
    head, end, body = received.partition(b"\r\n\r\n")
    length = re.search(
        rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*(?:\r\n|\Z)", head, re.IGNORECASE
    )
    return bool(end) and length is not None and len(body) >= int(length[1])


def _joined(body: bytes) -> bytes:
    """Take the chunks of a chunked body together."""
    whole = b""
    while size := re.match(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r\n", body):
        length = int(size[1], 16)
        if length == 0:
            break
        whole += body[size.end() : size.end() + length]
        body = body[size.end() + length + 2 :]
    return whole


def _told(endpoint: str, body: bytes) -> str:
    """Say in a few words what the document says; nothing where it is none of ours."""
    if endpoint == "live":
        return ""
    import json  # noqa: PLC0415  liveness, the most frequent check, does without it

    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(document, dict):
        return ""
    return _words(document) if endpoint == "ready" else _word(document.get("status"))


def _words(document: dict[str, object]) -> str:
    ready = "ready" if document.get("ready") is True else "not ready"
    reason = _word(document.get("reason"))
    checks = document.get("checks")
    failing = [
        f"{name} {_word(check.get('reason')) or _word(check.get('status'))}"
        for name, check in (checks.items() if isinstance(checks, dict) else ())
        if _word(name) and isinstance(check, dict) and check.get("status") != "ok"
    ]
    return ": ".join(filter(None, (ready, ", ".join(filter(None, (reason, *failing))))))


def _word(value: object) -> str:
    """Let through what is one of our words, so that no server writes on the terminal."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""
