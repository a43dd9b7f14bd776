"""Set-up, signing in, sessions, links and tokens, on both databases."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import PasswordHasher
from sqlalchemy import text

from collector.domain.access import Lifetime, Role, Scope
from collector.domain.errors import Conflict, Forbidden, InvalidInput, TooMuch, Unauthenticated
from collector.domain.registers.base import Actor
from collector.flows.access import Access
from collector.flows.accounts import Accounts
from collector.store import accounts
from collector.store.database import Database
from tests.collector.clock import Clock

PASSWORD = "a long and honest phrase"


@pytest.fixture
def clock() -> Clock:
    return Clock(1_790_000_000_000)


@pytest.fixture
def access(database: Database, clock: Clock) -> Access:
    return Access(database, clock=clock, lifetime=Lifetime(idle_ms=1_800_000, absolute_ms=43_200_000))


async def set_up(access: Access) -> str:
    signed_in = await access.set_up(await access.setup_link(), name="siti", password=PASSWORD, language="id")
    return signed_in.token


async def test_set_up_makes_one_administrator_and_closes_for_ever(access: Access) -> None:
    link = await access.setup_link()
    account = (await access.set_up(link, name="siti", password=PASSWORD, language="id")).account
    assert (account.name, account.role, account.language) == ("siti", Role.ADMIN, "id")
    with pytest.raises(Conflict):
        await access.set_up(await access.setup_link(), name="budi", password=PASSWORD, language="en")


async def test_of_many_set_ups_at_once_one_wins(access: Access) -> None:
    link = await access.setup_link()
    tries = [access.set_up(link, name=f"p{n:02}", password=PASSWORD, language="en") for n in range(12)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1


async def test_a_new_set_up_link_voids_the_one_before(access: Access) -> None:
    old, _ = await access.setup_link(), await access.setup_link()
    with pytest.raises(Unauthenticated):
        await access.set_up(old, name="siti", password=PASSWORD, language="en")


async def test_a_session_ends_when_idle_and_in_any_case(access: Access, clock: Clock) -> None:
    token = await set_up(access)
    for _ in range(26):
        clock.now_ms += 1_700_000
        still = await access.whose(token)
        if still is None:
            break
    assert still is None, "an active session must still end after its absolute lifetime"
    token = (await access.sign_in("siti", PASSWORD, address="::1")).token
    clock.now_ms += 1_800_000
    assert await access.whose(token) is None


def stored_hash(database: Database) -> str:
    account = database.read_now(lambda connection: accounts.by_name(connection, "siti"))
    assert account is not None
    return account.password_hash


async def test_a_hash_of_former_parameters_is_made_anew_at_sign_in(database: Database, access: Access) -> None:
    session = await set_up(access)
    former = PasswordHasher(time_cost=1, memory_cost=1_024, parallelism=1).hash(PASSWORD)
    before = await access.whose(session)
    assert before is not None
    database.write_now(lambda connection: accounts.change(connection, before.id, password_hash=former))
    with pytest.raises(Unauthenticated):
        await access.sign_in("siti", "not the phrase at all", address="::1")
    assert stored_hash(database) == former
    tries = [access.sign_in("siti", PASSWORD, address="::2") for _ in range(3)]
    assert {one.account.name for one in await asyncio.gather(*tries)} == {"siti"}
    renewed = stored_hash(database)
    assert renewed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    await access.sign_in("siti", PASSWORD, address="::2")
    assert stored_hash(database) == renewed
    account = await access.whose(session)
    assert account is not None, "open sessions go on"
    assert account.version == before.version, "it is no change of the account"


async def test_signing_out_and_a_new_password_end_sessions(access: Access) -> None:
    first, third = await set_up(access), (await access.sign_in("siti", PASSWORD, address="::1")).token
    second = (await access.sign_in("siti", PASSWORD, address="::1")).token
    await access.sign_out(first)
    assert await access.whose(first) is None
    account = await access.whose(second)
    assert account is not None
    anew = await access.change_password(account, current=PASSWORD, new="another long honest phrase")
    assert [await access.whose(token) for token in (second, third)] == [None, None]
    assert await access.whose(anew.token) == anew.account
    with pytest.raises(Unauthenticated):
        await access.sign_in("siti", PASSWORD, address="::1")


async def test_wrong_passwords_slow_down_but_never_lock_out(access: Access, clock: Clock) -> None:
    await set_up(access)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await access.sign_in("siti", "wrong", address="::1")
    with pytest.raises(TooMuch):
        await access.sign_in("siti", PASSWORD, address="::1")
    clock.now_ms += 1_001
    assert (await access.sign_in("siti", PASSWORD, address="::1")).account.name == "siti"


async def test_an_unknown_name_says_the_same_as_a_wrong_password(access: Access) -> None:
    await set_up(access)
    with pytest.raises(Unauthenticated) as unknown:
        await access.sign_in("nobody", PASSWORD, address="::1")
    with pytest.raises(Unauthenticated) as wrong:
        await access.sign_in("siti", "wrong", address="::1")
    assert unknown.value.message == wrong.value.message


async def test_a_sign_in_link_works_once_and_not_for_long(access: Access, clock: Clock) -> None:
    await set_up(access)
    link = await access.sign_in_link("siti")
    assert (await access.open_link(link)).account.name == "siti"
    with pytest.raises(Unauthenticated):
        await access.open_link(link)
    late = await access.sign_in_link("siti")
    clock.now_ms += 15 * 60_000
    with pytest.raises(Unauthenticated):
        await access.open_link(late)


async def test_the_link_only_account_cannot_sign_in_by_password(access: Access) -> None:
    await access.ensure_local_account("local")
    for attempt in ("", "anything"):
        with pytest.raises(Unauthenticated):
            await access.sign_in("local", attempt, address="::1")


async def test_tokens_carry_no_more_than_their_scope_and_owner(
    access: Access, database: Database, clock: Clock
) -> None:
    owner = await access.whose(await set_up(access))
    assert owner is not None
    people = Accounts(database, clock=clock, passwords=access.passwords)
    await people.add(Actor("siti", "admin"), name="budi", role=Role.VIEWER, password=PASSWORD)
    viewer = (await access.sign_in("budi", PASSWORD, address="::1")).account
    with pytest.raises(Forbidden):
        await access.new_token(viewer, "script", Scope.WRITE)
    with pytest.raises(Forbidden):
        await people.add(Actor("budi", "viewer"), name="eve", role=Role.ADMIN)
    token = await access.new_token(owner, "prometheus", Scope.READ, days=1)
    assert await access.token_owner(token.secret) == (owner, Role.VIEWER)
    assert await access.token_owner(token.secret + "x") is None
    clock.now_ms += 86_400_000
    assert await access.token_owner(token.secret) is None


async def test_a_revoked_token_is_refused_at_once(access: Access) -> None:
    owner = await access.whose(await set_up(access))
    assert owner is not None
    token = await access.new_token(owner, "script", Scope.ADMIN)
    await access.revoke_token(token.id, by="siti")
    assert await access.token_owner(token.secret) is None


async def test_no_usable_secret_is_stored(access: Access, database: Database) -> None:
    session = await set_up(access)
    owner = await access.whose(session)
    assert owner is not None
    token, link = await access.new_token(owner, "script", Scope.READ), await access.sign_in_link("siti")
    secrets = (session, token.secret, token.secret.split("_", 2)[2], link, PASSWORD)
    tables = ("account", "session", "api_token", "sign_in_link")
    dump = database.read_now(
        lambda connection: str([connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables])
    )
    assert not [secret for secret in secrets if secret in dump]


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaa", "password1234", "x" * 257])
async def test_a_bad_password_is_refused_with_the_field(access: Access, password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await access.set_up(await access.setup_link(), name="siti", password=password, language="en")
    assert set(refused.value.fields) == {"password"}
