"""One incident, three real replicas over real PostgreSQL and Redis, and a sender that is killed."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import pytest
from redis import Redis
from tests.integration.failing_tasks import ended
from tests.integration.processes import free_port
from tests.integration.receivers import (
    HANG,
    Receiver,
    answer,
    pagerduty_problems,
    receiver,
    wait_until,
)
from tests.integration.served import Served, served

from tasker_health.domain.database import Generation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.postgres_server import OwnPostgresServer
    from tests.integration.redis_server import RedisServer

ROUTING_KEY: Final = "R0123456789abcdef0123456789abcde"
INTERVAL_SECONDS: Final = 1.0
"""Enough of a look for an answer to arrive in, on a busy machine."""


@attrs.frozen
class Fleet:
    """Replicas that watch one database, and the receiver that they all could tell."""

    url: str
    events: Receiver
    replicas: list[Served]
    redis: Redis

    def sender(self) -> Served:
        """Find the replica that wrote down that an incident opened: it is the one that told."""
        (sender,) = (one for one in self.replicas if '"alert:failure_rate"' in one.log)
        return sender

    def holder(self) -> object:
        """Ask Redis itself who has the claim."""
        return self._read("holder")

    def claims(self) -> object:
        """Ask Redis itself until when; each look of the holder moves it."""
        return self._read("until")

    def _read(self, field: str) -> object:
        (key,) = self.redis.keys("tasker_health:alerts:*")
        return self.redis.hget(key, field)

    def look(self, times: int) -> None:
        """Wait until the holder has looked so often again."""
        for _ in range(times):
            before = self.claims()
            wait_until(lambda before=before: self.claims() != before)  # type: ignore[misc]

    def actions(self) -> list[str]:
        """Tell what the receiver heard, in order."""
        assert [pagerduty_problems(post, ROUTING_KEY) for post in self.events.posts] == [
            [] for _ in self.events.posts
        ]
        return [post.document["event_action"] for post in self.events.posts]


@contextmanager
def fleet(
    tmp_path: Path, postgres: OwnPostgresServer, redis_server: RedisServer
) -> Iterator[Fleet]:
    """Start three replicas over a Tasker that is well."""
    url = postgres.create_database(Generation.ENGINE)
    ended(url, failed=0, completed=40)
    with receiver() as events, Redis.from_url(redis_server.url) as client, ExitStack() as running:
        replicas = [
            running.enter_context(
                served(
                    tmp_path,
                    database_url=url,
                    cache_url=redis_server.url,
                    cache_duration_seconds=0.5,
                    cache_timeout_seconds=1,
                    alert_interval_seconds=INTERVAL_SECONDS,
                    alert_trigger_reports=2,
                    alert_clear_reports=2,
                    pagerduty_routing_key=ROUTING_KEY,
                    pagerduty_url=f"{events.url}/v2/enqueue",
                )
            )
            for _ in range(3)
        ]
        made = Fleet(url, events, replicas, client)
        wait_until(lambda: client.keys("tasker_health:alerts:*"))
        yield made
        assert all(ROUTING_KEY not in replica.log for replica in replicas)


def test_an_incident_is_one_trigger_and_one_resolve(
    tmp_path: Path, postgres: OwnPostgresServer, redis_server: RedisServer
) -> None:
    """Three replicas see it; the one that told of it is killed; the receiver hears of each once."""
    with fleet(tmp_path, postgres, redis_server) as watched:
        watched.look(1)
        assert watched.actions() == []
        ended(watched.url, failed=20, completed=20)
        wait_until(lambda: watched.events.posts)
        watched.look(1)
        before = watched.holder()
        watched.sender().process.kill()
        wait_until(lambda: watched.holder() != before)
        watched.look(2)
        assert watched.actions() == ["trigger"]
        ended(watched.url, failed=0, completed=40)
        wait_until(lambda: len(watched.events.posts) > 1)
        watched.look(2)
        assert watched.actions() == ["trigger", "resolve"]
        trigger, resolve = (post.document for post in watched.events.posts)
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["dedup_key"].endswith("/failure_rate")
    details = trigger["payload"]["custom_details"]
    assert details["observed"] == 0.5
    assert details["numbers"]["failed_tasks"] == 20
    assert details["numbers"]["tasks_failed_in_window"] == 20


def test_no_secret_of_an_alert_is_seen(tmp_path: Path, postgres: OwnPostgresServer) -> None:
    """Receivers that refuse, repeat what they were sent, or are away bring no secret out."""
    url = postgres.create_database(Generation.ENGINE)
    ended(url, failed=40, completed=0)
    secret, token = "whsec_" + "kanari77" * 5, "kanari-token"
    with (
        receiver(answer(400, f"{ROUTING_KEY} {secret}".encode())) as events,
        served(
            tmp_path,
            database_url=url,
            alert_interval_seconds=2 * INTERVAL_SECONDS,
            alert_trigger_reports=1,
            pagerduty_routing_key=ROUTING_KEY,
            pagerduty_url=f"{events.url}/{token}",
            alert_webhook_url=f"http://127.0.0.1:{free_port()}/{token}",
            alert_webhook_secret=secret,
        ) as service,
    ):
        wait_until(lambda: "watcher:alerts" in service.log)
        answers = [service.ask(one) for one in ("ready", "live", "status", "/tasker/metrics")]
        assert service.stop() == 0
        seen = service.log + "".join(f"{one.headers}{one.body!r}" for one in answers)
    assert '"alert:failure_rate"' in service.log
    assert not any(canary in seen for canary in (ROUTING_KEY, secret, "kanari", token))


@pytest.mark.faults
def test_a_sender_killed_while_it_tells_is_told_for(
    tmp_path: Path, postgres: OwnPostgresServer, redis_server: RedisServer
) -> None:
    """Nobody knows whether its event was taken: it comes once more, under the same key."""
    with fleet(tmp_path, postgres, redis_server) as watched:
        watched.events.answers.append(HANG)
        ended(watched.url, failed=20, completed=20)
        wait_until(lambda: watched.events.posts)
        watched.sender().process.kill()
        wait_until(lambda: len(watched.events.posts) > 1)
        watched.look(3)
        assert watched.actions() == ["trigger", "trigger"]
        first, second = (post.document for post in watched.events.posts)
        assert first["dedup_key"] == second["dedup_key"]
        ended(watched.url, failed=0, completed=40)
        wait_until(lambda: len(watched.events.posts) > 2)
        watched.look(2)
        assert watched.actions() == ["trigger", "trigger", "resolve"]


@pytest.mark.faults
def test_a_fleet_without_its_cache_still_tells(
    tmp_path: Path, postgres: OwnPostgresServer, redis_server: RedisServer
) -> None:
    """When Redis stays away each tells for itself, under one key, and all agree when it is back."""
    with fleet(tmp_path, postgres, redis_server) as watched:
        redis_server.stop()
        ended(watched.url, failed=20, completed=20)
        wait_until(lambda: len(watched.events.posts) == 3)
        assert watched.actions() == ["trigger"] * 3
        assert len({post.document["dedup_key"] for post in watched.events.posts}) == 1
        redis_server.start()
        wait_until(lambda: watched.redis.keys("tasker_health:alerts:*"))
        watched.look(2)
        ended(watched.url, failed=0, completed=40)
        wait_until(lambda: len(watched.events.posts) == 4)
        watched.look(4)
        assert watched.actions() == ["trigger"] * 3 + ["resolve"]
