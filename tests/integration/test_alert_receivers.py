"""What receivers get and what they answer: Events v2, signed webhooks, and all that fails."""

from __future__ import annotations

import asyncio
import math
import ssl
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from tests.integration.processes import free_port
from tests.integration.receivers import (
    BREAK,
    HANG,
    Receiver,
    answer,
    pagerduty_problems,
    receiver,
    verified,
)
from tests.integration.served import COMMAND, environment

from tasker_health.adapters.clock import SystemClock
from tasker_health.adapters.sinks.pagerduty import PagerDutyNotifier
from tasker_health.adapters.sinks.places import signing_secret
from tasker_health.adapters.sinks.posting import Poster
from tasker_health.adapters.sinks.webhook import WebhookNotifier
from tasker_health.domain.alerting import AlertRule, Incident, Phase
from tasker_health.domain.errors import DeliveryError
from tasker_health.domain.secret import Secret
from tasker_health.testing.doubles import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY: Final = "R0123456789abcdef0123456789abcde"
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"
INCIDENT: Final = Incident(
    key="tasker-health/0123/failure_rate",
    rule=AlertRule.FAILURE_RATE,
    phase=Phase.TRIGGERED,
    revision=1,
    at=ManualClock().now(),
    observed=0.12345678,
    threshold=0.05,
    summary="12.3% of 100 tasks failed",
    numbers={"failed_tasks": 12, "retry_success_rate": None},
)
RESOLVED: Final = attrs.evolve(INCIDENT, phase=Phase.RESOLVED, revision=2)


@pytest.fixture
def events() -> Iterator[Receiver]:
    """Run a receiver."""
    with receiver() as running:
        yield running


def pager(url: str, patience_seconds: float = 10.0) -> PagerDutyNotifier:
    """Tell PagerDuty, or whoever is there."""
    poster = Poster("pagerduty", f"{url}/v2/enqueue")
    return PagerDutyNotifier(
        poster, Secret(KEY), source="Tasker", patience_seconds=patience_seconds
    )


def webhook(url: str) -> WebhookNotifier:
    """Tell a receiver of webhooks."""
    return WebhookNotifier(
        Poster("webhook", f"{url}/hook"),
        Secret(signing_secret(SECRET)),
        source="Tasker",
        clock=SystemClock(),
        patience_seconds=5.0,
    )


@pytest.mark.anyio
async def test_pagerduty_gets_valid_events(events: Receiver) -> None:
    """A trigger with its payload and a resolve without one, by the same key."""
    await pager(events.url).notify(INCIDENT)
    await pager(events.url).notify(RESOLVED)
    assert [pagerduty_problems(post, KEY) for post in events.posts] == [[], []]
    trigger, resolve = (post.document for post in events.posts)
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"] == INCIDENT.key
    assert trigger["payload"]["summary"] == "Tasker: 12.3% of 100 tasks failed"
    assert trigger["payload"]["custom_details"] == {
        "rule": "failure_rate",
        "observed": 0.1235,
        "threshold": 0.05,
        "numbers": {"failed_tasks": 12, "retry_success_rate": None},
    }


@pytest.mark.anyio
async def test_a_summary_without_end_is_cut(events: Receiver) -> None:
    """PagerDuty takes 1,024 characters, and no more is sent."""
    await pager(events.url).notify(attrs.evolve(INCIDENT, summary="x" * 5000, key="k" * 300))
    assert pagerduty_problems(events.posts[0], KEY) == []
    assert len(events.posts[0].document["payload"]["summary"]) == 1024


@pytest.mark.anyio
async def test_overload_and_failures_are_tried_again(events: Receiver) -> None:
    """429, 5xx and a broken connection: the same event comes again until it is taken."""
    events.answers.extend([answer(500), answer(429), BREAK])
    await pager(events.url).notify(INCIDENT)
    assert len(events.posts) == 4
    assert len({post.body for post in events.posts}) == 1
    pauses = [
        after.at - before.at for before, after in zip(events.posts, events.posts[1:], strict=False)
    ]
    assert pauses[1] > 0.5  # it grows
    assert pauses[2] > 1.0


