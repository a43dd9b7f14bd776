"""What administrators do to accounts: add, change the role, disable and enable, end sessions, let choose a password.

Each is one transaction with its line in the account's history. Somebody who may do everything always remains.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from collector.domain import access
from collector.domain.access import Account, Role
from collector.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from collector.domain.registers.base import Actor
from collector.domain.registers.words import Words
from collector.flows import links
from collector.flows.access import checked_name
from collector.flows.passwords import Passwords
from collector.store import accounts, sessions
from collector.store.database import Connection, Database

log = logging.getLogger(__name__)

LAST = Words(
    "{0} is the last administrator who can sign in, and stays one.",
    "{0} adalah administrator terakhir yang dapat masuk, dan tetap demikian.",
)
DISABLED = Words("{0} is disabled.", "{0} dinonaktifkan.")


@dataclass(frozen=True, slots=True)
class ResetLink:
    """A one-time link to choose a password: its secret is told once."""

    secret: str = field(repr=False)
    account: Account
    expires_ms: int


class Accounts:
    """The accounts of everybody, for those who may do everything."""

    def __init__(self, db: Database, *, clock: Callable[[], int], passwords: Passwords) -> None:
        self._db = db
        self._clock = clock
        self._passwords = passwords

    async def add(self, actor: Actor, *, name: str, role: Role, password: str = "") -> Account:
        """Create an account; without a password it waits for its reset link.

        Raises:
            Forbidden: `actor` is no administrator.
            InvalidInput: The name is taken or cannot be used, or the password is easily guessed.
        """
        _allow(actor)
        name = checked_name(name)
        hashed = await self._passwords.accept(password, name) if password else ""
        now_ms = self._clock()

        def work(connection: Connection) -> Account:
            if accounts.by_name(connection, name):
                raise InvalidInput("The account was not added.", fields={"name": "This name is taken."})
            made = accounts.create(connection, name, role=role, password_hash=hashed, language="en", now_ms=now_ms)
            accounts.note(connection, made, "create", who=actor.name, now_ms=now_ms, after={"role": role})
            return _found(connection, made)

        account = await self._db.write(work)
        log.info("account added name=%s role=%s by=%s", name, role, actor.name)
        return account

    async def alter(
        self, actor: Actor, account_id: int, *, role: Role | None = None, active: bool | None = None, why: str = ""
    ) -> Account:
        """Change an account's role, or disable or enable it: its sessions end. Nothing happens without a difference.

        The API tokens of a disabled account open nothing; they do again when it is enabled.

        Raises:
            Forbidden: `actor` is no administrator.
            NotFound: There is no such account.
            Conflict: Nobody would be left who may do everything.
        """
        _allow(actor)
        now_ms = self._clock()

        def work(connection: Connection) -> tuple[Account, Account]:
            # First of all, so that of two requests at once the second sees what the first did.
            administrators = accounts.hold_administrators(connection)
            before = _found(connection, account_id)
            kept_role = before.role if role is None else role
            kept_active = before.active if active is None else active
            if (kept_role, kept_active) == (before.role, before.active):
                return before, before
            if administrators == [before.id] and not (kept_active and kept_role is Role.ADMIN):
                raise Conflict(LAST.fill(before.name), hint="Make somebody else an administrator first.")
            accounts.change(connection, before.id, role=kept_role.value, active=kept_active)
            sessions.end_all(connection, before.id)
            if not kept_active:
                accounts.drop_links_of(connection, before.id)
            _note_changes(connection, before, (kept_role, kept_active), actor, now_ms=now_ms, why=why)
            return before, _found(connection, before.id)

        before, after = await self._db.write(work)
        if before != after:
            words = "account changed name=%s role=%s active=%s by=%s"
            log.info(words, after.name, after.role, after.active, actor.name)
        return after

    async def end_sessions(self, actor: Actor, account_id: int, session_id: str = "") -> int:
        """End one session of an account, or all; how many there were.

        Raises:
            Forbidden: `actor` is no administrator.
            NotFound: There is no such account or session.
        """
        _allow(actor)
        now_ms = self._clock()

        def work(connection: Connection) -> tuple[str, int]:
            account = _found(connection, account_id)
            if session_id and not sessions.end_one(connection, account_id, session_id):
                raise NotFound("There is no such session, or it has ended already.")
            ended = 1 if session_id else sessions.end_all(connection, account_id)
            accounts.note(connection, account_id, "end-sessions", who=actor.name, now_ms=now_ms)
            return account.name, ended

        name, ended = await self._db.write(work)
        log.info("sessions ended account=%s number=%d by=%s", name, ended, actor.name)
        return ended

    async def reset_link(self, actor: Actor, account_id: int) -> ResetLink:
        """A one-time link with which a person chooses a password; earlier links stop working, the password does not.

        Raises:
            Forbidden: `actor` is no administrator.
            NotFound: There is no such account.
            Conflict: It is disabled.
        """
        _allow(actor)
        now_ms = self._clock()
        until_ms = now_ms + access.RESET_MINUTES * 60_000

        def work(connection: Connection) -> ResetLink:
            account = _found(connection, account_id)
            if not account.active:
                raise Conflict(DISABLED.fill(account.name), hint="Enable the account first.")
            accounts.drop_links_of(connection, account_id, "reset")
            accounts.note(connection, account_id, "reset-link", who=actor.name, now_ms=now_ms)
            return ResetLink(links.make(connection, "reset", account_id, until_ms=until_ms), account, until_ms)

        made = await self._db.write(work)
        log.info("reset link made account=%s by=%s", made.account.name, actor.name)
        return made


def _allow(actor: Actor) -> None:
    if actor.role != Role.ADMIN:
        raise Forbidden("Only an administrator may do this to accounts.", hint="Ask an administrator.")


def _found(connection: Connection, account_id: int) -> Account:
    account = accounts.by_id(connection, account_id)
    if account is None:
        raise NotFound("There is no such account.", hint="The list of accounts shows all of them.")
    return account


def _note_changes(
    connection: Connection, before: Account, after: tuple[Role, bool], actor: Actor, *, now_ms: int, why: str
) -> None:
    role, active = after
    changes = [("role", "role", before.role.value, role.value)] if role is not before.role else []
    told: list[tuple[str, str, str | bool, str | bool]] = [*changes]
    if active is not before.active:
        told.append(("enable" if active else "disable", "active", before.active, active))
    for action, name, old, new in told:
        accounts.note(
            connection,
            before.id,
            action,
            who=actor.name,
            now_ms=now_ms,
            before={name: old},
            after={name: new},
            why=why.strip(),
        )
