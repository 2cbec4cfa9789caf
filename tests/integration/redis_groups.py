"""Redis servers that belong together: a master under sentinels, and a cluster."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError
from tests.integration.processes import START_SECONDS, STOP_SECONDS, free_port, send_signal
from tests.integration.redis_server import RedisServer, find_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["MASTER", "Cluster", "Sentinel", "SentinelGroup"]

MASTER: Final = "the-master"
_DOWN_AFTER_MS: Final = 400
_FAILOVER_MS: Final = 3000


def _until(holds: Callable[[], object], what: str, seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError, OSError):
            if holds():
                return
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Sentinel:
    """One sentinel, on a port of its own.

    Args:
        master_port: where the master is.
        options: as its configuration file names them.
        quorum: how many must agree that a master is down.
        tls: whether it speaks that, and so the master, with the files that the options name.
        program: which one to start; what is found unless given.
    """

    def __init__(
        self,
        master_port: int,
        options: Mapping[str, str],
        *,
        quorum: int = 2,
        tls: bool = False,
        program: Path | None = None,
    ) -> None:
        self._folder: Final = Path(tempfile.mkdtemp(prefix="tasker-health-sentinel-"))
        self.port: Final = free_port()
        ports = {"port": "0", "tls-port": str(self.port)} if tls else {"port": str(self.port)}
        lines = {
            "bind": "127.0.0.1",
            **ports,
            "dir": str(self._folder),
            "sentinel monitor": f"{MASTER} 127.0.0.1 {master_port} {quorum}",
            "sentinel down-after-milliseconds": f"{MASTER} {_DOWN_AFTER_MS}",
            "sentinel failover-timeout": f"{MASTER} {_FAILOVER_MS}",
            **options,
        }
        configuration = self._folder / "sentinel.conf"
        configuration.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        with (self._folder / "log").open("ab") as log:
            self._process: Final = subprocess.Popen(  # noqa: S603  the program that was found
                [program or find_redis(), configuration, "--sentinel"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        _until(self._listens, "a sentinel did not start")

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True

    def freeze(self) -> None:
        """Stop it in its tracks."""
        send_signal(self._process.pid, signal.SIGSTOP)

    def close(self) -> None:
        """Stop it and remove what it wrote."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)


class SentinelGroup:
    """A master, its replica and three sentinels who agree on them.

    Args:
        server: options of master and replica.
        sentinel: options of the sentinels.
        password: what the servers ask for.
        sentinel_password: what the sentinels ask for.
    """

    def __init__(
        self,
        server: Mapping[str, str] | None = None,
        sentinel: Mapping[str, str] | None = None,
        *,
        password: str = "",
        sentinel_password: str = "",
    ) -> None:
        options = {**(server or {}), "repl-diskless-sync-delay": "0"}
        watching = dict(sentinel or {})
        if password:
            options |= {"requirepass": password, "masterauth": password}
            watching |= {"sentinel auth-pass": f"{MASTER} {password}"}
        if sentinel_password:
            watching |= {"requirepass": sentinel_password}
            watching |= {"sentinel sentinel-pass": sentinel_password}
        self._passwords: Final = (password or None, sentinel_password or None)
        self._running: Final = ExitStack()
        try:
            self.master: Final = self._run(RedisServer(options))
            follows = {"replicaof": f"127.0.0.1 {self.master.port}"}
            self.replica: Final = self._run(RedisServer({**options, **follows}))
            _until(self._follows, "the replica does not follow its master")
            self.sentinels: Final = [
                self._run(Sentinel(self.master.port, watching)) for _ in range(3)
            ]
            _until(self._agree, "the sentinels do not find each other")
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self) -> str:
        """Write the sentinels as a URL does."""
        return ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    def told_masters(self) -> set[int]:
        """Tell the ports of the masters that the sentinels tell of; they agree after a while."""
        told: set[int] = set()
        for sentinel in self.sentinels:
            with Redis(port=sentinel.port, password=self._passwords[1]) as client:
                answer: Any = client.sentinel_get_master_addr_by_name(MASTER)
                told.add(int(answer[1]))
        return told

    def close(self) -> None:
        """Stop all."""
        self._running.close()

    def _run(self, started: Any) -> Any:
        self._running.callback(started.close)
        return started

    def _follows(self) -> bool:
        with Redis(port=self.replica.port, password=self._passwords[0]) as client:
            told: Any = client.info("replication")
            return bool(told["master_link_status"] == "up")

    def _agree(self) -> bool:
        return all(map(self._knows_all, self.sentinels))

    def _knows_all(self, sentinel: Sentinel) -> bool:
        with Redis(port=sentinel.port, password=self._passwords[1]) as client:
            answer: Any = client.sentinel_master(MASTER)
            return bool(answer["num-other-sentinels"] == 2 and answer["num-slaves"] == 1)


