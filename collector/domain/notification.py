"""What is told to whom: the notification that a channel delivers, and when it is tried again.

Pure values. How one looks to a receiver is a notifier's business, keeping and sending it the outbox's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from collector.domain.alert import at_least

FIRING, RESOLVED, TEST = "firing", "resolved", "test"
SECOND_MS = 1000
RETRY_SECONDS = (5, 15, 30, 60, 120, 300)
"""Pauses after the first, second … failed attempt; the last one goes on being used."""
JITTER = 0.1
"""Share of a pause that is added by chance, so that many waiting messages do not all come back at once."""
GIVE_UP_MS = 72 * 3600 * SECOND_MS
RETRY_AFTER_LIMIT_SECONDS = 300
"""A receiver may ask for this much patience and no more: an alert must not be put off for hours."""
RECOVERABLE_STATUSES = frozenset({408, 409, 425, 429})
"""Refusals that say "later"; any other 4xx says that the integration is broken."""
GONE = 410


@dataclass(frozen=True, slots=True)
class Channel:
    """Where to tell, and what; `secret` may hold several signing secrets apart by spaces while they are exchanged."""

    id: int
    key: str
    kind: str
    url: str
    secret: str = field(default="", repr=False)
    minimum_severity: str = "info"
    send_resolved: bool = True

    def wants(self, event: str, severity: str) -> bool:
        """Whether this channel is told about such an event."""
        return at_least(severity, self.minimum_severity) and (event != RESOLVED or self.send_resolved)


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell about one alert. Times are Unix milliseconds; `ends_ms` is None while it goes on."""

    event: str  # firing, resolved, test
    alert_id: int
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_ms: int
    ends_ms: int | None = None

    def to_json(self) -> str:
        """As the outbox keeps it."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Notification:
        """What `to_json` wrote."""
        found: dict[str, Any] = json.loads(text)
        return cls(**found)


def retry_ms(attempts: int, *, chance: float, retry_after_seconds: float | None = None) -> int:
    """How long to wait after the `attempts`-th failed attempt.

    Args:
        attempts: 1 or more.
        chance: 0..1, for the jitter.
        retry_after_seconds: What the receiver asked for, if it did.
    """
    pause = float(RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1])
    pause *= 1 + JITTER * chance
    if retry_after_seconds is not None:
        pause = max(0.0, min(retry_after_seconds, RETRY_AFTER_LIMIT_SECONDS))
    return round(pause * SECOND_MS)


def is_recoverable(status: int) -> bool:
    """Whether a receiver that answered so may take the message later. Redirects are refusals: they are not followed."""
    return status >= 500 or status in RECOVERABLE_STATUSES
