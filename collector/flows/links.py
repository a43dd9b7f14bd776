"""One-time links: made, looked at, used up. What is stored of them is a hash."""

from __future__ import annotations

import hashlib
import secrets

from collector.domain.access import Account
from collector.domain.errors import Unauthenticated
from collector.domain.registers.words import Words
from collector.store import accounts
from collector.store.database import Connection

HINTS = {
    "setup": Words("The collector prints a new one at start.", "Kolektor mencetak yang baru saat dimulai."),
    "sign-in": Words("Ask for a new one: sigap sign-in NAME", "Mintalah yang baru: sigap sign-in NAMA"),
    "reset": Words(
        "An administrator makes a new one; on the collector's host: sigap account reset NAME",
        "Administrator membuat yang baru; di host kolektor: sigap account reset NAMA",
    ),
}


def digest(secret: str) -> str:
    """What is stored of a 256-bit secret; a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make(connection: Connection, purpose: str, account_id: int | None, *, until_ms: int) -> str:
    """The secret of a new link."""
    secret = secrets.token_urlsafe(32)
    accounts.add_link(connection, digest(secret), purpose=purpose, account_id=account_id, expires_ms=until_ms)
    return secret


def usable(connection: Connection, link: str, purpose: str, now_ms: int) -> int | None:
    """The account that a link is for; looking does not use it up.

    Raises:
        Unauthenticated: There is no such link, it has ended, or it was used.
    """
    row = accounts.find_link(connection, digest(link))
    if row is None or row.purpose != purpose or row.expires_ms <= now_ms:
        raise Unauthenticated("This link is not valid any more.", hint=HINTS[purpose])
    if row.used_ms is not None:
        raise Unauthenticated("This link was used already.", hint=HINTS[purpose])
    return row.account_id


def resettable(connection: Connection, link: str, now_ms: int) -> Account:
    """The account whose password a link lets choose; looking does not use it up.

    Raises:
        Unauthenticated: The link is not usable, or its account is not.
    """
    account_id = usable(connection, link, "reset", now_ms)
    account = accounts.by_id(connection, account_id) if account_id is not None else None
    if account is None or not account.active:
        raise Unauthenticated("This link is not valid any more.", hint=HINTS["reset"])
    return account


def use(connection: Connection, link: str, purpose: str, now_ms: int) -> int | None:
    """`usable`, and nobody uses it again.

    Raises:
        Unauthenticated: There is no such link, it has ended, or it was used.
    """
    account_id = usable(connection, link, purpose, now_ms)
    if not accounts.use_link(connection, digest(link), now_ms):
        raise Unauthenticated("This link was used already.", hint=HINTS[purpose])
    return account_id
