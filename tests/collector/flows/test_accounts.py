"""What administrators do to accounts, on both databases: what it changes, what it ends, and what is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from collector.domain.access import RESET_MINUTES, Lifetime, Role, Scope, Standing
from collector.domain.errors import CollectorError, Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from collector.domain.registers.base import Actor
from collector.flows.access import Access, Browser
from collector.flows.accounts import Accounts
from collector.store import accounts as store
from collector.store import audit
from collector.store.database import Database
from tests.collector.clock import Clock

PASSWORD = "a long and honest phrase"
ANOTHER = "kambing lompat pagar biru"
ROOT = Actor("root", "admin")


class House(NamedTuple):
    """The parts, and the administrator's account."""

    access: Access
    accounts: Accounts
    db: Database
    clock: Clock
    siti: int

    async def add(self, name: str, role: Role = Role.VIEWER) -> int:
        return (await self.accounts.add(ROOT, name=name, role=role, password=PASSWORD)).id

    async def sign_in(self, name: str, password: str = PASSWORD) -> str:
        return (await self.access.sign_in(name, password, address="10.0.0.7", agent="Firefox/140")).token

    async def acts(self, account_id: int) -> list[tuple[str, str, str]]:
        changes = await self.db.read(lambda c: audit.history(c, store.HISTORY, record_id=account_id))
        return [(one.who, one.action, one.why) for one in reversed(changes)]


@pytest.fixture
async def house(database: Database) -> House:
    clock = Clock(1_790_000_000_000)
    access = Access(database, clock=clock, lifetime=Lifetime(idle_ms=1_800_000, absolute_ms=43_200_000))
    accounts = Accounts(database, clock=clock, passwords=access.passwords)
    link = await access.setup_link()
    signed_in = await access.set_up(link, name="siti", password=PASSWORD, language="en")
    return House(access, accounts, database, clock, signed_in.account.id)


async def test_a_disabled_account_is_shut_at_once_and_its_tokens_with_it(house: House) -> None:
    budi = await house.add("budi", Role.OPERATOR)
    session = await house.access.sign_in("budi", PASSWORD, address="::1")
    token = await house.access.new_token(session.account, "script", Scope.WRITE)
    link = await house.access.sign_in_link("budi")
    reset = await house.accounts.reset_link(ROOT, budi)
    await house.accounts.alter(ROOT, budi, active=False, why="left the company")
    assert await house.access.whose(session.token) is None
    assert await house.access.token_owner(token.secret) is None
    assert not await house.access.is_reset_link(reset.secret)
    for attempt in (
        house.access.sign_in("budi", PASSWORD, address="::2"),
        house.access.open_link(link),
        house.access.reset_password(reset.secret, password=ANOTHER),
    ):
        with pytest.raises(Unauthenticated):
            await attempt
    with pytest.raises(Conflict):
        await house.accounts.reset_link(ROOT, budi)
    assert ("root", "disable", "left the company") in await house.acts(budi)


async def test_an_enabled_account_signs_in_anew_and_its_tokens_work_again(house: House) -> None:
    budi = await house.add("budi")
    session = await house.access.sign_in("budi", PASSWORD, address="::1")
    token = await house.access.new_token(session.account, "script", Scope.READ)
    await house.accounts.alter(ROOT, budi, active=False)
    await house.accounts.alter(ROOT, budi, active=True)
    assert await house.access.whose(session.token) is None
    assert await house.access.token_owner(token.secret) is not None
    assert await house.access.whose(await house.sign_in("budi")) is not None
    assert [action for _, action, _ in await house.acts(budi)] == ["create", "token", "disable", "enable"]


async def test_a_new_role_holds_at_once_for_tokens_and_needs_a_new_session(house: House) -> None:
    budi = await house.add("budi", Role.ADMIN)
    session = await house.access.sign_in("budi", PASSWORD, address="::1")
    token = await house.access.new_token(session.account, "script", Scope.ADMIN)
    changed = await house.accounts.alter(ROOT, budi, role=Role.VIEWER, why="other work")
    assert (changed.role, await house.access.whose(session.token)) == (Role.VIEWER, None)
    owner = await house.access.token_owner(token.secret)
    assert owner is not None
    assert owner[1] is Role.VIEWER
    found = await house.db.read(lambda c: audit.history(c, store.HISTORY, record_id=budi, most=1)[0])
    assert (found.before, found.after, found.why) == ({"role": "admin"}, {"role": "viewer"}, "other work")


async def test_nothing_happens_without_a_difference(house: House) -> None:
    budi = await house.add("budi")
    session, before = await house.sign_in("budi"), await house.acts(budi)
    await house.accounts.alter(ROOT, budi, role=Role.VIEWER, active=True)
    assert await house.access.whose(session) is not None
    assert await house.acts(budi) == before


