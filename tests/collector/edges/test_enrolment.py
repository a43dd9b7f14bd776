"""Enrolment and renewal over real gRPC, and every wrong certificate against a real mutual-TLS server."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from collector.domain import errors, trust
from collector.domain.pace import Pace
from collector.edges import grpc_errors
from collector.edges.enrolment import add_renewal, caller, enrolment_server
from collector.edges.identity import identify, server_credentials
from collector.flows.authority import Authority
from collector.flows.enrol import Enroller, Gate, admit
from collector.flows.register import Registrar
from collector.store import agents
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as wire
from protos.telemetry.v1 import telemetry_pb2_grpc as services
from tests.collector import pki

WIDE = Pace(rate=1e6, burst=1_000_000)
TIMEOUT_SECONDS = 10


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Deliver(services.TelemetryServicer):
    """The smallest server that asks what the real one asks: who are you, and are you let in."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def Deliver(self, frames: Any, context: Any) -> AsyncIterator[wire.CollectorFrame]:
        try:
            peer = identify(context.auth_context())
            await self._db.read(lambda c: admit(c, peer.agent_id, peer.fingerprint, now_ms()))
        except errors.CollectorError as error:
            await grpc_errors.refuse(context, error)
        yield wire.CollectorFrame(welcome=wire.Welcome(session=1))


class Stand(NamedTuple):
    db: Database
    enroller: Enroller
    enrolment: str
    telemetry: str
    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey


@pytest.fixture
async def stand(database: Database, tmp_path: Path) -> AsyncIterator[Stand]:
    authority = Authority(tmp_path / "trust", clock=now_ms)
    telemetry = grpc.aio.server()
    port = telemetry.add_secure_port("127.0.0.1:0", server_credentials(authority, mutual=True))
    enroller = Enroller(
        database,
        authority,
        Registrar(database, clock=now_ms),
        clock=now_ms,
        enrolment_address="127.0.0.1:8422",
        telemetry_address=f"127.0.0.1:{port}",
        gate=Gate(Pace(rate=0.001, burst=40), WIDE),
    )
    services.add_TelemetryServicer_to_server(_Deliver(database), telemetry)
    add_renewal(telemetry, enroller)
    enrolment, enrolment_port = enrolment_server(enroller, "127.0.0.1:0")
    await telemetry.start()
    await enrolment.start()
    content = (tmp_path / "trust" / "authority.pem").read_bytes()
    root_key = serialization.load_pem_private_key(content, None)
    assert isinstance(root_key, ec.EllipticCurvePrivateKey)
    root = x509.load_pem_x509_certificate(authority.certificate_pem)
    yield Stand(database, enroller, f"127.0.0.1:{enrolment_port}", f"127.0.0.1:{port}", root, root_key)
    await enrolment.stop(0)
    await telemetry.stop(0)


def root_pem(stand: Stand) -> bytes:
    return stand.enroller.authority.certificate_pem


async def ask(stand: Stand, request: wire.EnrolRequest) -> wire.EnrolResponse:
    async with grpc.aio.secure_channel(stand.enrolment, grpc.ssl_channel_credentials(root_pem(stand))) as channel:
        return await services.EnrolmentStub(channel).Enrol(request, timeout=TIMEOUT_SECONDS)


async def come_in(stand: Stand, key: ec.EllipticCurvePrivateKey) -> wire.EnrolResponse:
    token = await stand.enroller.issue("ann")
    return await ask(
        stand, wire.EnrolRequest(token=token.secret, certificate_request=pki.request(key), host_name="web-1")
    )


def credentials(stand: Stand, key: bytes | None, certificate: bytes | None) -> Any:
    return grpc.ssl_channel_credentials(root_pem(stand), key, certificate)


