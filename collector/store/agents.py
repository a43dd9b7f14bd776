"""Agents, their certificates and the tokens by which they come in.

Rows in, values out. Decides nothing: who is let in is `domain.trust`, what happens then `flows.enrol`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from collector.domain.trust import Credential, TokenRecord
from collector.store import schema

AGENT = schema.agent
CERTIFICATE = schema.agent_certificate
TOKEN = schema.enrolment_token
ACTIVE, REVOKED = "active", "revoked"


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """An agent as people see it; times are Unix milliseconds, UTC, None when it has not happened."""

    id: str
    host_id: int
    host_name: str
    status: str  # active, revoked
    version: str
    enrolled_ms: int
    last_seen_ms: int | None
    last_row_ms: int | None
    accepts_checks: bool
    spool_bytes: int
    spool_limit_bytes: int
    clock_offset_ms: float  # agent minus collector
    ntp_state: str
    goodbye: str
    revoked_ms: int | None
    revoked_by: str
    revoked_why: str
    certificate_until_ms: int | None = None  # the newest certificate's end; None without one that is not revoked
    gaps: int = 0  # holes that the agent declared, ever
    gap_samples: int = 0  # samples in them
    silent_ms: int | None = None  # since the last frame; filled in by whoever knows the time


def any_known(connection: Connection) -> bool:
    """Whether an agent ever came in."""
    return connection.execute(select(AGENT.c.id).limit(1)).first() is not None


def list_agents(
    connection: Connection, *, agent_id: str | None = None, host_id: int | None = None
) -> list[AgentRecord]:
    """Every agent, or the one with `agent_id`, or those of one host, by host name; the revoked last."""
    until = (
        select(CERTIFICATE.c.agent_id, func.max(CERTIFICATE.c.not_after_ms).label("until_ms"))
        .where(CERTIFICATE.c.revoked_ms.is_(None))
        .group_by(CERTIFICATE.c.agent_id)
        .subquery()
    )
    holes = (
        select(schema.gap.c.agent_id, func.count().label("holes"), func.sum(schema.gap.c.samples).label("samples"))
        .group_by(schema.gap.c.agent_id)
        .subquery()
    )
    statement = (
        select(AGENT, until.c.until_ms, holes.c.holes, holes.c.samples)
        .outerjoin(until, until.c.agent_id == AGENT.c.id)
        .outerjoin(holes, holes.c.agent_id == AGENT.c.id)
        .order_by(AGENT.c.status, AGENT.c.host_name, AGENT.c.enrolled_ms)
    )
    if agent_id is not None:
        statement = statement.where(AGENT.c.id == agent_id)
    if host_id is not None:
        statement = statement.where(AGENT.c.host_id == host_id)
    return [_record(row) for row in connection.execute(statement)]


def find(connection: Connection, agent_id: str) -> AgentRecord | None:
    """The agent, or None."""
    return next(iter(list_agents(connection, agent_id=agent_id)), None)


def of_host(connection: Connection, host_id: int) -> list[str]:
    """The ids of the active agents of a host."""
    return list(connection.scalars(select(AGENT.c.id).where(AGENT.c.host_id == host_id, AGENT.c.status == ACTIVE)))


def create(
    connection: Connection, agent_id: str, *, host_id: int, host_name: str, version: str, enrolled_ms: int
) -> None:
    """Add an active agent."""
    connection.execute(
        AGENT.insert().values(
            id=agent_id,
            host_id=host_id,
            host_name=host_name,
            status=ACTIVE,
            version=version,
            enrolled_ms=enrolled_ms,
        )
    )


def touch(connection: Connection, agent_id: str, **seen: Any) -> None:
    """Note what an agent said of itself: columns of `agent` by name, for example `last_seen_ms`, `spool_bytes`."""
    connection.execute(update(AGENT).where(AGENT.c.id == agent_id).values(**seen))


def revoke(connection: Connection, agent_id: str, *, now_ms: int, who: str, why: str) -> bool:
    """Take the agent and all its certificates off the list; False when it was not active."""
    done = connection.execute(
        update(AGENT)
        .where(AGENT.c.id == agent_id, AGENT.c.status == ACTIVE)
        .values(status=REVOKED, revoked_ms=now_ms, revoked_by=who, revoked_why=why)
    )
    connection.execute(
        update(CERTIFICATE)
        .where(CERTIFICATE.c.agent_id == agent_id, CERTIFICATE.c.revoked_ms.is_(None))
        .values(revoked_ms=now_ms)
    )
    return done.rowcount == 1


def add_certificate(
    connection: Connection, agent_id: str, *, fingerprint: str, not_before_ms: int, not_after_ms: int
) -> None:
    """Put a certificate on the list of those let in."""
    connection.execute(
        CERTIFICATE.insert().values(
            fingerprint=fingerprint, agent_id=agent_id, not_before_ms=not_before_ms, not_after_ms=not_after_ms
        )
    )


def credential(connection: Connection, fingerprint: str) -> Credential | None:
    """What the list says of a certificate; None when it is not on it."""
    statement = (
        select(
            CERTIFICATE.c.agent_id,
            CERTIFICATE.c.not_before_ms,
            CERTIFICATE.c.not_after_ms,
            CERTIFICATE.c.revoked_ms,
            AGENT.c.host_id,
            AGENT.c.status,
        )
        .join(AGENT, AGENT.c.id == CERTIFICATE.c.agent_id)
        .where(CERTIFICATE.c.fingerprint == fingerprint)
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    revoked = row.revoked_ms is not None or row.status != ACTIVE
    return Credential(fingerprint, row.agent_id, row.host_id, row.not_before_ms, row.not_after_ms, revoked)


def live_certificates(connection: Connection, agent_id: str, now_ms: int) -> Sequence[str]:
    """The fingerprints of the agent's certificates that are still taken, oldest first."""
    statement = (
        select(CERTIFICATE.c.fingerprint)
        .where(
            CERTIFICATE.c.agent_id == agent_id,
            CERTIFICATE.c.revoked_ms.is_(None),
            CERTIFICATE.c.not_after_ms > now_ms,
        )
        .order_by(CERTIFICATE.c.not_before_ms, CERTIFICATE.c.fingerprint)
    )
    return list(connection.scalars(statement))


