"""A signed webhook for any receiver, as Standard Webhooks writes them.

A receiver that checks the signature over id, time and body knows that it comes from here
and was not changed; that the time is now knows that it is no old one sent again; and that
remembers ids for as long takes each once. A repetition bears the same id.

Source: Standard Webhooks specification, *Signature scheme* and *Webhook headers*.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from tasker_health.adapters.sinks.delivering import deliver
from tasker_health.formats.alerts import message_id, webhook_document

if TYPE_CHECKING:
    from tasker_health.adapters.sinks.posting import Answer, Poster
    from tasker_health.domain.alerting import Incident
    from tasker_health.domain.ports import Clock, Notifier
    from tasker_health.domain.secret import Secret

__all__ = ["WebhookNotifier", "sign"]

_TAKEN: Final = range(200, 300)
_REFUSED_AGAIN_IN_SECONDS: Final = 300.0
"""A receiver of one's own may be deployed or mended meanwhile."""


def sign(secret: bytes, message: str, timestamp: int, body: bytes) -> str:
    """Make the value of ``webhook-signature``."""
    signed = b"%s.%d.%s" % (message.encode(), timestamp, body)
    digest = hmac.new(secret, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class WebhookNotifier:
    """Tells one receiver.

    Args:
        poster: to it; whoever opened it closes it.
        secret: what is signed with, shared with the receiver.
        source: which Tasker it is, as people call it.
        clock: tells the time of sending.
        patience_seconds: for how long to try at one time.
    """

    def __init__(
        self,
        poster: Poster,
        secret: Secret[bytes],
        *,
        source: str,
        clock: Clock,
        patience_seconds: float,
    ) -> None:
        self._poster = poster
        self._secret = secret
        self._source = source
        self._clock = clock
        self._patience_seconds = patience_seconds

    @property
    def name(self) -> str:
        """What it is called."""
        return self._poster.receiver

    async def notify(self, incident: Incident) -> None:
        """Send the document of the incident's phase.

        Raises:
            DeliveryError: it was not taken.
        """
        await self.send(incident)

    async def send(self, incident: Incident) -> Answer:
        """Do the same, and give what came back."""
        body, message = webhook_document(incident, source=self._source), message_id(incident)

        def headers() -> dict[str, str]:
            now = int(self._clock.now().timestamp())
            return {
                "Content-Type": "application/json",
                "webhook-id": message,
                "webhook-timestamp": str(now),
                "webhook-signature": sign(self._secret.reveal(), message, now, body),
            }

        return await deliver(
            self._poster,
            body,
            headers,
            taken=_TAKEN,
            patience_seconds=self._patience_seconds,
            refused_again_in_seconds=_REFUSED_AGAIN_IN_SECONDS,
        )


if TYPE_CHECKING:
    _: type[Notifier] = WebhookNotifier