async def deliver(stand: Stand, key: bytes | None, certificate: bytes | None) -> str:
    """`let in`, or the server's status and words."""

    def call() -> str:
        # grpc.aio's client sometimes raises CancelledError where the connection fails while it ends its requests.
        with grpc.secure_channel(stand.telemetry, credentials(stand, key, certificate)) as channel:
            try:
                (frame,) = services.TelemetryStub(channel).Deliver(iter(()), timeout=TIMEOUT_SECONDS)
            except grpc.RpcError as error:
                return f"{error.code().name}: {error.details()}"
        assert frame.welcome.session == 1
        return "let in"

    return await asyncio.to_thread(call)


async def test_a_token_is_exchanged_for_a_certificate_over_the_network(stand: Stand) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    answer = await come_in(stand, key)
    assert answer.telemetry_address == stand.telemetry
    assert answer.authority == root_pem(stand)
    assert await deliver(stand, pki.key_pem(key), answer.certificate) == "let in"


async def test_anybody_may_ask_for_the_authority(stand: Stand) -> None:
    async with grpc.aio.secure_channel(stand.enrolment, grpc.ssl_channel_credentials(root_pem(stand))) as channel:
        answer = await services.EnrolmentStub(channel).Authority(wire.AuthorityRequest(), timeout=TIMEOUT_SECONDS)
    assert answer.authority == root_pem(stand)


async def test_a_used_token_is_refused_in_one_sentence(stand: Stand) -> None:
    token = await stand.enroller.issue("ann")
    request = wire.EnrolRequest(token=token.secret, certificate_request=pki.request(), host_name="web-1")
    await ask(stand, request)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(stand, request)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert refused.value.details() == trust.TOKEN_REFUSED


