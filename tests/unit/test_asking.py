"""Asking an ASGI application without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasker_health.testing.asking import ask

if TYPE_CHECKING:
    from tasker_health.entrypoints.asgi import Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def _reads(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the body of the request was."""
    del scope
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": repr(message["body"]).encode()})


async def test_an_application_that_reads_the_body_finds_it_empty() -> None:
    """A request has no body, and its end is told at once."""
    assert (await ask(_reads, "/")).content == b"b''"