@pytest.mark.anyio
async def test_a_receiver_says_when_to_come_again(events: Receiver) -> None:
    """Retry-After is waited for; beyond the patience it is handed on."""
    events.answers.append(answer(429, Retry_After="2"))
    await pager(events.url).notify(INCIDENT)
    assert events.posts[1].at - events.posts[0].at >= 2
    for said, expected in (("120", 120), ("999999999", 3600), ("nonsense", 0)):
        events.answers.append(answer(503, Retry_After=said))
        with pytest.raises(DeliveryError, match="pagerduty answered 503") as error:
            await pager(events.url, patience_seconds=0.1).notify(INCIDENT)
        assert error.value.again_in_seconds == expected


@pytest.mark.anyio
async def test_a_date_is_a_time_to_come_again_too(events: Receiver) -> None:
    """Retry-After may be a date (RFC 9110)."""
    events.answers.append(answer(503, Retry_After="Fri, 31 Dec 2100 23:59:59 GMT"))
    with pytest.raises(DeliveryError) as error:
        await pager(events.url, patience_seconds=0.1).notify(INCIDENT)
    assert error.value.again_in_seconds == 3600
    events.answers.append(answer(503, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"))
    with pytest.raises(DeliveryError) as error:
        await pager(events.url, patience_seconds=0.1).notify(INCIDENT)
    assert error.value.again_in_seconds == 0


@pytest.mark.anyio
@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 408, 410])
async def test_what_pagerduty_refuses_is_sent_once(events: Receiver, status: int) -> None:
    """Only 202 has taken it; another answer is final, and nobody asks again."""
    events.usual = answer(status, b"")
    with pytest.raises(DeliveryError, match=f"pagerduty answered {status}") as error:
        await pager(events.url).notify(INCIDENT)
    assert error.value.again_in_seconds == math.inf
    assert len(events.posts) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("notifier", [pager, webhook])
async def test_no_redirect_is_followed(events: Receiver, notifier: Any, status: int) -> None:
    """An address is where it says, or nowhere: nothing is sent to another."""
    with receiver() as elsewhere:
        events.usual = answer(status, b"", Location=f"{elsewhere.url}/v2/enqueue")
        with pytest.raises(DeliveryError, match=f"answered {status}"):
            await notifier(events.url).notify(INCIDENT)
        assert (len(events.posts), elsewhere.posts) == (1, [])


@pytest.mark.anyio
async def test_a_webhook_is_signed(events: Receiver) -> None:
    """A receiver that checks as the specification says believes it, and nothing else."""
    await webhook(events.url).notify(INCIDENT)
    (post,) = events.posts
    assert verified(post, SECRET)
    assert not verified(post, "whsec_" + "A" * 32)
    assert not verified(attrs.evolve(post, body=post.body.replace(b"12", b"13")), SECRET)
    for name in ("webhook-id", "webhook-timestamp"):
        forged = attrs.evolve(post, headers={**post.headers, name: f"{int(time.time())}1"[1:]})
        assert not verified(forged, SECRET)
    assert not verified(post, SECRET, now=time.time() + 400)
    assert post.document == {
        "type": "tasker.incident.triggered",
        "timestamp": "2025-06-18T15:30:00Z",
        "data": {
            "key": INCIDENT.key,
            "source": "Tasker",
            "severity": "error",
            "summary": "Tasker: 12.3% of 100 tasks failed",
            "revision": 1,
            "rule": "failure_rate",
            "observed": 0.1235,
            "threshold": 0.05,
            "numbers": {"failed_tasks": 12, "retry_success_rate": None},
        },
    }


@pytest.mark.anyio
async def test_a_repetition_bears_the_same_id(events: Receiver) -> None:
    """However often and by whom a phase is told, a receiver can take it once; the next is new."""
    events.answers.append(answer(500))
    await webhook(events.url).notify(INCIDENT)
    await webhook(events.url).notify(attrs.evolve(INCIDENT, told=frozenset({"pagerduty"})))
    await webhook(events.url).notify(RESOLVED)
    ids = [post.headers["webhook-id"] for post in events.posts]
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert all(verified(post, SECRET) for post in events.posts)
    assert events.posts[3].document["type"] == "tasker.incident.resolved"


@pytest.mark.anyio
async def test_a_webhooks_refusal_is_tried_again_later(events: Receiver) -> None:
    """A receiver of one's own may be mended: not at once, and not never."""
    events.usual = answer(404)
    with pytest.raises(DeliveryError, match="webhook answered 404") as error:
        await webhook(events.url).notify(INCIDENT)
    assert error.value.again_in_seconds == 300
    assert len(events.posts) == 1