@pytest.mark.parametrize("change", [{"active": False}, {"role": Role.VIEWER}, {"role": Role.OPERATOR, "active": False}])
async def test_the_last_administrator_stays(house: House, change: dict[str, object]) -> None:
    sleeping = await house.add("budi", Role.ADMIN)
    await house.accounts.alter(ROOT, sleeping, active=False)
    session, before = await house.sign_in("siti"), await house.acts(house.siti)
    with pytest.raises(Conflict) as refused:
        await house.accounts.alter(ROOT, house.siti, **change)  # type: ignore[arg-type]
    assert "siti is the last administrator" in refused.value.message
    assert "siti adalah administrator terakhir" in refused.value.message.to("id")  # type: ignore[attr-defined]
    assert await house.access.whose(session) is not None
    assert await house.acts(house.siti) == before
    await house.accounts.alter(ROOT, sleeping, active=True)
    await house.accounts.alter(ROOT, house.siti, **change)  # type: ignore[arg-type]


@pytest.fixture
def collectors(house: House, database_url: str) -> Iterator[list[Accounts]]:
    """Two processes on one database, as far as the database can tell."""
    databases = [Database(database_url), Database(database_url)]
    yield [Accounts(each, clock=house.clock, passwords=house.access.passwords) for each in databases]
    for each in databases:
        each.close()


@pytest.mark.parametrize("change", [{"active": False}, {"role": Role.VIEWER}])
async def test_of_two_administrators_who_shut_each_other_out_at_once_one_stays(
    house: House, collectors: list[Accounts], change: dict[str, object]
) -> None:
    budi = await house.add("budi", Role.ADMIN)
    for _ in range(10):
        tries = [one.alter(ROOT, who, **change) for one, who in zip(collectors, (house.siti, budi), strict=True)]  # type: ignore[arg-type]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(one, Conflict) for one in results) == 1, results
        left = await house.db.read(store.everybody)
        remaining = [one for one in left if one.active and one.role is Role.ADMIN]
        assert len(remaining) == 1
        for one in left:
            await house.accounts.alter(ROOT, one.id, role=Role.ADMIN, active=True)


async def test_many_requests_at_once_in_one_process_leave_one_administrator(house: House) -> None:
    others = [await house.add(f"admin-{number}", Role.ADMIN) for number in range(3)]
    everybody = [house.siti, *others]
    results = await asyncio.gather(
        *(house.accounts.alter(ROOT, one, role=Role.VIEWER) for one in everybody), return_exceptions=True
    )
    assert sum(isinstance(one, Conflict) for one in results) == 1


async def test_a_reset_link_sets_a_password_once_and_ends_every_session(house: House) -> None:
    budi = await house.add("budi")
    session, old = await house.sign_in("budi"), await house.accounts.reset_link(ROOT, budi)
    made = await house.accounts.reset_link(ROOT, budi)
    assert not await house.access.is_reset_link(old.secret), "the newest link is the only one"
    assert [await house.access.is_reset_link(made.secret) for _ in range(3)] == [True] * 3
    assert await house.access.whose(session) is not None, "a link alone changes nothing"
    with pytest.raises(InvalidInput):
        await house.access.reset_password(made.secret, password="password123456")
    anew = await house.access.reset_password(made.secret, password=ANOTHER)
    assert await house.access.whose(session) is None
    assert await house.access.whose(anew.token) is not None
    with pytest.raises(Unauthenticated) as refused:
        await house.access.reset_password(made.secret, password=PASSWORD)
    assert "sigap account reset" in refused.value.hint
    with pytest.raises(Unauthenticated):
        await house.sign_in("budi")
    await house.sign_in("budi", ANOTHER)
    assert [action for _, action, _ in await house.acts(budi)] == ["create", "reset-link", "reset-link", "password"]


async def test_of_many_uses_of_a_reset_link_at_once_one_counts(house: House) -> None:
    made = await house.accounts.reset_link(ROOT, await house.add("budi"))
    tries = [house.access.reset_password(made.secret, password=f"{ANOTHER} {number}") for number in range(6)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(one, CollectorError) for one in results) == 1


async def test_a_reset_link_ends_and_is_no_other_kind_of_link(house: House) -> None:
    budi = await house.add("budi")
    made, entrance = await house.accounts.reset_link(ROOT, budi), await house.access.sign_in_link("budi")
    assert not await house.access.is_reset_link(entrance)
    with pytest.raises(Unauthenticated):
        await house.access.open_link(made.secret)
    house.clock.now_ms += RESET_MINUTES * 60_000
    assert not await house.access.is_reset_link(made.secret)


async def test_a_new_password_voids_every_link_of_the_account(house: House) -> None:
    budi = await house.add("budi")
    made, entrance = await house.accounts.reset_link(ROOT, budi), await house.access.sign_in_link("budi")
    account = await house.access.whose(await house.sign_in("budi"))
    assert account is not None
    await house.access.change_password(account, current=PASSWORD, new=ANOTHER)
    assert not await house.access.is_reset_link(made.secret)
    with pytest.raises(Unauthenticated):
        await house.access.open_link(entrance)