async def test_an_oversized_request_is_refused(stand: Stand) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(stand, wire.EnrolRequest(token="x" * 20_000))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_compressed_request_is_never_inflated(stand: Stand) -> None:
    async with grpc.aio.secure_channel(
        stand.enrolment, grpc.ssl_channel_credentials(root_pem(stand)), compression=grpc.Compression.Gzip
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await services.EnrolmentStub(channel).Enrol(wire.EnrolRequest(token="x" * 10_000_000), timeout=5)
    assert "DecodeError" in refused.value.details()  # The parser was handed the compressed bytes.


async def test_too_many_attempts_from_one_address_are_told_when_to_come_back(stand: Stand) -> None:
    request = wire.EnrolRequest(token="sigap1.AAAA", certificate_request=pki.request(), host_name="web-1")
    async with grpc.aio.secure_channel(stand.enrolment, grpc.ssl_channel_credentials(root_pem(stand))) as channel:
        for _ in range(40):
            with pytest.raises(grpc.aio.AioRpcError, match="not valid"):
                await services.EnrolmentStub(channel).Enrol(request, timeout=TIMEOUT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await services.EnrolmentStub(channel).Enrol(request, timeout=TIMEOUT_SECONDS)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(refused.value.trailing_metadata())[grpc_errors.RETRY_AFTER]) > 0


async def test_renewal_takes_the_valid_certificate_and_no_revoked_one(stand: Stand) -> None:
    key, next_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    first = await come_in(stand, key)

    async def renew() -> wire.EnrolResponse:
        shown = credentials(stand, pki.key_pem(key), first.certificate)
        async with grpc.aio.secure_channel(stand.telemetry, shown) as channel:
            request = wire.RenewRequest(certificate_request=pki.request(next_key))
            return await services.RenewalStub(channel).Renew(request, timeout=TIMEOUT_SECONDS)

    second = await renew()
    assert second.agent_id == first.agent_id
    for held, answer in ((key, first), (next_key, second)):
        assert await deliver(stand, pki.key_pem(held), answer.certificate) == "let in"
    await stand.enroller.revoke("ann", first.agent_id, "stolen")
    for held, answer in ((key, first), (next_key, second)):
        refused = await deliver(stand, pki.key_pem(held), answer.certificate)
        assert refused == f"UNAUTHENTICATED: {trust.REFUSAL_WORDS[trust.Refusal.REVOKED]}"
    with pytest.raises(grpc.aio.AioRpcError, match="revoked"):
        await renew()


# ── every wrong certificate ─────────────────────────────────────────────────────────────────────────────────────────

Wrong = Callable[[Stand, str], tuple[bytes | None, bytes | None]]
OTHER_AGENT = "11111111-1111-4111-8111-111111111111"


def made(stand: Stand, agent_id: str, **kind: Any) -> tuple[bytes, bytes]:
    kind.setdefault("uris", [trust.IDENTITY_PREFIX + agent_id])
    return pki.certificate(kind.pop("issuer", stand.root), kind.pop("issuer_key", stand.root_key), **kind)


def by_other_authority(stand: Stand, agent_id: str) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    return made(stand, agent_id, issuer_key=key)  # the right issuer's name, the wrong issuer's key


def chained(stand: Stand, agent_id: str) -> tuple[bytes, bytes]:
    """Issued by an agent's own certificate, which is no authority."""
    middle_key = ec.generate_private_key(ec.SECP256R1())
    _, middle = made(stand, OTHER_AGENT, key=middle_key)
    issuer = x509.load_pem_x509_certificate(middle)
    key, leaf = made(stand, agent_id, issuer=issuer, issuer_key=middle_key)
    return key, leaf + middle


def of_server(stand: Stand, agent_id: str) -> tuple[bytes, bytes]:
    pair = stand.enroller.authority.server()
    return pair.key_pem, pair.certificate_pem


NO_IDENTITY = trust.REFUSAL_WORDS[trust.Refusal.NO_IDENTITY]
NOT_LISTED = trust.REFUSAL_WORDS[trust.Refusal.NOT_LISTED]
HANDSHAKE = "UNAVAILABLE"

WRONG: dict[str, tuple[Wrong, str]] = {
    "none": (lambda stand, agent: (None, None), HANDSHAKE),
    "other authority": (by_other_authority, HANDSHAKE),
    "self-signed": (lambda stand, agent: made(stand, agent, issuer=None, issuer_key=None), HANDSHAKE),
    "expired": (lambda stand, agent: made(stand, agent, days=(-2, -1)), HANDSHAKE),
    "not yet valid": (lambda stand, agent: made(stand, agent, days=(1, 2)), HANDSHAKE),
    "server's usage": (lambda stand, agent: made(stand, agent, usage=pki.SERVER), HANDSHAKE),
    "the server's own": (of_server, HANDSHAKE),
    "issued by an agent": (chained, HANDSHAKE),
    "no usage": (lambda stand, agent: made(stand, agent, usage=None), NO_IDENTITY),
    "an authority": (lambda stand, agent: made(stand, agent, ca=True), NO_IDENTITY),
    "no name": (lambda stand, agent: made(stand, agent, uris=[]), NO_IDENTITY),
    "two names": (
        lambda stand, agent: made(
            stand, agent, uris=[trust.IDENTITY_PREFIX + agent, trust.IDENTITY_PREFIX + OTHER_AGENT]
        ),
        NO_IDENTITY,
    ),
    "wildcard": (lambda stand, agent: made(stand, agent, uris=[trust.IDENTITY_PREFIX + "*"]), NO_IDENTITY),
    "foreign name": (lambda stand, agent: made(stand, agent, uris=["spiffe://x/" + agent]), NO_IDENTITY),
    "NUL in the name": (
        lambda stand, agent: made(stand, agent, uris=[f"{trust.IDENTITY_PREFIX}{agent}\0.x"]),
        NO_IDENTITY,
    ),
    "same name, other key": (lambda stand, agent: made(stand, agent), NOT_LISTED),
    "name of nobody": (lambda stand, agent: made(stand, OTHER_AGENT), NOT_LISTED),
    "RSA-1024": (
        lambda stand, agent: made(stand, agent, key=rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        NOT_LISTED,
    ),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_certificate_gets_one_clear_refusal(stand: Stand, name: str) -> None:
    right = ec.generate_private_key(ec.SECP256R1())
    enrolled = await come_in(stand, right)
    make, answer = WRONG[name]
    key, certificate = make(stand, enrolled.agent_id)
    refused = await deliver(stand, key, certificate)
    if answer == HANDSHAKE:
        assert refused.startswith(HANDSHAKE), refused
    else:
        assert refused == f"UNAUTHENTICATED: {answer}"
    assert await deliver(stand, pki.key_pem(right), enrolled.certificate) == "let in"


async def test_the_authoritys_own_certificate_is_refused_as_a_client(stand: Stand, tmp_path: Path) -> None:
    # gRPC's client does not even load it, so OpenSSL's shows it.
    (tmp_path / "client.pem").write_bytes(pki.key_pem(stand.root_key) + root_pem(stand))
    context = ssl.create_default_context(cadata=root_pem(stand).decode())
    context.load_cert_chain(tmp_path / "client.pem")
    context.set_alpn_protocols(["h2"])
    host, _, port = stand.telemetry.rpartition(":")

    async def talk() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        try:
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            return await reader.read(1)
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()

    assert await asyncio.wait_for(talk(), TIMEOUT_SECONDS) == b""  # closed without a word of HTTP/2


LISTED_WRONG = {
    "of another agent": ({"agent_id": OTHER_AGENT}, trust.Refusal.OTHER_AGENT),
    "expired on the list": ({"not_after_ms": 1}, trust.Refusal.EXPIRED),
    "not yet valid on the list": ({"not_before_ms": 1 << 50}, trust.Refusal.NOT_YET_VALID),
}


@pytest.mark.parametrize("name", LISTED_WRONG)
async def test_a_listed_certificate_is_let_in_only_as_the_list_says(stand: Stand, name: str) -> None:
    enrolled = await come_in(stand, ec.generate_private_key(ec.SECP256R1()))
    changes, refusal = LISTED_WRONG[name]
    key, certificate = made(stand, enrolled.agent_id)
    fingerprint = x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()
    listed = {"agent_id": enrolled.agent_id, "not_before_ms": 0, "not_after_ms": 1 << 51} | changes

    def work(connection: Any) -> None:
        agents.create(connection, OTHER_AGENT, host_id=2, host_name="web-2", version="", enrolled_ms=1)
        agents.add_certificate(connection, listed.pop("agent_id"), fingerprint=fingerprint, **listed)

    await stand.db.write(work)
    assert await deliver(stand, key, certificate) == f"UNAUTHENTICATED: {trust.REFUSAL_WORDS[refusal]}"


# ── smaller things ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_running_server_shows_its_renewed_certificate(sqlite: Database, tmp_path: Path) -> None:
    offset_ms = 0
    authority = Authority(tmp_path / "trust", clock=lambda: now_ms() + offset_ms)
    enroller = Enroller(
        sqlite,
        authority,
        Registrar(sqlite, clock=now_ms),
        clock=now_ms,
        enrolment_address="a:1",
        telemetry_address="a:2",
    )
    server, port = enrolment_server(enroller, "127.0.0.1:0")
    await server.start()

    def shown() -> datetime.datetime:
        pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc

    before = await asyncio.to_thread(shown)
    offset_ms = trust.SERVER_LIFE_MS * 3 // 4
    after = await asyncio.to_thread(shown)
    await server.stop(0)
    assert (after - before).days > 200


async def test_a_taken_port_is_said_to_be_taken(stand: Stand) -> None:
    with pytest.raises(OSError, match=stand.enrolment):
        enrolment_server(stand.enroller, stand.enrolment)


def test_every_domain_error_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    for kind in kinds:
        keywords = {"recoverable": True} if kind is errors.DeliveryError else {}
        assert isinstance(grpc_errors.status_of(kind("x", **keywords)), grpc.StatusCode)
    assert grpc_errors.status_of(errors.StoreFull("x")) is grpc.StatusCode.UNAVAILABLE
    assert grpc_errors.status_of(errors.DisorderError("x")) is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:51000", "192.0.2.7"),
        ("ipv6:%5B2001:db8:0:1::7%5D:51000", "2001:db8:0:1::/64"),
        ("ipv6:[fe80::1%25eth0]:51000", "fe80::/64"),
        ("unix:", "unix:"),
    ],
)
def test_one_site_is_one_address(peer: str, address: str) -> None:
    assert caller(peer) == address
