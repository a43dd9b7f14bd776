"""Sessions of people who signed in. Their secrets are stored as hashes; the beginning of the hash is a session's id."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from collector.domain.access import Lifetime
from collector.store.schema import session

ID_CHARACTERS = 16
"""Enough to tell sessions apart; the hash of 256 random bits leads nowhere."""


class SessionRow(NamedTuple):
    """A session without its token."""

    token_hash: str
    account_id: int
    created_ms: int
    used_ms: int
    expires_ms: int
    address: str
    agent: str

    @property
    def id(self) -> str:
        """What pages and programs call it."""
        return self.token_hash[:ID_CHARACTERS]


def start(connection: Connection, row: SessionRow) -> None:
    connection.execute(insert(session).values(**row._asdict()))


def find(connection: Connection, token_hash: str) -> SessionRow | None:
    row = connection.execute(select(session).where(session.c.token_hash == token_hash)).first()
    return SessionRow(**row._mapping) if row else None


def is_open(lifetime: Lifetime, now_ms: int) -> ColumnElement[bool]:
    """The condition of a session that has not ended by itself: what ended stays in the table for a while."""
    return (
        (session.c.expires_ms > now_ms)
        & (session.c.used_ms > now_ms - lifetime.idle_ms)
        & (session.c.created_ms > now_ms - lifetime.absolute_ms)
    )


def of_account(connection: Connection, account_id: int, *, lifetime: Lifetime, now_ms: int) -> list[SessionRow]:
    """The open sessions of one account, newest use first."""
    condition = (session.c.account_id == account_id) & is_open(lifetime, now_ms)
    statement = select(session).where(condition).order_by(session.c.used_ms.desc(), session.c.token_hash)
    return [SessionRow(**row._mapping) for row in connection.execute(statement)]


def counts(connection: Connection, *, lifetime: Lifetime, now_ms: int) -> dict[int, int]:
    """How many open sessions each account has; accounts without any are left out."""
    statement = select(session.c.account_id, func.count()).where(is_open(lifetime, now_ms))
    return {row[0]: row[1] for row in connection.execute(statement.group_by(session.c.account_id))}


def kept(connection: Connection, now_ms: int) -> int:
    """How many sessions there are whose last moment has not come, whether they are in use or not."""
    statement = select(func.count()).select_from(session).where(session.c.expires_ms > now_ms)
    return connection.execute(statement).scalar_one()


def touch(connection: Connection, token_hash: str, now_ms: int) -> None:
    connection.execute(update(session).where(session.c.token_hash == token_hash).values(used_ms=now_ms))


def end(connection: Connection, token_hash: str) -> None:
    connection.execute(delete(session).where(session.c.token_hash == token_hash))


def end_one(connection: Connection, account_id: int, session_id: str) -> bool:
    """End one session of an account by its id; False when there is none."""
    condition = (session.c.account_id == account_id) & (
        func.substr(session.c.token_hash, 1, ID_CHARACTERS) == session_id
    )
    return connection.execute(delete(session).where(condition)).rowcount > 0


def end_all(connection: Connection, account_id: int, *, but: str = "") -> int:
    """End every session of one account, except the one of this hash; how many there were."""
    condition = (session.c.account_id == account_id) & (session.c.token_hash != but)
    return connection.execute(delete(session).where(condition)).rowcount


def forget_ended(connection: Connection, lifetime: Lifetime, now_ms: int) -> None:
    """Delete sessions that ended by themselves."""
    connection.execute(delete(session).where(~is_open(lifetime, now_ms)))
