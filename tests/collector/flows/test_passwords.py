"""Real passwords before the real estimator: what is tried first is refused, what people can keep is taken."""

from __future__ import annotations

import asyncio
import time

import pytest

from collector.domain.errors import InvalidInput
from collector.domain.password import names_of
from collector.flows.passwords import Passwords, estimate

REFUSED = (
    "password1234", "password123456", "Passw0rd!2345", "P@ssw0rd1234", "Welcome123456", "Admin@123456",
    "qwertyuiopasdf", "1q2w3e4r5t6y", "123456789012", "abcdefghijklmn", "aaaaaaaaaaaaa", "abcabcabcabc",
    "iloveyou123456", "indonesia1945", "merdeka17081945", "bismillah12345", "rahasia123456", "katasandi1234",
    "jakartajakarta", "pancasila1945",
)  # fmt: skip
NAMED = ("sigapsigapsigap", "Sigap2026!!!!", "siti1234567890", "SitiNurbaya2026", "s1t1nurbaya123", "nurbaya.siti.17")
TAKEN = (
    "kopi pahit di pagi hari", "gunung jati hijau tua", "kambing lompat pagar", "correct horse battery staple",
    "a long and honest phrase", "xK9#mQ2$vL7w", "kereta terlambat lagi, siti", "d41d8cd98f00b204",
    "пароль длинный и добрый", "日本語の長い合言葉を使う人",
)  # fmt: skip


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords()


@pytest.mark.parametrize("password", [*REFUSED, *NAMED])
async def test_what_is_tried_first_is_refused(passwords: Passwords, password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await passwords.accept(password, "Siti Nurbaya")
    assert set(refused.value.fields) == {"password"}
    assert password not in str(refused.value.fields)


@pytest.mark.parametrize("password", ["sigapsigapsigap", "SitiNurbaya2026", "nurbaya.siti.17"])
async def test_that_names_count_for_nothing_is_said(passwords: Passwords, password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await passwords.accept(password, "Siti Nurbaya")
    assert "your name or the name of this product" in refused.value.fields["password"]


@pytest.mark.parametrize("password", TAKEN)
async def test_what_people_can_keep_is_taken_and_fits_its_hash(passwords: Passwords, password: str) -> None:
    stored = await passwords.accept(password, "Siti Nurbaya")
    assert stored.startswith("$argon2id$")
    assert await passwords.fits(stored, password)
    assert not await passwords.fits(stored, password + "x")


async def test_nothing_fits_where_there_is_no_hash(passwords: Passwords) -> None:
    assert not await passwords.fits("", "")
    assert not await passwords.fits("no hash", "no hash")


def test_a_password_made_to_keep_the_estimator_busy_takes_bounded_time() -> None:
    before = time.process_time()
    estimate("4@({[<3690!1|$5+7%2" * 13, names_of("siti"))
    assert time.process_time() - before < 10


async def test_two_at_once_are_each_judged_by_their_own_name(passwords: Passwords) -> None:

    names = ["zulkarnaen", "wirasableng"] * 4
    tries = [passwords.accept(f"{name}-{name}7", name) for name in names]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(one, InvalidInput) and "your name" in one.fields["password"] for one in results)
