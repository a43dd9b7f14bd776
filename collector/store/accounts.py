"""Accounts, sessions, sign-in links, API tokens and failed sign-ins. Secrets are only ever stored as hashes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from collector.domain.access import Account, Role, Scope
from collector.store.schema import api_token, person_account, session, sign_in_failure, sign_in_link


class SessionRow(NamedTuple):
    """A session without its token."""

    token_hash: str
    account_id: int
    created_ms: int
    used_ms: int
    expires_ms: int
    address: str
    agent: str


class TokenRow(NamedTuple):
    """An API token without its secret."""

    id: str
    name: str
    account_id: int
    scope: Scope
    created_ms: int
    expires_ms: int | None
    used_ms: int | None
    revoked_ms: int | None


class LinkRow(NamedTuple):
    """A one-time sign-in link without its token."""

    purpose: str
    account_id: int | None
    expires_ms: int
    used_ms: int | None


def _account(row: Any) -> Account:
    return Account(row.id, row.name, Role(row.role), row.language, row.active, row.password_hash)


def count(connection: Connection) -> int:
    """How many accounts exist; none means that the product was never set up."""
    return connection.execute(select(func.count()).select_from(person_account)).scalar_one()


def create(connection: Connection, name: str, *, role: Role, password_hash: str, language: str, now_ms: int) -> int:
    """Store a new account and return its id."""
    values = {"name": name, "role": role.value, "password_hash": password_hash, "language": language}
    statement = insert(person_account).values(**values, active=True, created_ms=now_ms)
    key = connection.execute(statement).inserted_primary_key
    assert key is not None
    return int(key[0])


def by_id(connection: Connection, account_id: int) -> Account | None:
    row = connection.execute(select(person_account).where(person_account.c.id == account_id)).first()
    return _account(row) if row else None


def by_name(connection: Connection, name: str) -> Account | None:
    row = connection.execute(select(person_account).where(person_account.c.name == name)).first()
    return _account(row) if row else None


def everybody(connection: Connection) -> list[Account]:
    """Every account, by name."""
    return [_account(row) for row in connection.execute(select(person_account).order_by(person_account.c.name))]


def change(connection: Connection, account_id: int, **values: Any) -> None:
    """Change columns of one account."""
    connection.execute(update(person_account).where(person_account.c.id == account_id).values(**values))


def open_session(connection: Connection, row: SessionRow) -> None:
    connection.execute(insert(session).values(**row._asdict()))


def find_session(connection: Connection, token_hash: str) -> SessionRow | None:
    row = connection.execute(select(session).where(session.c.token_hash == token_hash)).first()
    return SessionRow(**row._mapping) if row else None


def sessions_of(connection: Connection, account_id: int) -> list[SessionRow]:
    """The sessions of one account, newest use first."""
    statement = select(session).where(session.c.account_id == account_id).order_by(session.c.used_ms.desc())
    return [SessionRow(**row._mapping) for row in connection.execute(statement)]


def touch_session(connection: Connection, token_hash: str, now_ms: int) -> None:
    connection.execute(update(session).where(session.c.token_hash == token_hash).values(used_ms=now_ms))


def end_session(connection: Connection, token_hash: str) -> None:
    connection.execute(delete(session).where(session.c.token_hash == token_hash))


def end_sessions(connection: Connection, account_id: int) -> None:
    """End every session of one account: after a password change, or when it is disabled."""
    connection.execute(delete(session).where(session.c.account_id == account_id))


def forget_expired(connection: Connection, now_ms: int, *, failures_before_ms: int) -> None:
    """Delete sessions and links that ended, and failures that no longer count."""
    connection.execute(delete(session).where(session.c.expires_ms <= now_ms))
    connection.execute(delete(sign_in_link).where(sign_in_link.c.expires_ms <= now_ms))
    connection.execute(delete(sign_in_failure).where(sign_in_failure.c.at_ms < failures_before_ms))


def add_link(connection: Connection, token_hash: str, *, purpose: str, account_id: int | None, expires_ms: int) -> None:
    values = {"token_hash": token_hash, "purpose": purpose, "account_id": account_id, "expires_ms": expires_ms}
    connection.execute(insert(sign_in_link).values(**values))


def drop_links(connection: Connection, purpose: str) -> None:
    """Void every link of one purpose: the newest printed one is the only one that works."""
    connection.execute(delete(sign_in_link).where(sign_in_link.c.purpose == purpose))


def find_link(connection: Connection, token_hash: str) -> LinkRow | None:
    columns = (sign_in_link.c.purpose, sign_in_link.c.account_id, sign_in_link.c.expires_ms, sign_in_link.c.used_ms)
    row = connection.execute(select(*columns).where(sign_in_link.c.token_hash == token_hash)).first()
    return LinkRow(*row) if row else None


def use_link(connection: Connection, token_hash: str, now_ms: int) -> bool:
    """Mark a link as used; False when somebody was first."""
    statement = update(sign_in_link).where(sign_in_link.c.token_hash == token_hash, sign_in_link.c.used_ms.is_(None))
    return connection.execute(statement.values(used_ms=now_ms)).rowcount == 1


def fail(connection: Connection, whos: Iterable[str], now_ms: int) -> None:
    """Record one failed sign-in for each name or address."""
    connection.execute(insert(sign_in_failure), [{"who": who[:200], "at_ms": now_ms} for who in whos])


def failures(connection: Connection, who: str, since_ms: int) -> list[int]:
    """Unix times in milliseconds of the failed sign-ins of one name or address since then."""
    condition = (sign_in_failure.c.who == who[:200]) & (sign_in_failure.c.at_ms >= since_ms)
    return list(connection.execute(select(sign_in_failure.c.at_ms).where(condition)).scalars())


def forgive(connection: Connection, whos: Iterable[str]) -> None:
    """Forget the failed sign-ins of each name or address."""
    connection.execute(delete(sign_in_failure).where(sign_in_failure.c.who.in_([who[:200] for who in whos])))


def add_token(connection: Connection, row: TokenRow, secret_hash: str) -> None:
    connection.execute(insert(api_token).values(**row._asdict(), secret_hash=secret_hash))


def tokens(connection: Connection) -> list[TokenRow]:
    """Every API token, newest first."""
    return [_token(row) for row in connection.execute(select(api_token).order_by(api_token.c.created_ms.desc()))]


def find_token(connection: Connection, token_id: str) -> tuple[TokenRow, str] | None:
    """A token with the hash of its secret."""
    row = connection.execute(select(api_token).where(api_token.c.id == token_id)).first()
    return (_token(row), row.secret_hash) if row else None


def touch_token(connection: Connection, token_id: str, now_ms: int) -> None:
    connection.execute(update(api_token).where(api_token.c.id == token_id).values(used_ms=now_ms))


def revoke_token(connection: Connection, token_id: str, now_ms: int) -> bool:
    statement = update(api_token).where(api_token.c.id == token_id, api_token.c.revoked_ms.is_(None))
    return connection.execute(statement.values(revoked_ms=now_ms)).rowcount == 1


def _token(row: Any) -> TokenRow:
    return TokenRow(
        row.id,
        row.name,
        row.account_id,
        Scope(row.scope),
        row.created_ms,
        row.expires_ms,
        row.used_ms,
        row.revoked_ms,
    )
