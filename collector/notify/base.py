"""What a notifier is: it builds a request from a notification, and sends one.

Building is pure and can be tested and shown without a network; sending does nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from collector.domain.message import Words
from collector.domain.notification import Channel, Notification


@dataclass(frozen=True, slots=True)
class Request:
    """What is about to be sent. Headers may hold signatures, so they are not shown."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it. What the receiver wrote is not kept: only that and how it answered."""

    status: int
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A notification on its way: where to, under which identity, and when."""

    notification: Notification
    channel: Channel
    message_id: str  # the same over all attempts, so that a receiver can tell a repetition
    now_ms: int
    external_url: str  # where people find us; without a slash at the end


class Notifier(Protocol):
    """One way to tell somebody."""

    def problems(self, channel: Channel) -> Mapping[str, Words]:
        """What about a channel can never work, by field and as far as it can be said without a network."""
        ...

    def build(self, told: Told) -> Request:
        """The request, from values alone.

        Raises:
            DeliveryError: The channel is not set up so that this could work.
        """
        ...

    async def send(self, request: Request) -> Answer:
        """Send it.

        Raises:
            DeliveryError: It did not arrive; says whether trying again can help.
        """
        ...
