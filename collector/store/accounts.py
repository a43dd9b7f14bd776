"""Accounts with their history, one-time links, API tokens and failed sign-ins. Secrets are only ever stored as hashes.

Sessions are `store.sessions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from collector.domain.access import Account, Role, Scope
from collector.store import audit
from collector.store.schema import api_token, person_account, sign_in_failure, sign_in_link

HISTORY = "account"
"""What the history of changes calls accounts, beside the registers."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


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
    return Account(
        row.id,
        row.name,
        Role(row.role),
        row.language,
        row.active,
        row.password_hash,
        row.theme,
        row.created_ms,
        row.signed_in_ms,
        row.version,
    )


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


def renew_hash(connection: Connection, account_id: int, old: str, anew: str) -> str:
    """Put another hash of the same password in place of `old` if that still stands; returns the one that stands."""
    stands = (person_account.c.id == account_id, person_account.c.password_hash == old)
    connection.execute(update(person_account).where(*stands).values(password_hash=anew))
    account = by_id(connection, account_id)
    return account.password_hash if account else ""


def note(
    connection: Connection,
    account_id: int,
    action: str,
    *,
    who: str,
    now_ms: int,
    before: Mapping[str, Any] = NOTHING,
    after: Mapping[str, Any] = NOTHING,
    why: str = "",
) -> None:
    """Add to an account's history what was done to it, in the transaction that does it."""
    connection.execute(
        update(person_account).where(person_account.c.id == account_id).values(version=person_account.c.version + 1)
    )
    account = by_id(connection, account_id)
    assert account is not None
    audit.append(
        connection,
        account,
        register=HISTORY,
        action=action,
        who=who,
        at_ms=now_ms,
        before=dict(before),
        after=dict(after),
        why=why,
    )


def hold_administrators(connection: Connection) -> list[int]:
    """The ids of those who may do everything and sign in, kept as they are until this transaction ends.

    On PostgreSQL a second collector's transaction waits here and then sees what the first one did; on SQLite there is
    one writer anyway.
    """
    statement = (
        select(person_account.c.id)
        .where(person_account.c.role == Role.ADMIN.value, person_account.c.active)
        .order_by(person_account.c.id)
        .with_for_update()
    )
    return list(connection.execute(statement).scalars())


def forget_ended_links(connection: Connection, now_ms: int) -> None:
    """Delete links that nobody can use any more."""
    connection.execute(delete(sign_in_link).where(sign_in_link.c.expires_ms <= now_ms))


def forget_failures(connection: Connection, before_ms: int) -> None:
    """Delete failed sign-ins that no longer count."""
    connection.execute(delete(sign_in_failure).where(sign_in_failure.c.at_ms < before_ms))


def add_link(connection: Connection, token_hash: str, *, purpose: str, account_id: int | None, expires_ms: int) -> None:
    values = {"token_hash": token_hash, "purpose": purpose, "account_id": account_id, "expires_ms": expires_ms}
    connection.execute(insert(sign_in_link).values(**values))


def drop_links(connection: Connection, purpose: str) -> None:
    """Void every link of one purpose: the newest printed one is the only one that works."""
    connection.execute(delete(sign_in_link).where(sign_in_link.c.purpose == purpose))


def drop_links_of(connection: Connection, account_id: int, purpose: str = "") -> None:
    """Void the links of one account, all or of one purpose."""
    condition = sign_in_link.c.account_id == account_id
    if purpose:
        condition &= sign_in_link.c.purpose == purpose
    connection.execute(delete(sign_in_link).where(condition))


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


def live_tokens(connection: Connection, now_ms: int) -> dict[int, int]:
    """How many API tokens of each account are neither revoked nor expired; accounts without any are left out."""
    is_live = api_token.c.revoked_ms.is_(None) & (api_token.c.expires_ms.is_(None) | (api_token.c.expires_ms > now_ms))
    statement = select(api_token.c.account_id, func.count()).where(is_live).group_by(api_token.c.account_id)
    return {row[0]: row[1] for row in connection.execute(statement)}


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
