"""Addresses and secrets of receivers, read strictly, and never repeated in an error."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_health.adapters.sinks.places import (
    AgentAddress,
    agent_address,
    pairs,
    receiver_url,
    signing_secret,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp://agent:8126", AgentAddress(host="agent", port=8126)),
        ("udp://agent", AgentAddress(host="agent", port=8125)),
        ("udp://agent:8125/", AgentAddress(host="agent", port=8125)),
        ("udp://[::1]:8125", AgentAddress(host="::1", port=8125)),
        ("UDP://127.0.0.1:1", AgentAddress(host="127.0.0.1", port=1)),
        ("unix:///var/run/datadog/dsd.socket", AgentAddress(path="/var/run/datadog/dsd.socket")),
        ("unix:///with%20space", AgentAddress(path="/with space")),
    ],
)
def test_an_agents_address_is_read(text: str, expected: AgentAddress) -> None:
    """A host with or without a port, or the path of a socket."""
    assert agent_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "agent:8125",
        "tcp://agent:8125",
        "http://agent",
        "udp://",
        "udp://:8125",
        "udp://agent:0",
        "udp://agent:65536",
        "udp://agent:x",
        "udp://agent/path",
        "udp://[::1",
        "unix://var/run/dsd.socket",
        "unix:///",
        "unix://",
        "unix:///a%00b",
        "unix:///" + "x" * 200,
        "udp://ag ent",
        "udp://ägent",
    ],
)
def test_what_is_no_agent_is_refused(text: str) -> None:
    """Anything else is refused, by what is allowed."""
    with pytest.raises(ValueError, match=r"udp://host:port|at most 107 bytes"):
        agent_address(text)


def test_the_longest_path_is_the_systems() -> None:
    """107 bytes are a path, 108 are not."""
    longest = "/" + "x" * 106
    assert agent_address(f"unix://{longest}").path == longest
    with pytest.raises(ValueError, match="at most 107 bytes"):
        agent_address(f"unix://{longest}x")


@pytest.mark.parametrize(
    "text",
    [
        "https://events.pagerduty.com/v2/enqueue",
        "https://example.com:8443/hook?token=x",
        "http://127.0.0.1:8080/hook",
        "http://127.8.8.8/hook",
        "http://[::1]/hook",
        "http://localhost:1/",
    ],
)
def test_a_receiver_is_encrypted_or_here(text: str) -> None:
    """Beyond this machine nothing goes unencrypted."""
    assert receiver_url(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "http://example.com/hook",
        "http://127.0.0.1.example.com/",
        "http://localhost.example.com/",
        "http://127.example.com/",
        "http://10.0.0.1/",
        "ftp://example.com",
        "https://",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\n",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_receiver_is_refused(text: str) -> None:
    """Another scheme, plain HTTP, credentials and nonsense are refused; the text is not told."""
    with pytest.raises(ValueError, match="an https:// URL") as error:
        receiver_url(text)
    assert "example" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_collector_may_be_plain() -> None:
    """Where that is allowed, http:// goes anywhere, and other schemes nowhere."""
    assert receiver_url("http://collector:4318/v1/metrics", plain=True)
    assert receiver_url("https://collector/v1/metrics", plain=True)
    with pytest.raises(ValueError, match="an http:// or https:// URL"):
        receiver_url("grpc://collector:4317", plain=True)


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_read(secret: bytes) -> None:
    """What was written down in base64 is what is signed with."""
    assert signing_secret(f"whsec_{base64.b64encode(secret).decode()}") == secret


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        base64.b64encode(b"x" * 32).decode(),
        "whsec_" + "!" * 44,
        "whsec_" + "ä" * 44,
        "whsec_" + base64.b64encode(b"x" * 32).decode()[:-1],
    ],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    """Too short, too long, without its mark or no base64: refused, and not told."""
    with pytest.raises(ValueError, match="whsec_ and base64 of 24 to 64 random bytes") as error:
        signing_secret(text)
    assert not text or text not in str(error.value).replace("whsec_ and", "").replace("whsec_$", "")


def test_pairs_are_read() -> None:
    """Names and values, trimmed; a value may be empty and hold another sign."""
    assert pairs(["a=1", " b = x=y ", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    assert pairs([]) == {}


@pytest.mark.parametrize("text", ["a", "=1", "a b=1", "a:b=1", "a=x\r\ny", "a=ä", "ä=1"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    """Whatever could not be a header, or would be two of them, is refused."""
    with pytest.raises(ValueError, match="name=value"):
        pairs(["good=1", text])