def end_certificates_before(connection: Connection, agent_id: str, *, not_before_ms: int, until_ms: int) -> None:
    """Let the agent's certificates that are older than `not_before_ms` end at `until_ms` at the latest."""
    connection.execute(
        update(CERTIFICATE)
        .where(
            CERTIFICATE.c.agent_id == agent_id,
            CERTIFICATE.c.not_before_ms < not_before_ms,
            CERTIFICATE.c.not_after_ms > until_ms,
        )
        .values(not_after_ms=until_ms)
    )


def add_token(connection: Connection, token: TokenRecord, *, secret_hash: str) -> None:
    """Keep a token: only the SHA-256 of its secret."""
    connection.execute(
        TOKEN.insert().values(
            id=token.id,
            secret_hash=secret_hash,
            host_name=token.host_name,
            created_by=token.created_by,
            created_ms=token.created_ms,
            expires_ms=token.expires_ms,
        )
    )


def claim_token(
    connection: Connection, secret_hash: str, *, host_name: str, agent_id: str, now_ms: int
) -> TokenRecord | None:
    """Use a token up for `agent_id`, or None when it is not good. One statement: of any number at once, one wins."""
    claimed = connection.execute(
        update(TOKEN)
        .where(
            TOKEN.c.secret_hash == secret_hash,
            TOKEN.c.used_ms.is_(None),
            TOKEN.c.expires_ms > now_ms,
            or_(TOKEN.c.host_name == "", TOKEN.c.host_name == host_name),
        )
        .values(used_ms=now_ms, agent_id=agent_id)
    )
    return token_by_hash(connection, secret_hash) if claimed.rowcount == 1 else None


def token_by_hash(connection: Connection, secret_hash: str) -> TokenRecord | None:
    """The token whose secret has this SHA-256."""
    row = connection.execute(select(TOKEN).where(TOKEN.c.secret_hash == secret_hash)).first()
    return None if row is None else _token(row)


def token_by_id(connection: Connection, token_id: str) -> TokenRecord | None:
    """The token of that id, whatever became of it."""
    row = connection.execute(select(TOKEN).where(TOKEN.c.id == token_id)).first()
    return None if row is None else _token(row)


def list_tokens(connection: Connection, *, since_ms: int = 0) -> list[TokenRecord]:
    """Tokens made at or after `since_ms`, newest first."""
    statement = select(TOKEN).where(TOKEN.c.created_ms >= since_ms).order_by(TOKEN.c.created_ms.desc(), TOKEN.c.id)
    return [_token(row) for row in connection.execute(statement)]


def expire_token(connection: Connection, token_id: str, *, now_ms: int) -> bool:
    """Let an unused token end now; False when there is none to end."""
    done = connection.execute(
        update(TOKEN)
        .where(TOKEN.c.id == token_id, TOKEN.c.used_ms.is_(None), TOKEN.c.expires_ms > now_ms)
        .values(expires_ms=now_ms)
    )
    return done.rowcount == 1


def _token(row: Any) -> TokenRecord:
    return TokenRecord(
        row.id,
        row.host_name,
        row.created_by,
        row.created_ms,
        row.expires_ms,
        used_ms=row.used_ms,
        agent_id=row.agent_id,
    )


def _record(row: Any) -> AgentRecord:
    return AgentRecord(
        id=row.id,
        host_id=row.host_id,
        host_name=row.host_name,
        status=row.status,
        version=row.version,
        enrolled_ms=row.enrolled_ms,
        last_seen_ms=row.last_seen_ms,
        last_row_ms=row.last_row_ms,
        accepts_checks=row.accepts_checks,
        spool_bytes=row.spool_bytes,
        spool_limit_bytes=row.spool_limit_bytes,
        clock_offset_ms=row.clock_offset_ms,
        ntp_state=row.ntp_state,
        goodbye=row.goodbye,
        revoked_ms=row.revoked_ms,
        revoked_by=row.revoked_by,
        revoked_why=row.revoked_why,
        certificate_until_ms=row.until_ms,
        gaps=row.holes or 0,
        gap_samples=int(row.samples or 0),
    )
