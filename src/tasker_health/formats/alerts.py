"""Incidents as their receivers read them: PagerDuty's events and our own webhook's document.

An incident's key stands in both as it is. Texts are cut to what a receiver takes; nothing
else is changed. No secret is in either but PagerDuty's routing key, which is its address.

Source: PagerDuty, *Events API v2*; Standard Webhooks, *Payload structure*.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tasker_health.domain.alerting import AlertRule, Incident, Phase
from tasker_health.formats.documents import instant

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LONGEST_KEY", "LONGEST_SUMMARY", "message_id", "pagerduty_event", "webhook_document"]

LONGEST_KEY: Final = 255
LONGEST_SUMMARY: Final = 1024
_PLACES: Final = 4

_SEVERITIES: Final[Mapping[AlertRule, str]] = {
    AlertRule.FAILURE_RATE: "error",
    AlertRule.UNHEALTHY: "critical",
}
_ACTIONS: Final = {Phase.TRIGGERED: "trigger", Phase.RESOLVED: "resolve"}
_TYPES: Final = {
    Phase.TRIGGERED: "tasker.incident.triggered",
    Phase.RESOLVED: "tasker.incident.resolved",
}

_encode: Final = msgspec.json.Encoder().encode


def pagerduty_event(incident: Incident, *, routing_key: str, source: str) -> bytes:
    """Write an event of PagerDuty's Events API v2.

    Args:
        incident: what to tell.
        routing_key: of the integration that is to have it.
        source: which Tasker it is, as people call it.
    """
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[incident.phase],
        "dedup_key": _short(incident.key, LONGEST_KEY),
    }
    if incident.phase is Phase.TRIGGERED:
        event["client"] = "tasker-health"
        event["payload"] = {
            "summary": _short(f"{source}: {incident.summary}", LONGEST_SUMMARY),
            "source": _short(source, LONGEST_KEY),
            "severity": _SEVERITIES[incident.rule],
            "timestamp": instant(incident.at),
            "component": "tasker",
            "class": incident.rule.value,
            "custom_details": _details(incident),
        }
    return _encode(event)


def webhook_document(incident: Incident, *, source: str) -> bytes:
    """Write the document of our own webhook.

    Args:
        incident: what to tell.
        source: which Tasker it is, as people call it.
    """
    return _encode(
        {
            "type": _TYPES[incident.phase],
            "timestamp": instant(incident.at),
            "data": {
                "key": incident.key,
                "source": source,
                "severity": _SEVERITIES[incident.rule],
                "summary": f"{source}: {incident.summary}",
                "revision": incident.revision,
                **_details(incident),
            },
        }
    )


def message_id(incident: Incident) -> str:
    """Name what is told: the same however often, and by whomever, it is told."""
    told = f"{incident.key}\n{incident.revision}\n{incident.phase}\n{incident.at.isoformat()}"
    return f"msg_{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def _details(incident: Incident) -> dict[str, Any]:
    return {
        "rule": incident.rule.value,
        "observed": round(incident.observed, _PLACES),
        "threshold": round(incident.threshold, _PLACES),
        "numbers": {
            name: round(number, _PLACES) if isinstance(number, float) else number
            for name, number in incident.numbers.items()
        },
    }


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
