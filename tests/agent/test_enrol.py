"""An agent gets and renews its certificate from a real collector, and gives nothing to anybody else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio
import pytest

from agent import enrol as enrolment
from agent import identity
from agent.enrol import EnrolError, Identity, IdentityError, enrol, load, renew_when_due
from collector.domain import trust
from collector.edges.enrolment import add_renewal, enrolment_server
from collector.edges.identity import server_credentials
from collector.flows.authority import Authority
from collector.flows.enrol import Enroller
from collector.flows.register import Registrar
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as wire
from protos.telemetry.v1 import telemetry_pb2_grpc as services


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Stand(NamedTuple):
    enroller: Enroller
    address: str
    token: str


@pytest.fixture
async def stand(sqlite: Database, tmp_path: Path) -> AsyncIterator[Stand]:
    authority = Authority(tmp_path / "trust", clock=now_ms)
    telemetry = grpc.aio.server()
    port = telemetry.add_secure_port("127.0.0.1:0", server_credentials(authority, mutual=True))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    enroller = Enroller(
        sqlite,
        authority,
        Registrar(sqlite, clock=now_ms),
        clock=now_ms,
        enrolment_address=address,
        telemetry_address=f"localhost:{port}",
    )
    add_renewal(telemetry, enroller)
    server, _ = enrolment_server(enroller, address)
    await server.start()
    await telemetry.start()
    yield Stand(enroller, address, (await enroller.issue("ann")).secret)
    await server.stop(0)
    await telemetry.stop(0)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "agent" / "state"


async def come_in(stand: Stand, state: Path, **options: Any) -> Identity:
    return await asyncio.to_thread(enrol, stand.token, state, "web-1", **options)


async def test_a_token_becomes_an_identity_that_outlives_a_restart(stand: Stand, state: Path) -> None:
    assert load(state) is None
    made = await come_in(stand, state, version="0.1.0")
    assert load(state) == made
    assert made.authority_pem == stand.enroller.authority.certificate_pem
    assert made.address.startswith("localhost:")
    assert made.not_after_ms - now_ms() > 29 * trust.DAY_MS
    assert made.key_pem.decode() not in repr(made)
    (agent,) = await stand.enroller.agents(now_ms())
    assert (agent.id, agent.version) == (made.agent_id, "0.1.0")


async def test_the_key_is_readable_by_its_owner_only(stand: Stand, state: Path) -> None:
    await come_in(stand, state)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert os.listdir(state) == [identity.IDENTITY_FILE]
    assert stat.S_IMODE((state / identity.IDENTITY_FILE).stat().st_mode) == 0o600


async def test_a_used_token_is_refused_in_one_sentence(stand: Stand, state: Path) -> None:
    await come_in(stand, state)
    with pytest.raises(EnrolError) as refused:
        await come_in(stand, state)
    assert str(refused.value) == trust.TOKEN_REFUSED
    assert not refused.value.retry
    assert load(state) is not None


async def test_a_certificate_is_renewed_when_it_is_due_and_not_before(stand: Stand, state: Path) -> None:
    first = await come_in(stand, state)
    due_ms = first.not_before_ms + (first.not_after_ms - first.not_before_ms) * 2 // 3
    assert renew_when_due(first, state, now_ms=due_ms - 1) is first
    second = await asyncio.to_thread(renew_when_due, first, state, now_ms=due_ms)
    assert second.agent_id == first.agent_id
    assert second.key_pem != first.key_pem
    assert load(state) == second
    third = await asyncio.to_thread(renew_when_due, second, state, now_ms=due_ms + trust.DAY_MS)
    assert third.certificate_pem != second.certificate_pem


async def test_a_revoked_agent_cannot_renew_and_keeps_what_it_has(stand: Stand, state: Path) -> None:
    first = await come_in(stand, state)
    await stand.enroller.revoke("ann", first.agent_id, "stolen")
    with pytest.raises(EnrolError, match="revoked"):
        await asyncio.to_thread(renew_when_due, first, state, now_ms=first.not_after_ms - 1)
    assert load(state) == first


async def test_a_certificate_of_another_collector_is_said_not_to_be_taken(
    stand: Stand, state: Path, tmp_path: Path
) -> None:
    first = await come_in(stand, state)
    other = Authority(tmp_path / "other", clock=now_ms)
    key = other.server()
    foreign = replace(first, certificate_pem=key.certificate_pem, key_pem=key.key_pem)
    with pytest.raises(EnrolError, match="did not take this host's certificate") as refused:
        await asyncio.to_thread(renew_when_due, foreign, state, now_ms=first.not_after_ms - 1)
    assert refused.value.retry


async def test_an_expired_certificate_asks_for_a_new_enrolment(stand: Stand, state: Path) -> None:
    first = await come_in(stand, state)
    with pytest.raises(EnrolError, match="expired"):
        renew_when_due(first, state, now_ms=first.not_after_ms)


# ── somebody in between ─────────────────────────────────────────────────────────────────────────────────────────────


class Between(services.EnrolmentServicer):
    """A man in the middle: answers with any authority he likes and writes down what he is told."""

    def __init__(self, authority_pem: bytes) -> None:
        self.authority_pem = authority_pem
        self.heard: list[wire.EnrolRequest] = []

    async def Authority(self, request: wire.AuthorityRequest, context: Any) -> wire.AuthorityResponse:
        return wire.AuthorityResponse(authority=self.authority_pem)

    async def Enrol(self, request: wire.EnrolRequest, context: Any) -> wire.EnrolResponse:
        self.heard.append(request)
        return wire.EnrolResponse()


@pytest.mark.parametrize("shows", ["his own authority", "the true authority", "nonsense"])
async def test_a_man_in_the_middle_gets_one_clear_error_and_no_token(
    stand: Stand, state: Path, tmp_path: Path, shows: str
) -> None:
    his = Authority(tmp_path / "his", clock=now_ms)
    between = Between(
        {
            "his own authority": his.certificate_pem,
            "the true authority": stand.enroller.authority.certificate_pem,
            "nonsense": b"\x1b[2Jnothing",
        }[shows]
    )
    server = grpc.aio.server()
    services.add_EnrolmentServicer_to_server(between, server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(his, mutual=False))
    await server.start()
    with pytest.raises(EnrolError) as refused:
        await come_in(stand, state, address=f"127.0.0.1:{port}")
    await server.stop(0)
    assert between.heard == []
    expected = "could not prove to be the collector" if shows == "the true authority" else "token was not sent"
    assert expected in str(refused.value)
    assert stand.token not in str(refused.value)
    assert load(state) is None
    assert (await come_in(stand, state)).agent_id  # The token is still good at the true collector.


async def test_renewal_trusts_nobody_but_the_authority_of_the_enrolment(
    stand: Stand, state: Path, tmp_path: Path
) -> None:
    first = await come_in(stand, state)
    his = Authority(tmp_path / "his", clock=now_ms)
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", server_credentials(his, mutual=False))
    await server.start()
    misled = replace(first, address=f"127.0.0.1:{port}")
    with pytest.raises(EnrolError, match="could not prove to be the collector"):
        await asyncio.to_thread(renew_when_due, misled, state, now_ms=first.not_after_ms - 1)
    await server.stop(0)
    assert load(state) == first


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
async def test_a_collector_is_reached_by_its_ipv6_address(stand: Stand, state: Path) -> None:
    server, port = enrolment_server(stand.enroller, "[::1]:0")
    await server.start()
    assert await come_in(stand, state, address=f"[::1]:{port}")
    await server.stop(0)


async def test_a_collector_reached_by_a_name_that_it_does_not_have_is_not_trusted(stand: Stand, state: Path) -> None:
    server, port = enrolment_server(stand.enroller, "127.0.0.2:0")
    await server.start()
    with pytest.raises(EnrolError, match=r"enrolment\.names"):
        await come_in(stand, state, address=f"127.0.0.2:{port}")
    await server.stop(0)
    assert [token.state(now_ms()) for token in await stand.enroller.tokens()] == ["open"]


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["speaks-plainly", "hangs-up"])
async def test_what_is_no_collector_is_unreachable(stand: Stand, state: Path, greeting: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(greeting)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(EnrolError, match="cannot be reached") as refused:
            await come_in(stand, state, address=f"127.0.0.1:{port}")
    assert refused.value.retry


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "127.0.0.1:1", "127.0.0.1:65536"])
def test_a_wrong_address_is_said_to_be_wrong(state: Path, address: str) -> None:
    token = trust.Token(b"s" * 32, b"p" * 32, "127.0.0.1:1").text()
    with pytest.raises(EnrolError, match=address):
        enrol(token, state, "web-1", address=address)


@pytest.mark.parametrize("damage", [lambda t: "", lambda t: t[:-1], lambda t: t[7:], lambda t: "sigap1.é" + t[8:]])
def test_a_token_that_was_not_copied_whole_is_said_to_be_damaged(state: Path, damage: Any) -> None:
    token = trust.Token(b"s" * 32, b"p" * 32, "127.0.0.1:1").text()
    with pytest.raises(EnrolError, match="token"):
        enrol(damage(token), state, "web-1")


def test_agent_and_collector_read_the_same_token() -> None:
    token = trust.Token(b"s" * 32, hashlib.sha256(b"x").digest(), "[2001:db8::1]:8422")
    assert enrolment.read_token(token.text()) == (token.address, token.pin)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

KEPT = Identity("a", b"certificate", b"key", b"authority", "h:1", 1, 2)


def test_a_state_directory_that_others_can_reach_does_not_use_the_token_up(state: Path) -> None:
    state.mkdir(parents=True)
    state.chmod(0o750)
    token = trust.Token(b"s" * 32, b"p" * 32, "127.0.0.1:1").text()
    with pytest.raises(IdentityError, match="chmod 700"):
        enrol(token, state, "web-1")


def test_an_identity_that_others_could_have_touched_is_refused(state: Path, tmp_path: Path) -> None:
    identity.save(state, KEPT)
    assert load(state) == KEPT
    file = state / identity.IDENTITY_FILE
    file.chmod(0o604)
    with pytest.raises(IdentityError, match="others can reach it"):
        load(state)
    file.chmod(0o600)
    os.link(file, tmp_path / "second-name")
    with pytest.raises(IdentityError, match="plain file"):
        load(state)
    file.unlink()
    file.symlink_to(tmp_path / "second-name")
    with pytest.raises(IdentityError, match="not trusted"):
        load(state)
    identity.save(state, KEPT)  # Writing replaces the link; it does not follow it.
    assert not file.is_symlink()
    (tmp_path / "link").symlink_to(state)
    with pytest.raises(IdentityError, match="not trusted"):
        load(tmp_path / "link")


def test_what_a_crash_left_behind_is_swept_away(state: Path) -> None:
    identity.prepare(state)
    (state / f".{identity.IDENTITY_FILE}.new").write_bytes(b"half")
    identity.save(state, KEPT)
    assert os.listdir(state) == [identity.IDENTITY_FILE]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"agent_id": 1}', b"\xff"])
def test_a_damaged_identity_says_what_to_do(state: Path, content: bytes) -> None:
    identity.save(state, KEPT)
    (state / identity.IDENTITY_FILE).write_bytes(content)
    with pytest.raises(IdentityError, match="enrol again"):
        load(state)


def test_an_agent_that_has_enrolled_carries_neither_cryptography_nor_grpc() -> None:
    code = (
        "import sys, agent.enrol; print([m for m in ('cryptography', 'grpc', 'google.protobuf') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
