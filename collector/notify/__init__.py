"""Ways to tell people: one file is one notifier, and one line below makes it known.

Only builds and sends. Whom to tell, when to try again and what was told is decided and kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from collector.notify.base import Notifier
from collector.notify.egress import Egress
from collector.notify.webhook import Webhook

NOTIFIERS: Mapping[str, Callable[[Egress], Notifier]] = {
    "webhook": Webhook,
}
"""Kind of channel → how its notifier is made."""
