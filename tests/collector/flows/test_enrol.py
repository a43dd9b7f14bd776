"""The authority, tokens, certificates and revocation, on both kinds of store."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlalchemy import Connection

from collector.domain import trust
from collector.domain.errors import Conflict, InvalidInput, NotFound, TooMuch, Unauthenticated
from collector.domain.pace import Pace
from collector.domain.registers.host import Host
from collector.flows.authority import Authority
from collector.flows.enrol import Enrolled, Enroller, Gate, admit
from collector.flows.register import Registrar
from collector.metrics import Metrics
from collector.store import registers
from collector.store.database import Database
from tests.collector import pki
from tests.collector.clock import Clock

NOW = 1_800_000_000_000
WIDE = Pace(rate=1e6, burst=1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def registrar(database: Database, clock: Clock) -> Registrar:
    return Registrar(database, clock=clock)


@pytest.fixture
def enroller(database: Database, tmp_path: Path, clock: Clock, registrar: Registrar) -> Enroller:
    authority = Authority(tmp_path / "trust", names=["collector.example"], clock=clock)
    return Enroller(
        database,
        authority,
        registrar,
        clock=clock,
        enrolment_address="collector.example:8422",
        telemetry_address="collector.example:8421",
        gate=Gate(WIDE, WIDE),
    )


async def come_in(
    enroller: Enroller, host_name: str = "web-1", *, bound_to: str = "", request: bytes = b""
) -> Enrolled:
    token = await enroller.issue("ann", bound_to)
    return await redeem(enroller, token.secret, host_name, request=request)


async def redeem(enroller: Enroller, token: str, host_name: str = "web-1", *, request: bytes = b"") -> Enrolled:
    return await enroller.redeem(
        token, request or pki.request(), host_name=host_name, version="0.1.0", caller="192.0.2.1"
    )


def fingerprint(enrolled: Enrolled) -> str:
    return x509.load_pem_x509_certificate(enrolled.certificate_pem).fingerprint(hashes.SHA256()).hex()


async def let_in(database: Database, enrolled: Enrolled, now_ms: int) -> trust.Credential:
    return await database.read(lambda c: admit(c, enrolled.agent_id, fingerprint(enrolled), now_ms))


async def test_a_token_becomes_a_certificate_that_is_let_in(enroller: Enroller, database: Database) -> None:
    issued = await enroller.issue("ann", "Web-1")
    assert issued.command == f"sigap-agent enrol {issued.secret}"
    assert issued.secret not in repr(issued)
    assert trust.read_token(issued.secret).pin == enroller.authority.pin
    assert trust.read_token(issued.secret).address == "collector.example:8422"
    enrolled = await redeem(enroller, issued.secret)
    assert enrolled.telemetry_address == "collector.example:8421"
    assert (await let_in(database, enrolled, NOW)).agent_id == enrolled.agent_id
    (agent,) = await enroller.agents(NOW)
    assert (agent.id, agent.host_name, agent.status, agent.version) == (enrolled.agent_id, "web-1", "active", "0.1.0")
    assert agent.certificate_until_ms == NOW + trust.AGENT_LIFE_MS
    (token,) = await enroller.tokens()
    assert (token.state(NOW), token.agent_id, token.created_by) == ("used", enrolled.agent_id, "ann")


async def test_five_hundred_redemptions_at_once_give_one_certificate(enroller: Enroller, database: Database) -> None:
    token = await enroller.issue("ann")
    request = pki.request()
    outcomes = await asyncio.gather(
        *(redeem(enroller, token.secret, request=request) for _ in range(500)), return_exceptions=True
    )
    kinds = Counter(type(outcome).__name__ for outcome in outcomes)
    assert kinds == {"Enrolled": 1, "Unauthenticated": 499}
    assert len(await enroller.agents(NOW)) == 1


async def test_redemptions_from_threads_of_their_own_give_one_certificate(enroller: Enroller) -> None:
    token = await enroller.issue("ann")
    request = pki.request()

    def attempt() -> str:
        try:
            return type(asyncio.run(redeem(enroller, token.secret, request=request))).__name__
        except Unauthenticated:
            return "refused"

    outcomes = await asyncio.gather(*(asyncio.to_thread(attempt) for _ in range(32)))
    assert Counter(outcomes) == {"Enrolled": 1, "refused": 31}


async def test_every_bad_token_gets_the_same_answer_and_the_log_knows_why(
    enroller: Enroller, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    used, late, bound = await enroller.issue("a"), await enroller.issue("a"), await enroller.issue("a", "db-1")
    unknown = trust.Token(b"x" * 32, enroller.authority.pin, "collector.example:8422").text()
    await redeem(enroller, used.secret)
    answers = set()
    for token, at_ms, why in (
        (used.secret, NOW, "used"),
        (unknown, NOW, "unknown"),
        (bound.secret, NOW, "wrong_host"),
        ("sigap1.AAAA", NOW, "malformed"),
        (late.secret, NOW + trust.TOKEN_LIFE_MS, "expired"),
    ):
        clock.now_ms = at_ms
        with pytest.raises(Unauthenticated) as refused:
            await redeem(enroller, token)
        answers.add((refused.value.message, refused.value.hint))
        assert f"reason={why}" in caplog.messages[-1]
    assert answers == {(trust.TOKEN_REFUSED, "")}
    for token in (used, late, bound):
        assert token.secret not in caplog.text
        assert token.secret.removeprefix("sigap1.")[:40] not in caplog.text


async def test_a_refused_request_does_not_use_the_token_up(enroller: Enroller) -> None:
    token = await enroller.issue("ann", "web-1")
    with pytest.raises(Unauthenticated):
        await redeem(enroller, token.secret, "web-2")
    with pytest.raises(InvalidInput):
        await redeem(enroller, token.secret, request=b"not a request")
    with pytest.raises(InvalidInput):
        await redeem(enroller, token.secret, "web 1")
    assert (await redeem(enroller, token.secret)).agent_id


async def test_a_host_that_cannot_be_registered_leaves_the_token_good(
    enroller: Enroller, registrar: Registrar, database: Database
) -> None:
    refusing = True

    def gate(connection: Connection, register: str, record: Any, before: Any, now_ms: int) -> None:
        if refusing:
            raise InvalidInput("The register is closed.")

    registrar.on_write(gate)
    token = await enroller.issue("ann")
    with pytest.raises(InvalidInput, match="closed"):
        await redeem(enroller, token.secret)
    refusing = False
    assert (await redeem(enroller, token.secret)).agent_id


async def test_a_host_that_enrols_is_on_the_register_and_listeners_hear_of_it(
    enroller: Enroller, registrar: Registrar, database: Database
) -> None:
    heard: list[tuple[str, str]] = []
    registrar.on_change(lambda register, record, before: heard.append((register, record.key if record else "")))
    enrolled = await come_in(enroller, "Web-1.Example.")
    host = await database.read(lambda c: registers.by_key(c, Host, "web-1.example"))
    assert heard == [("host", "web-1.example")]
    assert (await let_in(database, enrolled, NOW)).host_id == host.id
    assert host.state == "active"


async def test_a_host_that_was_written_down_before_is_used(
    enroller: Enroller, registrar: Registrar, database: Database
) -> None:
    host = await registrar.create("ann", "host", {"key": "web-1", "name": "Web server", "site": "Jakarta"})
    enrolled = await come_in(enroller)
    assert (await let_in(database, enrolled, NOW)).host_id == host.id


async def test_a_retired_host_that_enrols_again_is_active_again(
    enroller: Enroller, registrar: Registrar, database: Database
) -> None:
    first = await come_in(enroller)
    await enroller.revoke("ann", first.agent_id, "scrapped")
    await registrar.transition("ann", "host", "web-1", "retire", why="scrapped")
    second = await come_in(enroller)
    host = await database.read(lambda c: registers.by_key(c, Host, "web-1"))
    assert (host.state, host.id) == ("active", (await let_in(database, second, NOW)).host_id)


async def test_a_withdrawn_token_is_worth_nothing(enroller: Enroller) -> None:
    token = await enroller.issue("ann")
    await enroller.withdraw("ann", token.id)
    with pytest.raises(Unauthenticated):
        await redeem(enroller, token.secret)
    with pytest.raises(Conflict):
        await enroller.withdraw("ann", token.id)


async def test_a_token_for_any_host_takes_no_host_over(enroller: Enroller, database: Database) -> None:
    # "-web-1." is another name with the same key.
    arrivals = [await come_in(enroller, name) for name in ("web-1", "web-1", "-web-1.")]
    ids = {(await let_in(database, enrolled, NOW)).host_id for enrolled in arrivals}
    keys = await database.read(lambda c: registers.keys_of(c, Host, ids))
    assert sorted(keys.values()) == ["web-1", "web-1-2", "web-1-3"]


async def test_a_token_for_one_host_replaces_what_was_there(enroller: Enroller, database: Database) -> None:
    ended: list[str] = []
    enroller.on_revoked(ended.append)
    first = await come_in(enroller)
    host_id = (await let_in(database, first, NOW)).host_id
    second = await come_in(enroller, bound_to="web-1")
    assert ended == [first.agent_id]
    assert (await let_in(database, second, NOW)).host_id == host_id
    with pytest.raises(Unauthenticated, match="revoked"):
        await let_in(database, first, NOW)


async def test_nothing_that_a_request_asks_for_is_granted_but_its_key(enroller: Enroller) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    greedy = pki.request(
        key,
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(trust.IDENTITY_PREFIX + "other")]),
        x509.ExtendedKeyUsage([pki.SERVER]),
    )
    enrolled = await come_in(enroller, request=greedy)
    made = x509.load_pem_x509_certificate(enrolled.certificate_pem)
    extensions = made.extensions
    assert made.public_key() == key.public_key()
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [pki.CLIENT]
    assert [name.value for name in extensions.get_extension_for_class(x509.SubjectAlternativeName).value] == [
        trust.IDENTITY_PREFIX + enrolled.agent_id
    ]
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def tampered() -> bytes:
    """A request whose signature is of another key: nobody proved to have this one."""
    mine, other = pki.request(), pki.request()
    return mine[:-64] + other[-64:]


@pytest.mark.parametrize(
    "request_der",
    [
        pki.request(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        pki.request(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        pki.request(ec.generate_private_key(ec.SECP192R1() if hasattr(ec, "SECP192R1") else ec.SECP256K1())),
        tampered(),
        b"",
        b"\x30\x03\x02\x01\x00",
        b"\x00" * 9000,
    ],
    ids=["RSA-1024", "RSA-2048", "weak-curve", "no-proof", "empty", "not-a-request", "too-large"],
)
async def test_a_bad_certificate_request_is_refused(enroller: Enroller, request_der: bytes) -> None:
    token = await enroller.issue("ann")
    with pytest.raises(InvalidInput) as refused:
        await enroller.redeem(token.secret, request_der, host_name="web-1", version="", caller="192.0.2.1")
    assert refused.value.hint or refused.value.message


async def test_renewal_gives_a_second_certificate_and_both_are_let_in(
    enroller: Enroller, database: Database, clock: Clock
) -> None:
    first = await come_in(enroller)
    clock.now_ms += 20 * trust.DAY_MS
    second = await enroller.renew(first.agent_id, fingerprint(first), pki.request())
    assert second.agent_id == first.agent_id
    assert second.not_after_ms == clock.now_ms + trust.AGENT_LIFE_MS
    for enrolled in (first, second):
        await let_in(database, enrolled, clock.now_ms)
    clock.now_ms += 10 * trust.DAY_MS
    third = await enroller.renew(first.agent_id, fingerprint(second), pki.request())
    with pytest.raises(Unauthenticated, match="expired"):
        await let_in(database, first, clock.now_ms)
    await let_in(database, third, clock.now_ms)


async def test_renewing_with_the_second_ends_the_first_after_a_day(
    enroller: Enroller, database: Database, clock: Clock
) -> None:
    first = await come_in(enroller)
    clock.now_ms += trust.DAY_MS
    second = await enroller.renew(first.agent_id, fingerprint(first), pki.request())
    await enroller.renew(first.agent_id, fingerprint(second), pki.request())
    await let_in(database, first, clock.now_ms + trust.OVERLAP_MS - 1)
    with pytest.raises(Unauthenticated, match="expired"):
        await let_in(database, first, clock.now_ms + trust.OVERLAP_MS)


async def test_renewal_asks_the_same_list_as_data(enroller: Enroller, clock: Clock) -> None:
    first, other = await come_in(enroller), await come_in(enroller, "web-2")
    with pytest.raises(Unauthenticated, match="another agent"):
        await enroller.renew(other.agent_id, fingerprint(first), pki.request())
    with pytest.raises(Unauthenticated, match="did not issue"):
        await enroller.renew(first.agent_id, "0" * 64, pki.request())
    await enroller.revoke("ann", first.agent_id, "stolen")
    with pytest.raises(Unauthenticated, match="revoked"):
        await enroller.renew(first.agent_id, fingerprint(first), pki.request())
    clock.now_ms += trust.AGENT_LIFE_MS
    with pytest.raises(Unauthenticated, match="expired"):
        await enroller.renew(other.agent_id, fingerprint(other), pki.request())


async def test_an_agent_cannot_collect_certificates(enroller: Enroller) -> None:
    first = await come_in(enroller)
    for _ in range(trust.LIVE_CERTIFICATES_MAX - 1):
        await enroller.renew(first.agent_id, fingerprint(first), pki.request())
    with pytest.raises(TooMuch):
        await enroller.renew(first.agent_id, fingerprint(first), pki.request())


async def test_a_revoked_agent_is_out_at_once_with_every_certificate(enroller: Enroller, database: Database) -> None:
    ended: list[str] = []
    enroller.on_revoked(ended.append)
    first = await come_in(enroller)
    second = await enroller.renew(first.agent_id, fingerprint(first), pki.request())
    await enroller.revoke("ann", first.agent_id, "  stolen  ")
    for enrolled in (first, second):
        with pytest.raises(Unauthenticated, match="revoked"):
            await let_in(database, enrolled, NOW)
    assert ended == [first.agent_id]
    (agent,) = await enroller.agents(NOW)
    assert (agent.status, agent.revoked_by, agent.revoked_why, agent.revoked_ms) == ("revoked", "ann", "stolen", NOW)
    assert agent.certificate_until_ms is None
    with pytest.raises(Conflict):
        await enroller.revoke("ann", first.agent_id, "again")


async def test_revoking_needs_an_agent_and_a_reason(enroller: Enroller) -> None:
    with pytest.raises(NotFound):
        await enroller.revoke("ann", "nobody", "why")
    with pytest.raises(InvalidInput):
        await enroller.revoke("ann", "nobody", " ")


async def test_one_address_cannot_use_up_what_all_may(enroller: Enroller) -> None:
    gate = Gate(Pace(rate=1, burst=2), Pace(rate=1, burst=4))
    for _ in range(2):
        gate.pass_one("192.0.2.1", NOW)
    for _ in range(5):
        with pytest.raises(TooMuch) as refused:
            gate.pass_one("192.0.2.1", NOW)
        assert refused.value.retry_after_seconds == 1.0
    gate.pass_one("192.0.2.2", NOW)
    gate.pass_one("192.0.2.3", NOW)
    with pytest.raises(TooMuch):
        gate.pass_one("192.0.2.4", NOW)


async def test_what_became_of_each_request_is_counted(
    database: Database, enroller: Enroller, registrar: Registrar, clock: Clock
) -> None:
    metrics = Metrics()
    counting = Enroller(
        database,
        enroller.authority,
        registrar,
        clock=clock,
        enrolment_address="a:1",
        telemetry_address="a:2",
        gate=Gate(Pace(rate=1, burst=2), WIDE),
        metrics=metrics,
    )
    first = await come_in(counting)
    with pytest.raises(Unauthenticated):
        await redeem(counting, "sigap1.AAAA")
    with pytest.raises(TooMuch):
        await redeem(counting, "sigap1.AAAA")
    await counting.renew(first.agent_id, fingerprint(first), pki.request())
    results = ("enrolled", "refused", "limited", "renewed")
    counted = [metrics.registry.get_sample_value("sigap_enrolments_total", {"result": result}) for result in results]
    assert counted == [1, 1, 1, 1]
