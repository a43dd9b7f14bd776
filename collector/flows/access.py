"""Setting up, signing in and out, sessions, one-time links and API tokens.

Passwords are hashed with argon2id in a thread, two at a time, so that a burst of sign-ins neither blocks the loop nor
eats the memory. What the browser and programs hold is never stored, only its hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from collector.domain import access
from collector.domain.access import SCOPE_ROLE, Account, Lifetime, Role, Scope
from collector.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, TooMuch, Unauthenticated
from collector.store import accounts
from collector.store.database import Connection, Database

log = logging.getLogger(__name__)

TOKEN_PREFIX = "sigap"
TOUCH_MS = 60_000
"""A session's or token's last use is written at most this often."""
WRONG = "The name or the password is not right."


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: its secret goes into the cookie and nowhere else."""

    token: str = field(repr=False)
    account: Account


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new API token: `secret` is shown once."""

    id: str
    secret: str = field(repr=False)


class Access:
    """Everything about who may ask."""

    def __init__(self, db: Database, *, clock: Callable[[], int], lifetime: Lifetime) -> None:
        self._db = db
        self._clock = clock
        self._lifetime = lifetime
        # OWASP: argon2id with 46 MiB and one pass, or anything above.
        self._hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
        self._slots = asyncio.Semaphore(2)
        self._unknown = self._hasher.hash(secrets.token_hex(16))

    async def is_set_up(self) -> bool:
        """Whether an account exists."""
        return await self._db.read(accounts.count) > 0

    async def setup_link(self) -> str:
        """The secret of a fresh one-time link to the first-run set-up; earlier ones stop working."""
        return await self._link("setup", None)

    async def sign_in_link(self, name: str) -> str:
        """The secret of a one-time link that signs `name` in."""
        account = await self._db.read(lambda connection: accounts.by_name(connection, name))
        if account is None or not account.active:
            raise NotFound(f"There is no active account {name!r}.")
        log.info("sign-in link made account=%s", account.name)
        return await self._link("sign-in", account.id)

    async def set_up(self, link: str, *, name: str, password: str, language: str) -> SignedIn:
        """Create the first account, an administrator, against the one-time set-up link."""
        name = _checked_name(name)
        access.check_password(password, name)
        hashed = await self._hash(password)
        now_ms = self._clock()

        def work(connection: Connection) -> int:
            if accounts.count(connection):
                raise Conflict("Sigap is already set up.", hint="Sign in.")
            self._use(connection, link, "setup", now_ms)
            return accounts.create(
                connection, name, role=Role.ADMIN, password_hash=hashed, language=language, now_ms=now_ms
            )

        account_id = await self._db.write(work)
        log.info("set up account=%s", name)
        return await self._open(account_id)

    async def ensure_local_account(self, name: str) -> None:
        """Create an administrator without a password, for `sigap up` on loopback: it signs in by link only."""
        now_ms = self._clock()

        def work(connection: Connection) -> None:
            if accounts.by_name(connection, name) is None:
                accounts.create(connection, name, role=Role.ADMIN, password_hash="", language="en", now_ms=now_ms)

        await self._db.write(work)

    async def open_link(self, link: str) -> SignedIn:
        """Sign in by a one-time link."""
        now_ms = self._clock()
        account_id = await self._db.write(lambda connection: self._use(connection, link, "sign-in", now_ms))
        if account_id is None:
            raise Unauthenticated("This link is not valid any more.", hint="Ask for a new one: sigap sign-in NAME")
        return await self._open(account_id)

    async def sign_in(self, name: str, password: str, *, address: str, agent: str = "") -> SignedIn:
        """Sign in by password. An unknown name takes as long and says the same as a wrong password."""
        now_ms = self._clock()
        who = (f"name:{name}", f"address:{address}")

        def look(connection: Connection) -> tuple[int, Account | None]:
            since = now_ms - access.FAILURE_WINDOW_MS
            waits = [access.wait_ms(accounts.failures(connection, one, since), now_ms) for one in who]
            return max(waits), accounts.by_name(connection, name)

        wait, account = await self._db.read(look)
        if wait:
            raise TooMuch(
                f"Too many failed tries; wait {-(-wait // 1_000)} s and try again.", retry_after_seconds=wait / 1_000
            )
        if not await self._verify(account, password):
            await self._db.write(lambda connection: accounts.fail(connection, who, now_ms))
            log.warning("sign-in failed address=%s", address)
            raise Unauthenticated(WRONG)
        assert account is not None
        await self._db.write(lambda connection: accounts.forgive(connection, who))
        return await self._open(account.id, address=address, agent=agent)

    async def whose(self, token: str) -> Account | None:
        """The account of a session's secret, or None when it has ended."""
        hashed, now_ms = digest(token), self._clock()

        def look(connection: Connection) -> tuple[accounts.SessionRow, Account] | None:
            row = accounts.find_session(connection, hashed)
            account = accounts.by_id(connection, row.account_id) if row else None
            return (row, account) if row and account and account.active else None

        if (found := await self._db.read(look)) is None:
            return None
        row, account = found
        if self._lifetime.is_over(created_ms=row.created_ms, used_ms=row.used_ms, now_ms=now_ms):
            await self._db.write(lambda connection: accounts.end_session(connection, hashed))
            return None
        if now_ms - row.used_ms >= TOUCH_MS:
            await self._db.write(lambda connection: accounts.touch_session(connection, hashed, now_ms))
        return account

    async def sign_out(self, token: str) -> None:
        """End one session."""
        await self._db.write(lambda connection: accounts.end_session(connection, digest(token)))

    async def change_password(self, account: Account, *, current: str, new: str) -> None:
        """Set a new password and end every session of the account."""
        if account.password_hash and not await self._verify(account, current):
            raise InvalidInput("The password was not changed.", fields={"current": "This is not your password."})
        access.check_password(new, account.name)
        hashed = await self._hash(new)

        def work(connection: Connection) -> None:
            accounts.change(connection, account.id, password_hash=hashed)
            accounts.end_sessions(connection, account.id)

        await self._db.write(work)
        log.info("password changed account=%s", account.name)

    async def set_language(self, account_id: int, language: str) -> None:
        """Remember a person's language."""
        await self._db.write(lambda connection: accounts.change(connection, account_id, language=language))

    async def add_account(self, actor: Account, *, name: str, role: Role, password: str) -> int:
        """Create another account; only an administrator may."""
        if actor.role is not Role.ADMIN:
            raise Forbidden("Only an administrator may add accounts.")
        name = _checked_name(name)
        access.check_password(password, name)
        hashed, now_ms = await self._hash(password), self._clock()

        def work(connection: Connection) -> int:
            if accounts.by_name(connection, name):
                raise InvalidInput("The account was not added.", fields={"name": "This name is taken."})
            return accounts.create(connection, name, role=role, password_hash=hashed, language="en", now_ms=now_ms)

        account_id = await self._db.write(work)
        log.info("account added name=%s role=%s by=%s", name, role, actor.name)
        return account_id

    async def new_token(self, account: Account, name: str, scope: Scope, *, days: int | None = None) -> NewToken:
        """An API token; its secret is returned once and never stored."""
        if not name.strip():
            raise InvalidInput("The token was not made.", fields={"name": "Give it a name that says what uses it."})
        if access.lesser(SCOPE_ROLE[scope], account.role) is not SCOPE_ROLE[scope]:
            raise Forbidden(f"Your role {account.role} cannot give the scope {scope}.")
        token_id, secret, now_ms = secrets.token_hex(6), secrets.token_urlsafe(32), self._clock()
        expires = now_ms + days * 86_400_000 if days else None
        row = accounts.TokenRow(token_id, name.strip(), account.id, scope, now_ms, expires, None, None)
        await self._db.write(lambda connection: accounts.add_token(connection, row, digest(secret)))
        log.info("token made id=%s scope=%s by=%s", token_id, scope, account.name)
        return NewToken(token_id, f"{TOKEN_PREFIX}_{token_id}_{secret}")

    async def token_owner(self, presented: str) -> tuple[Account, Role] | None:
        """The account behind an API token and the role it carries, or None when it is not valid."""
        prefix, _, rest = presented.partition("_")
        token_id, _, secret = rest.partition("_")
        if prefix != TOKEN_PREFIX or not secret:
            return None
        now_ms = self._clock()

        def look(connection: Connection) -> tuple[accounts.TokenRow, str, Account | None] | None:
            found = accounts.find_token(connection, token_id)
            return (*found, accounts.by_id(connection, found[0].account_id)) if found else None

        if (found := await self._db.read(look)) is None:
            return None
        row, hashed, account = found
        if not hmac.compare_digest(hashed, digest(secret)) or account is None or not account.active:
            return None
        if row.revoked_ms is not None or (row.expires_ms is not None and row.expires_ms <= now_ms):
            return None
        if row.used_ms is None or now_ms - row.used_ms >= TOUCH_MS:
            await self._db.write(lambda connection: accounts.touch_token(connection, row.id, now_ms))
        return account, access.lesser(SCOPE_ROLE[row.scope], account.role)

    async def revoke_token(self, token_id: str) -> None:
        """Make a token invalid at once."""
        now_ms = self._clock()
        if not await self._db.write(lambda connection: accounts.revoke_token(connection, token_id, now_ms)):
            raise NotFound("There is no such token, or it is revoked already.")
        log.info("token revoked id=%s", token_id)

    async def forget_expired(self) -> None:
        """Delete what has ended; called by the timer."""
        now_ms = self._clock()
        before = now_ms - access.FAILURE_WINDOW_MS
        await self._db.write(lambda connection: accounts.forget_expired(connection, now_ms, failures_before_ms=before))

    async def _link(self, purpose: str, account_id: int | None) -> str:
        token = secrets.token_urlsafe(32)
        expires = self._clock() + access.LINK_MINUTES * 60_000

        def work(connection: Connection) -> None:
            if purpose == "setup":
                accounts.drop_links(connection, purpose)
            accounts.add_link(connection, digest(token), purpose=purpose, account_id=account_id, expires_ms=expires)

        await self._db.write(work)
        return token

    def _use(self, connection: Connection, link: str, purpose: str, now_ms: int) -> int | None:
        row = accounts.find_link(connection, digest(link))
        if row is None or row.purpose != purpose or row.expires_ms <= now_ms:
            raise Unauthenticated("This link is not valid any more.", hint="The collector prints a new one at start.")
        if not accounts.use_link(connection, digest(link), now_ms):
            raise Unauthenticated("This link was used already.", hint="The collector prints a new one at start.")
        return row.account_id

    async def _open(self, account_id: int, *, address: str = "", agent: str = "") -> SignedIn:
        token, now_ms = secrets.token_urlsafe(32), self._clock()
        expires = now_ms + self._lifetime.absolute_ms
        row = accounts.SessionRow(digest(token), account_id, now_ms, now_ms, expires, address, agent[:200])

        def work(connection: Connection) -> Account | None:
            accounts.open_session(connection, row)
            return accounts.by_id(connection, account_id)

        account = await self._db.write(work)
        assert account is not None
        return SignedIn(token, account)

    async def _hash(self, password: str) -> str:
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _verify(self, account: Account | None, password: str) -> bool:
        usable = account is not None and account.active and bool(account.password_hash)
        stored = account.password_hash if account is not None and usable else self._unknown
        async with self._slots:
            try:
                await asyncio.to_thread(self._hasher.verify, stored, password)
            except (VerifyMismatchError, InvalidHashError):
                return False
        return usable


def digest(secret: str) -> str:
    """What is stored of a 256-bit secret; a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 2 <= len(name) <= 128 or any(not character.isprintable() for character in name):
        raise InvalidInput("The account was not made.", fields={"name": "Use 2 to 128 printable characters."})
    return name