async def test_somebody_added_without_a_password_is_invited_until_they_choose_one(house: House) -> None:
    made = await house.accounts.add(ROOT, name="wati", role=Role.OPERATOR)
    assert made.standing is Standing.INVITED
    with pytest.raises(Unauthenticated):
        await house.sign_in("wati", "")
    link = await house.accounts.reset_link(ROOT, made.id)
    await house.access.reset_password(link.secret, password=ANOTHER)
    account = await house.db.read(lambda c: store.by_name(c, "wati"))
    assert account is not None
    assert (account.standing, account.signed_in_ms) == (Standing.ACTIVE, house.clock.now_ms)


async def test_sessions_are_listed_with_where_they_come_from_and_ended_one_by_one(house: House) -> None:
    budi = await house.add("budi")
    first = await house.access.sign_in("budi", PASSWORD, address="10.0.0.7", agent="Firefox/140 Linux")
    house.clock.now_ms += 5_000
    link = await house.access.sign_in_link("budi")
    second = await house.access.open_link(link, browser=Browser("10.0.0.8", "curl/8"))
    found = await house.access.sessions_of(budi)
    assert [(one.address, one.agent) for one in found] == [("10.0.0.8", "curl/8"), ("10.0.0.7", "Firefox/140 Linux")]
    await house.accounts.end_sessions(ROOT, budi, found[1].id)
    assert [await house.access.whose(one.token) is None for one in (first, second)] == [True, False]
    with pytest.raises(NotFound):
        await house.accounts.end_sessions(ROOT, budi, found[1].id)
    with pytest.raises(NotFound):
        await house.accounts.end_sessions(ROOT, house.siti, found[0].id)
    assert await house.accounts.end_sessions(ROOT, budi) == 1
    assert await house.access.whose(second.token) is None


async def test_one_ends_ones_own_other_sessions_and_nobody_elses(house: House) -> None:
    await house.add("budi")
    here, there = await house.sign_in("budi"), await house.sign_in("budi")
    theirs = await house.sign_in("siti")
    account = await house.access.whose(here)
    assert account is not None
    stranger = (await house.access.sessions_of(house.siti))[0].id
    with pytest.raises(NotFound):
        await house.access.end_own(account, stranger)
    await house.access.end_own(account, but=here)
    assert [await house.access.whose(one) is None for one in (here, there, theirs)] == [False, True, False]
    await house.access.end_own(account, (await house.access.sessions_of(account.id))[0].id)
    assert await house.access.whose(here) is None


async def test_a_session_that_was_left_is_neither_listed_nor_kept(house: House) -> None:
    budi = await house.add("budi")
    await house.sign_in("budi")
    house.clock.now_ms += 1_800_000
    assert await house.access.sessions_of(budi) == []
    await house.access.forget_expired()
    await house.sign_in("budi")
    assert len(await house.access.sessions_of(budi)) == 1


async def test_wrong_present_passwords_slow_down_as_signing_in_does(house: House) -> None:
    account = await house.access.whose(await house.sign_in("siti"))
    assert account is not None
    for _ in range(5):
        with pytest.raises(InvalidInput):
            await house.access.change_password(account, current="wrong", new=ANOTHER)
    with pytest.raises(CollectorError, match="Too many failed tries"):
        await house.access.change_password(account, current=PASSWORD, new=ANOTHER)
    house.clock.now_ms += 1_001
    await house.access.change_password(account, current=PASSWORD, new=ANOTHER)


@pytest.mark.parametrize("role", ["viewer", "operator", ""])
async def test_only_an_administrator_does_any_of_it(house: House, role: str) -> None:
    actor = Actor("budi", role)
    for attempt in (
        house.accounts.add(actor, name="eve", role=Role.ADMIN),
        house.accounts.alter(actor, house.siti, active=False),
        house.accounts.end_sessions(actor, house.siti),
        house.accounts.reset_link(actor, house.siti),
    ):
        with pytest.raises(Forbidden):
            await attempt


async def test_an_account_that_does_not_exist_is_said_not_to(house: House) -> None:
    for attempt in (
        house.accounts.alter(ROOT, 999, active=False),
        house.accounts.end_sessions(ROOT, 999),
        house.accounts.reset_link(ROOT, 999),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_what_is_done_with_links_and_tokens_is_on_record(house: House) -> None:
    budi = await house.add("budi")
    account = await house.access.whose(await house.sign_in("budi"))
    assert account is not None
    token = await house.access.new_token(account, "script", Scope.READ, by="siti")
    await house.access.revoke_token(token.id, by="siti")
    await house.access.sign_in_link("budi", by="siti")
    await house.accounts.end_sessions(ROOT, budi)
    assert [(who, action) for who, action, _ in await house.acts(budi)] == [
        ("root", "create"), ("siti", "token"), ("siti", "revoke-token"), ("siti", "sign-in-link"),
        ("root", "end-sessions"),
    ]  # fmt: skip
