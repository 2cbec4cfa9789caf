"""One Memcached: a few connections that speak its protocol, each with one command at a time.

The protocol is emcache's; its client is not used. That goes on connecting by itself, up to a
minute apart, and tells nobody why it cannot; and a command that is cancelled just as its
reply arrives breaks it. Here a connection is opened when it is needed, the first one in the
background; and one whose command was given up is closed before anything else happens, so
that nobody reads its late reply.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import emcache
from emcache.protocol import MemcacheAsciiProtocol

from tasker_health.domain.deadline import within
from tasker_health.domain.flight import Flight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from tasker_health.domain.secret import Secret

    T = TypeVar("T")

__all__ = ["CONNECT_SECONDS", "Connection", "Node"]

CONNECT_SECONDS: Final = 1.0
_CONNECTIONS: Final = 8
_STORED: Final = b"STORED"


class _Protocol(MemcacheAsciiProtocol):
    """Takes what nobody asked for, such as a farewell, as the end."""

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()
        else:
            super().data_received(data)


class Connection:
    """An open connection, for whoever has it now.

    Args:
        protocol: the same, as emcache has it.
    """

    def __init__(self, protocol: _Protocol) -> None:
        self._protocol: Final[Any] = protocol

    @property
    def is_closed(self) -> bool:
        """Whether it is known to be over."""
        return bool(self._protocol.closed())

    async def get(self, key: bytes) -> tuple[bytes, int] | None:
        """Read a value, and the number that says which one it is.

        Raises:
            CommandError: what Memcached says against it.
        """
        _, values, _, numbers, refused = await self._ask(
            self._protocol.fetch_command(b"gets", (key,))
        )
        if refused:
            raise emcache.CommandError(bytes(refused).decode(errors="replace"))
        return (bytes(values[0]), numbers[0]) if values else None

    async def set(self, key: bytes, value: bytes, keep_seconds: int) -> None:
        """Put a value in place of any other.

        Raises:
            CommandError: what Memcached says against it.
        """
        told = await self._ask(
            self._protocol.storage_command(b"set", key, value, 0, keep_seconds, False, None)  # noqa: FBT003  theirs
        )
        if told != _STORED:
            raise emcache.StorageCommandError(bytes(told).decode(errors="replace"))

    async def remove(self, key: bytes, number: int) -> None:
        """Remove a value, if it is still the one with this number."""
        expired = -1
        await self._ask(
            self._protocol.storage_command(b"cas", key, b"", 0, expired, False, number)  # noqa: FBT003  theirs
        )

    async def authenticate(self, user: str, password: str) -> None:
        """Say who we are.

        Raises:
            AuthenticationError: we are turned away.
        """
        await self._ask(self._protocol.auth(user, password))

    def close(self) -> None:
        """End it at once."""
        self._protocol.close()

    async def _ask(self, command: Coroutine[object, object, T]) -> T:
        asking = asyncio.get_running_loop().create_task(command)
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self.close()  # before the command is cancelled, or its reply would meet nobody
            asking.cancel()
            raise


class Node:
    """Holds the connections to one server.

    Args:
        host: its name or address.
        port: its port.
        user: who we are; empty where it does not ask.
        password: likewise.
    """

    def __init__(self, host: str, port: int, *, user: Secret[str], password: Secret[str]) -> None:
        self.address: Final = (host, port)
        self._user: Final = user
        self._password: Final = password
        self._room: Final = asyncio.Semaphore(_CONNECTIONS)
        self._idle: Final[list[Connection]] = []
        self._reaching: Final = Flight[None]()
        self.is_open = False
        """Whether it answered when it was last asked."""

    def begin(self) -> None:
        """See whether it answers, in the background; one attempt at a time."""
        self._reaching.begin(self._reach)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Give a connection; it is kept if all went well.

        Raises:
            DeadlineError: it did not answer in time.
            Exception: what emcache and the system say.
        """
        if not self.is_open:
            await self._reaching.join(self._reach, patience_seconds=2 * CONNECT_SECONDS)
        async with self._room:
            connection = self._taken() or await self._connected()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    def drop(self) -> None:
        """Trust it no more: close what is idle, and see anew whether it answers."""
        self.is_open = False
        while self._idle:
            self._idle.pop().close()

    async def aclose(self) -> None:
        """End what is under way, and every connection that nobody uses."""
        await self._reaching.aclose()
        self.drop()

    def _taken(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                return connection
        return None

    async def _reach(self) -> None:
        self._idle.append(await within(CONNECT_SECONDS, self._connected()))
        self.is_open = True

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(_Protocol, *self.address)
        connection = Connection(protocol)
        try:
            if self._user:
                await connection.authenticate(self._user.reveal(), self._password.reveal())
            await connection.get(b"tasker_health")  # a server that is frozen takes connections
        except BaseException:
            connection.close()
            raise
        return connection
