"""Setting up, signing in and out, one's own sessions and password, one-time links and API tokens.

What the browser and programs hold is never stored, only its hash. What is done to the accounts of others is
`flows.accounts`.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from collector.domain import access
from collector.domain.access import SCOPE_ROLE, Account, Lifetime, Role, Scope
from collector.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, TooMuch, Unauthenticated
from collector.domain.message import Message, mark
from collector.domain.registers.words import Words
from collector.flows import links
from collector.flows.passwords import Passwords
from collector.metrics import Metrics
from collector.store import accounts, sessions
from collector.store.database import Connection, Database

log = logging.getLogger(__name__)

TOKEN_PREFIX = "sigap"
TOUCH_MS = 60_000
"""A session's or token's last use is written at most this often."""
WRONG = mark("The name or the password is not right.")
SLOWER = Words(
    "Too many failed tries; wait {0} s and try again.",
    "Terlalu banyak percobaan gagal; tunggu {0} detik, lalu coba lagi.",
)


@dataclass(frozen=True, slots=True)
class Browser:
    """Where a request comes from, as sessions show it."""

    address: str = ""
    agent: str = ""  # User-Agent


SOMEWHERE = Browser()


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

    def __init__(
        self, db: Database, *, clock: Callable[[], int], lifetime: Lifetime, metrics: Metrics | None = None
    ) -> None:
        self._db = db
        self._clock = clock
        self._metrics = metrics
        self.lifetime = lifetime
        self.passwords = Passwords()

    async def is_set_up(self) -> bool:
        """Whether an account exists."""
        return await self._db.read(accounts.count) > 0

    async def setup_link(self) -> str:
        """The secret of a fresh one-time link to the first-run set-up; earlier ones stop working."""
        now_ms = self._clock()

        def work(connection: Connection) -> str:
            accounts.drop_links(connection, "setup")
            return links.make(connection, "setup", None, until_ms=now_ms + access.LINK_MINUTES * 60_000)

        return await self._db.write(work)

    async def sign_in_link(self, name: str, *, by: str = "sigap") -> str:
        """The secret of a one-time link that signs `name` in; who asked for it is in the account's history."""
        now_ms = self._clock()

        def work(connection: Connection) -> str:
            account = accounts.by_name(connection, name)
            if account is None or not account.active:
                raise NotFound(Message("There is no active account {name}.", name=repr(name)))
            accounts.note(connection, account.id, "sign-in-link", who=by, now_ms=now_ms)
            return links.make(connection, "sign-in", account.id, until_ms=now_ms + access.LINK_MINUTES * 60_000)

        made = await self._db.write(work)
        log.info("sign-in link made account=%s by=%s", name, by)
        return made

    async def set_up(
        self, link: str, *, name: str, password: str, language: str, browser: Browser = SOMEWHERE
    ) -> SignedIn:
        """Create the first account, an administrator, against the one-time set-up link."""
        now_ms = self._clock()

        def admit(connection: Connection) -> None:
            if accounts.count(connection):
                raise Conflict("Sigap is already set up.", hint="Sign in.")
            links.usable(connection, link, "setup", now_ms)

        # Before the password is worked on, which takes processor time that a stranger must not have.
        await self._db.read(admit)
        name = checked_name(name)
        hashed = await self.passwords.accept(password, name)

        def work(connection: Connection) -> int:
            admit(connection)
            links.use(connection, link, "setup", now_ms)
            made = accounts.create(
                connection, name, role=Role.ADMIN, password_hash=hashed, language=language, now_ms=now_ms
            )
            accounts.note(connection, made, "create", who=name, now_ms=now_ms, after={"role": Role.ADMIN})
            return made

        account_id = await self._db.write(work)
        log.info("set up account=%s", name)
        return await self._open(account_id, browser)

    async def ensure_local_account(self, name: str) -> None:
        """Create an administrator without a password, for `sigap up` on loopback: it signs in by link only."""
        now_ms = self._clock()

        def work(connection: Connection) -> None:
            if accounts.by_name(connection, name) is None:
                accounts.create(connection, name, role=Role.ADMIN, password_hash="", language="en", now_ms=now_ms)

        await self._db.write(work)

    async def open_link(self, link: str, *, browser: Browser = SOMEWHERE) -> SignedIn:
        """Sign in by a one-time link."""
        now_ms = self._clock()
        account_id = await self._db.write(lambda connection: links.use(connection, link, "sign-in", now_ms))
        if account_id is None:
            raise Unauthenticated("This link is not valid any more.", hint="Ask for a new one: sigap sign-in NAME")
        return await self._open(account_id, browser)

    async def is_reset_link(self, link: str) -> bool:
        """Whether a link to choose a password can be used; looking does not use it up."""
        now_ms = self._clock()

        try:
            await self._db.read(lambda connection: links.resettable(connection, link, now_ms))
        except Unauthenticated:
            return False
        return True

    async def reset_password(self, link: str, *, password: str, browser: Browser = SOMEWHERE) -> SignedIn:
        """Set the password of the account that a one-time link was made for, end its sessions, and sign it in."""
        now_ms = self._clock()
        account = await self._db.read(lambda connection: links.resettable(connection, link, now_ms))
        hashed = await self.passwords.accept(password, account.name)

        def work(connection: Connection) -> None:
            links.resettable(connection, link, now_ms)
            links.use(connection, link, "reset", now_ms)
            self._set_password(connection, account, hashed, now_ms)
            accounts.forgive(connection, [f"name:{account.name}"])

        await self._db.write(work)
        log.info("password reset account=%s", account.name)
        return await self._open(account.id, browser)

    async def sign_in(self, name: str, password: str, *, address: str, agent: str = "") -> SignedIn:
        """Sign in by password. An unknown name takes as long and says the same as a wrong password."""
        who = (f"name:{name}", f"address:{address}")
        await self._slow_down(who)
        account = await self._db.read(lambda connection: accounts.by_name(connection, name))
        usable = account if account is not None and account.active else None
        if not await self.passwords.fits(usable.password_hash if usable else "", password):
            await self._failed(who)
            log.warning("sign-in failed address=%s", address)
            raise Unauthenticated(WRONG)
        assert usable is not None
        stored = usable.password_hash
        if self.passwords.is_dated(stored):
            stored = await self._renewed(usable, password)
        signed_in = await self._open(usable.id, Browser(address, agent), password_hash=stored)
        await self._db.write(lambda connection: accounts.forgive(connection, who))
        return signed_in

    async def whose(self, token: str) -> Account | None:
        """The account of a session's secret, or None when it has ended."""
        hashed, now_ms = links.digest(token), self._clock()

        def look(connection: Connection) -> tuple[sessions.SessionRow, Account] | None:
            row = sessions.find(connection, hashed)
            account = accounts.by_id(connection, row.account_id) if row else None
            return (row, account) if row and account and account.active else None

        if (found := await self._db.read(look)) is None:
            return None
        row, account = found
        if self.lifetime.is_over(created_ms=row.created_ms, used_ms=row.used_ms, now_ms=now_ms):
            await self._db.write(lambda connection: sessions.end(connection, hashed))
            return None
        if now_ms - row.used_ms >= TOUCH_MS:
            await self._db.write(lambda connection: sessions.touch(connection, hashed, now_ms))
        return account

    async def sign_out(self, token: str) -> None:
        """End one session."""
        await self._db.write(lambda connection: sessions.end(connection, links.digest(token)))

    async def change_password(
        self, account: Account, *, current: str, new: str, browser: Browser = SOMEWHERE
    ) -> SignedIn:
        """Set one's own new password, end every session, and sign this browser in anew."""
        who = (f"name:{account.name}",)
        await self._slow_down(who)
        if account.password_hash and not await self.passwords.fits(account.password_hash, current):
            await self._failed(who)
            raise InvalidInput("The password was not changed.", fields={"current": "This is not your password."})
        hashed, now_ms = await self.passwords.accept(new, account.name), self._clock()
        await self._db.write(lambda connection: self._set_password(connection, account, hashed, now_ms))
        log.info("password changed account=%s", account.name)
        return await self._open(account.id, browser, password_hash=hashed)

    async def set_look(self, account_id: int, *, language: str, theme: str) -> None:
        """Remember a person's language and theme."""
        await self._db.write(lambda connection: accounts.change(connection, account_id, language=language, theme=theme))

    async def sessions_of(self, account_id: int) -> list[sessions.SessionRow]:
        """The open sessions of an account, newest use first."""
        now_ms = self._clock()
        return await self._db.read(
            lambda connection: sessions.of_account(connection, account_id, lifetime=self.lifetime, now_ms=now_ms)
        )

    async def end_own(self, account: Account, session_id: str = "", *, but: str = "") -> None:
        """End one of one's own sessions, or all but the one with the secret `but`."""
        now_ms, kept = self._clock(), links.digest(but)

        def work(connection: Connection) -> None:
            if session_id and not sessions.end_one(connection, account.id, session_id):
                raise NotFound("There is no such session, or it has ended already.")
            if not session_id:
                sessions.end_all(connection, account.id, but=kept)
            accounts.note(connection, account.id, "end-sessions", who=account.name, now_ms=now_ms)

        await self._db.write(work)

    async def new_token(
        self, account: Account, name: str, scope: Scope, *, days: int | None = None, by: str = ""
    ) -> NewToken:
        """An API token; its secret is returned once and never stored. `by`: who makes it for somebody else."""
        if not name.strip():
            raise InvalidInput("The token was not made.", fields={"name": "Give it a name that says what uses it."})
        if access.lesser(SCOPE_ROLE[scope], account.role) is not SCOPE_ROLE[scope]:
            raise Forbidden(Message("Your role {role} cannot give the scope {scope}.", role=account.role, scope=scope))
        token_id, secret, now_ms = secrets.token_hex(6), secrets.token_urlsafe(32), self._clock()
        expires = now_ms + days * 86_400_000 if days else None
        row = accounts.TokenRow(token_id, name.strip(), account.id, scope, now_ms, expires, None, None)
        made = {"token": row.name, "scope": scope}

        def work(connection: Connection) -> None:
            accounts.add_token(connection, row, links.digest(secret))
            accounts.note(connection, account.id, "token", who=by or account.name, now_ms=now_ms, after=made)

        await self._db.write(work)
        log.info("token made id=%s scope=%s account=%s by=%s", token_id, scope, account.name, by or account.name)
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
        if not hmac.compare_digest(hashed, links.digest(secret)) or account is None or not account.active:
            return None
        if row.revoked_ms is not None or (row.expires_ms is not None and row.expires_ms <= now_ms):
            return None
        if row.used_ms is None or now_ms - row.used_ms >= TOUCH_MS:
            await self._db.write(lambda connection: accounts.touch_token(connection, row.id, now_ms))
        return account, access.lesser(SCOPE_ROLE[row.scope], account.role)

    async def revoke_token(self, token_id: str, *, by: str) -> None:
        """Make a token invalid at once."""
        now_ms = self._clock()

        def work(connection: Connection) -> None:
            found = accounts.find_token(connection, token_id)
            if found is None or not accounts.revoke_token(connection, token_id, now_ms):
                raise NotFound("There is no such token, or it is revoked already.")
            ended = {"token": found[0].name, "scope": found[0].scope}
            accounts.note(connection, found[0].account_id, "revoke-token", who=by, now_ms=now_ms, before=ended)

        await self._db.write(work)
        log.info("token revoked id=%s by=%s", token_id, by)

    async def forget_expired(self) -> None:
        """Delete what has ended; called by the timer."""
        now_ms = self._clock()

        def work(connection: Connection) -> None:
            sessions.forget_ended(connection, self.lifetime, now_ms)
            accounts.forget_ended_links(connection, now_ms)
            accounts.forget_failures(connection, now_ms - access.FAILURE_WINDOW_MS)

        await self._db.write(work)

    def _set_password(self, connection: Connection, account: Account, hashed: str, now_ms: int) -> None:
        accounts.change(connection, account.id, password_hash=hashed)
        sessions.end_all(connection, account.id)
        accounts.drop_links_of(connection, account.id)
        accounts.note(connection, account.id, "password", who=account.name, now_ms=now_ms)

    async def _renewed(self, account: Account, password: str) -> str:
        """The account's hash, made as they are today; of several who sign in with it at once, one is the first."""
        old, anew = account.password_hash, await self.passwords.hash(password)
        now = await self._db.write(lambda connection: accounts.renew_hash(connection, account.id, old, anew))
        return now if now == anew or await self.passwords.fits(now, password) else old

    async def _open(self, account_id: int, browser: Browser, *, password_hash: str | None = None) -> SignedIn:
        token, now_ms = secrets.token_urlsafe(32), self._clock()
        expires = now_ms + self.lifetime.absolute_ms
        row = sessions.SessionRow(
            links.digest(token), account_id, now_ms, now_ms, expires, browser.address[:64], browser.agent[:200]
        )

        def work(connection: Connection) -> Account:
            account = accounts.by_id(connection, account_id)
            # It may have been disabled, or its password changed, since it was looked at.
            changed = account is None or (password_hash is not None and account.password_hash != password_hash)
            if account is None or changed or not account.active:
                raise Unauthenticated(WRONG)
            sessions.start(connection, row)
            accounts.change(connection, account_id, signed_in_ms=now_ms)
            return account

        account = await self._db.write(work)
        self._count("ok")
        log.info("signed in account=%s address=%s", account.name, browser.address)
        return SignedIn(token, account)

    async def _slow_down(self, who: tuple[str, ...]) -> None:
        """Refuse a try that comes too soon after failed ones."""
        now_ms = self._clock()

        def look(connection: Connection) -> int:
            since = now_ms - access.FAILURE_WINDOW_MS
            return max(access.wait_ms(accounts.failures(connection, one, since), now_ms) for one in who)

        if wait := await self._db.read(look):
            self._count("slowed")
            raise TooMuch(SLOWER.fill(-(-wait // 1_000)), retry_after_seconds=wait / 1_000)

    async def _failed(self, who: tuple[str, ...]) -> None:
        now_ms = self._clock()
        self._count("wrong")
        await self._db.write(lambda connection: accounts.fail(connection, who, now_ms))

    def _count(self, result: str) -> None:
        if self._metrics is not None:
            self._metrics.sign_ins.labels(result).inc()


def checked_name(name: str) -> str:
    """The name of a new account without space around it.

    Raises:
        InvalidInput: Too short, too long, or with characters that cannot be seen.
    """
    name = name.strip()
    if not 2 <= len(name) <= 128 or any(not character.isprintable() for character in name):
        raise InvalidInput("The account was not made.", fields={"name": "Use 2 to 128 printable characters."})
    return name