@pytest.mark.anyio
async def test_an_answer_without_end_is_not_read_to_it(events: Receiver) -> None:
    """Eight thousand bytes are enough of any answer."""
    events.usual = answer(202, b"x" * 5_000_000)
    told = await pager(events.url).send(INCIDENT)
    assert len(told.body) == 8192


@pytest.mark.anyio
async def test_a_certificate_is_verified() -> None:
    """A receiver that nobody vouches for gets nothing; without a URL in the error."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).with_name("untrusted.pem"))
    with receiver(tls=tls) as impostor:
        url = impostor.url.replace("http://", "https://")
        with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED") as error:
            await pager(url, patience_seconds=0.1).notify(INCIDENT)
        assert impostor.posts == []
    assert "127.0.0.1" not in str(error.value)


@pytest.mark.anyio
async def test_nobody_there_is_an_error_of_ours() -> None:
    """A refused connection says so, in the system's words, with nothing of the URL."""
    with pytest.raises(DeliveryError) as error:
        await pager(f"http://127.0.0.1:{free_port()}", patience_seconds=0.1).notify(INCIDENT)
    assert str(error.value).startswith("pagerduty gave no answer: ConnectError")
    assert "127.0.0.1" not in str(error.value)


@pytest.mark.anyio
async def test_a_call_that_is_given_up_leaves_nothing(events: Receiver) -> None:
    """Cancelled while the receiver hangs, it ends at once."""
    events.usual = HANG
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await pager(events.url).notify(INCIDENT)


def test_no_secret_shows_itself() -> None:
    """Neither notifier shows its key, its secret or its URL."""
    made: list[Any] = [pager("https://kanari.invalid"), webhook("https://kanari.invalid")]
    for notifier in made:
        shown = repr(notifier) + repr(vars(notifier)) + repr(notifier._poster)
        assert "kanari" not in shown
        assert KEY not in shown
        assert SECRET.removeprefix("whsec_") not in shown
        assert repr(signing_secret(SECRET)) not in shown


def alert(*words: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(  # noqa: S603  our own command
        [COMMAND, "alert", *words],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_command_tells_what_came_back(events: Receiver) -> None:
    """A test alert goes to every receiver, opens, and with --resolve closes; exit code 0."""
    settings = {
        "pagerduty_routing_key": KEY,
        "pagerduty_url": f"{events.url}/v2/enqueue",
        "alert_webhook_url": f"{events.url}/hook",
        "alert_webhook_secret": SECRET,
        "alert_source": "Billing",
    }
    ran = alert("test", "--resolve", **settings)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "pagerduty: triggered: answered 202",
        "pagerduty: resolved: answered 202",
        "webhook: triggered: answered 202",
        "webhook: resolved: answered 202",
    ]
    told = events.posts
    assert [pagerduty_problems(post, KEY) for post in told[:2]] == [[], []]
    assert told[0].document["dedup_key"] == told[1].document["dedup_key"]
    assert "test" in told[0].document["payload"]["summary"]
    assert all(verified(post, SECRET) for post in told[2:])
    assert alert("test", **settings).stdout.count("resolved") == 0


def test_the_command_fails_with_its_receiver(events: Receiver) -> None:
    """Exit code 1 and what came back; the others are told all the same."""
    ran = alert(
        "test",
        "--resolve",
        pagerduty_routing_key=KEY,
        pagerduty_url=f"{events.url}/v2/enqueue",
        alert_webhook_url=f"http://127.0.0.1:{free_port()}/{KEY}",
        alert_webhook_secret=SECRET,
        alert_interval_seconds=1,
    )
    assert ran.returncode == 1
    assert ran.stdout.count("answered 202") == 2
    assert ran.stderr.startswith("webhook: not triggered: gave no answer")
    assert KEY not in ran.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "TASKER_HEALTH_PAGERDUTY_ROUTING_KEY"),
        ({"pagerduty_routing_key": "short"}, "TASKER_HEALTH_PAGERDUTY_ROUTING_KEY"),
        ({"alert_webhook_url": "http://example.com/x"}, "TASKER_HEALTH_ALERT_WEBHOOK_URL"),
    ],
)
def test_the_command_says_what_to_set(settings: dict[str, str], told: str) -> None:
    """Exit code 2 and one line that names the setting."""
    ran = alert("test", **settings)
    assert ran.returncode == 2
    assert told in ran.stderr
    assert ran.stderr.count("\n") == 1
