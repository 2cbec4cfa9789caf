"""Connections to a server that moves: the master that sentinels tell, or a cluster's node.

The ordinary client and pool are kept, with all that they do about failures; only where a
connection goes is found out anew, each time that one is opened. All who are asked are
asked at once and the first who knows is believed, so that a frozen one costs nothing.

A server that says that it is not, or no longer, the one takes its connections with it:
each is opened anew, at the new place, before it is used again.

What is left out on purpose: redirections (``ASK``) while a cluster moves a slot. The use
fails and is a miss, as any other; a cache is not worth a second attempt.

Source: Redis documentation, *Sentinel client spec* and *Cluster specification*.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis import exceptions as vendor
from redis.asyncio import BlockingConnectionPool, Connection
from redis.crc import key_slot

from tasker_health.adapters.redis.failures import ELSEWHERE
from tasker_health.adapters.redis.url import TLSConnection

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

__all__ = ["CLUSTER_NAMESPACE", "Finder", "SeekingPool", "cluster_node", "sentinel_master"]

Address = tuple[str, int]

CLUSTER_NAMESPACE: Final = "{tasker_health}"
"""What our keys begin with in a cluster: braces keep all of them in one slot, on one node."""

_SLOT: Final = key_slot(CLUSTER_NAMESPACE.encode())


class Finder(Protocol):
    """Finds out where the server is."""

    async def __call__(self) -> Address:
        """Ask.

        Raises:
            RedisError: nobody answers, or nobody knows.
        """
        ...


def sentinel_master(
    seeds: Sequence[Address], master: str, arguments: Mapping[str, Any], *, tls: bool
) -> Finder:
    """Find a master by asking sentinels.

    Args:
        seeds: the sentinels.
        master: its name.
        arguments: of a connection to a sentinel.
        tls: whether they speak it.
    """

    async def ask(seed: Address) -> Address:
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master)
        told = await _asked(seed, words, arguments, tls=tls)
        if not told:
            raise vendor.RedisError(f"the sentinel knows no master called {master!r}")
        return str(told[0]), int(told[1])

    return lambda: _first([ask(seed) for seed in seeds])


def cluster_node(seeds: Sequence[Address], arguments: Mapping[str, Any], *, tls: bool) -> Finder:
    """Find the node of a cluster that holds our keys.

    Args:
        seeds: some of its nodes.
        arguments: of a connection to a node.
        tls: whether they speak it.
    """

    async def ask(seed: Address) -> Address:
        for first, last, (host, port, *_), *_ in await _asked(
            seed, ("CLUSTER", "SLOTS"), arguments, tls=tls
        ):
            if first <= _SLOT <= last:
                return str(host or seed[0]), int(port)  # without a host it is the one we asked
        raise vendor.ClusterDownError("CLUSTERDOWN our slot is not served")

    return lambda: _first([ask(seed) for seed in seeds])


async def _asked(
    seed: Address, words: Sequence[str], arguments: Mapping[str, Any], *, tls: bool
) -> Any:
    """Ask one server one thing, on a connection of its own."""
    host, port = seed
    made_by = TLSConnection if tls else Connection
    connection = made_by(host=host, port=port, decode_responses=True, **arguments)
    try:
        await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
        await connection.send_command(*words)
        return await connection.read_response()
    finally:
        await connection.disconnect(nowait=True)


async def _first(questions: Sequence[Coroutine[object, object, Address]]) -> Address:
    """Give the first good answer; of the failures, one that says more than silence."""
    asked = [asyncio.ensure_future(question) for question in questions]
    failures: list[Exception] = []
    try:
        for answer in asyncio.as_completed(asked):
            try:
                return await answer
            except (vendor.RedisError, OSError, UnicodeError) as failure:
                failures.append(failure)
    finally:
        for question in asked:
            question.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    raise next((told for told in failures if _is_telling(told)), failures[0])


def _is_telling(failure: Exception) -> bool:
    """Whether a server answered."""
    silent = isinstance(failure, vendor.ConnectionError | vendor.TimeoutError | OSError)
    return isinstance(failure, vendor.AuthenticationError) or not silent


class _Whereabouts:
    """Where the server was last found, and a number that changes whenever that is void."""

    def __init__(self, find: Finder) -> None:
        self._find = find
        self._address: Address | None = None
        self.turn = 0

    async def seek(self) -> Address:
        found = await self._find()
        if found != self._address:
            self._address = found
            self.void()
        return found

    def void(self) -> None:
        self.turn += 1


class _Seeking(Connection):
    """Goes where the server is, and notices when it is no longer there."""

    def __init__(self, *, whereabouts: _Whereabouts, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._whereabouts = whereabouts
        self._turn = -1

    @property
    def outdated(self) -> bool:
        return self._turn != self._whereabouts.turn

    async def _connect(self) -> None:
        self.host, self.port = await self._whereabouts.seek()
        self._turn = self._whereabouts.turn
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py's own

    async def read_response(self, *given: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*given, **options)
        except ELSEWHERE:
            self._whereabouts.void()
            raise


class _SeekingTLS(_Seeking, TLSConnection):
    """The same over TLS."""


class SeekingPool(BlockingConnectionPool):
    """Gives connections to where the server is now.

    Args:
        find: finds out where that is.
        tls: whether it speaks TLS.
        arguments: of the pool and of its connections.
    """

    def __init__(self, find: Finder, *, tls: bool, **arguments: Any) -> None:
        super().__init__(
            connection_class=_SeekingTLS if tls else _Seeking,
            whereabouts=_Whereabouts(find),
            **arguments,
        )

    async def ensure_connection(self, connection: Any) -> None:
        """Have a connection open, and to the right server."""
        if connection.is_connected and connection.outdated:
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)