class Cluster:
    """A cluster of three masters, each with a third of the slots."""

    def __init__(self) -> None:
        self._running: Final = ExitStack()
        try:
            self.nodes: Final = [self._start() for _ in range(3)]
            for number, node in enumerate(self.nodes):
                first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
                self._tell(node, "CLUSTER ADDSLOTSRANGE", first, last)
                self._tell(node, "CLUSTER SET-CONFIG-EPOCH", number + 1)
            for node in self.nodes[1:]:
                port = int(node.options["cluster-port"])
                self._tell(self.nodes[0], "CLUSTER MEET", "127.0.0.1", node.port, port)
            for node in self.nodes:
                _until(partial(self._is_whole, node), "the cluster does not come together")
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self) -> str:
        """Write the nodes as a URL does."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def owner(self, key: str) -> RedisServer:
        """Tell which node holds a key, as the first node that runs says."""
        slot = key_slot(key.encode())
        for first, last, (_, port, *_), *_ in self._slots():
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody holds {key}")

    def move_slot(self, key: str, *, to: RedisServer) -> None:
        """Move the slot of a key, and the keys in it, as ``redis-cli`` does."""
        slot, source = key_slot(key.encode()), self.owner(key)
        names = {node.port: self._tell(node, "CLUSTER MYID") for node in self.nodes}
        self._tell(to, "CLUSTER SETSLOT", slot, "IMPORTING", names[source.port])
        self._tell(source, "CLUSTER SETSLOT", slot, "MIGRATING", names[to.port])
        for found in self._tell(source, "CLUSTER GETKEYSINSLOT", slot, 100):
            self._tell(source, "MIGRATE", "127.0.0.1", to.port, found, 0, 5000)
        for node in (to, *self.nodes):
            self._tell(node, "CLUSTER SETSLOT", slot, "NODE", names[to.port])

    def begin_move(self, key: str, *, to: RedisServer) -> Callable[[], None]:
        """Leave a slot half-way between two nodes; gives what ends the move."""
        slot, source = key_slot(key.encode()), self.owner(key)
        names = {node.port: self._tell(node, "CLUSTER MYID") for node in self.nodes}
        self._tell(to, "CLUSTER SETSLOT", slot, "IMPORTING", names[source.port])
        self._tell(source, "CLUSTER SETSLOT", slot, "MIGRATING", names[to.port])
        return lambda: self.move_slot(key, to=to)

    def close(self) -> None:
        """Stop all."""
        self._running.close()

    def _start(self) -> RedisServer:
        node = RedisServer(
            {
                "cluster-enabled": "yes",
                "cluster-port": str(free_port()),
                "cluster-node-timeout": "1000",
                "cluster-require-full-coverage": "no",
            }
        )
        self._running.callback(node.close)
        return node

    def _slots(self) -> Any:
        for node in self.nodes:
            with contextlib.suppress(RedisError):
                return self._tell(node, "CLUSTER SLOTS")
        raise AssertionError("no node answers")

    def _is_whole(self, node: RedisServer) -> bool:
        slots = self._tell(node, "CLUSTER SLOTS")
        return len(slots) == 3 and "cluster_state:ok" in self._tell(node, "CLUSTER INFO")

    def _tell(self, node: RedisServer, command: str, *arguments: object) -> Any:
        with Redis(port=node.port, socket_timeout=5, decode_responses=True) as client:
            client.response_callbacks.clear()  # raw answers
            return client.execute_command(*command.split(), *arguments)
