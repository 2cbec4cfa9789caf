"""Where a sink sends to, read from what the user wrote; the standard library's alone.

A text that is not good is refused by a ``ValueError`` that says what is allowed and repeats
nothing: a URL may hold a token.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AgentAddress",
    "agent_address",
    "pairs",
    "receiver_url",
    "signing_secret",
]

_AGENT: Final = "udp://host:port, or unix:///path of a datagram socket"
_AGENT_PORT: Final = 8125
_LONGEST_SOCKET_PATH: Final = 107
_SHORTEST_SECRET, _LONGEST_SECRET = 24, 64
_SIGNED_WITH: Final = (
    "whsec_ and base64 of 24 to 64 random bytes, as in: whsec_$(openssl rand -base64 32)"
)
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


@attrs.frozen
class AgentAddress:
    """Where a DogStatsD agent listens: a host and a port, or the path of a socket."""

    host: str = ""
    port: int = 0
    path: str = ""


def agent_address(text: str) -> AgentAddress:
    """Read the address of a DogStatsD agent.

    Raises:
        ValueError: it is none.
    """
    parts = _split(text, _AGENT)
    if parts.scheme == "udp" and parts.hostname and not parts.path.strip("/"):
        return AgentAddress(host=parts.hostname, port=_port(parts, _AGENT) or _AGENT_PORT)
    path = unquote(parts.path)
    if parts.scheme != "unix" or parts.netloc or not path.strip("/") or "\0" in path:
        raise ValueError(_AGENT)
    if len(path.encode()) > _LONGEST_SOCKET_PATH:
        raise ValueError(f"a path of at most {_LONGEST_SOCKET_PATH} bytes, as the system has it")
    return AgentAddress(path=path)


def receiver_url(text: str, *, plain: bool = False) -> str:
    """Read the URL of a receiver.

    Args:
        text: what the user wrote.
        plain: whether what is sent may go unencrypted beyond this machine.

    Raises:
        ValueError: it is none that may be sent to.
    """
    allowed = "an http:// or https:// URL" if plain else "an https:// URL; http:// on this machine"
    parts = _split(text, allowed)
    _port(parts, allowed)
    secure = plain or parts.scheme == "https" or _is_loopback(parts.hostname or "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or not secure:
        raise ValueError(allowed)
    if parts.username is not None or parts.fragment:
        raise ValueError(f"{allowed}, without a user, a password or a fragment")
    return text


def signing_secret(text: str) -> bytes:
    """Read a secret to sign with.

    Raises:
        ValueError: it is none, or too short to be one.
    """
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith("whsec_") or not _SHORTEST_SECRET <= len(secret) <= _LONGEST_SECRET:
        raise ValueError(_SIGNED_WITH)
    return secret


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Read ``name=value`` pairs, each fit to be a header too.

    Raises:
        ValueError: one of them is not.
    """
    found = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not _NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise ValueError("pairs as in name=value, with commas between them")
        found[name] = value
    return found


def _split(text: str, allowed: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or not text.isascii() or any(c.isspace() for c in text):
        raise ValueError(allowed)
    return parts


def _port(parts: SplitResult, allowed: str) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(allowed)
    return port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
