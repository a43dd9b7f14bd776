"""R1: hundreds of kills a minute, at any moment of accepting, committing, flushing, acknowledging and deleting."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import make_url, select

from agent import identity
from agent.identity import Identity
from collector.flows.authority import Authority
from collector.store import agents, schema
from collector.store.database import Database
from tests.chaos import forked_agent, forked_collector
from tests.chaos.length import times
from tests.system.killing.audit import audit
from tests.system.killing.stand import Life, start_and_watch

SEED = 20261124
AGENTS = 2
KEEP_MS = 250
"""The second agent keeps things so long, and declares what it could not deliver in time."""
LIFE_SECONDS = (0.0, 0.2)
PART_KILLS = 500
"""After so many, everybody is stopped and everything is compared; then it goes on with the same files."""
MEMORY = Path("/dev/shm")
"""SIGKILL spares the page cache, so nothing is proved by a slow disk; power cuts are another test."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sigap-kill-", dir=MEMORY if MEMORY.is_dir() else tmp_path) as made:
        yield Path(made)


@pytest.mark.system
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_at_any_moment_of_a_kill(
    folder: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kills, began, rng = times(300, long=10_000), time.monotonic(), random.Random(SEED)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.chaos.forked_agent", "tests.chaos.forked_collector"])
    dialect = make_url(database_url).get_backend_name()
    database = folder / "sigap.db" if dialect == "sqlite" else database_url
    url, socket = f"sqlite:///{database}" if dialect == "sqlite" else database_url, folder / "socket"
    plans = [forked_agent.Plan(number, folder / f"agent-{number}", SEED, socket) for number in range(AGENTS)]
    plans[1] = replace(plans[1], keep_ms=KEEP_MS, may_lose=frozenset({"too_old"}))
    _enrol(url, folder / "trust", plans)
    lives = [
        Life(forked_collector.main, forked_collector.Plan(url, socket, folder / "log", flush_seconds=0.05)),
        *(Life(forked_agent.main, plan) for plan in plans),
    ]
    total = 0
    try:
        while total < kills:
            part = min(PART_KILLS, kills - total)
            _storm(lives, rng, part)
            total += part
            audit(database, plans)
            _settle(lives)
            found = audit(database, plans)
            assert found.spooled == 0, found
            assert _receipts(url) == (found.stored, found.stored), f"{found}: a row was committed twice"
    finally:
        for life in lives:
            life.abandon()
    assert found.acked > kills, f"hardly anything was delivered between the kills: {found}"
    with capsys.disabled():
        took = time.monotonic() - began
        print(f"\nR1 PASS {dialect} kills={total} collector={lives[0].kills} {found} seconds={took:.0f} seed={SEED}")


def _storm(lives: list[Life], rng: random.Random, kills: int) -> None:
    """Everybody lives for a random time; in the end all are dead."""
    due = dict.fromkeys(lives, 0.0)
    for life in lives:
        life.start()
        due[life] = time.monotonic() + rng.uniform(*LIFE_SECONDS)
    for _ in range(kills - len(lives)):
        life = min(due, key=lambda one: due[one])
        time.sleep(max(0.0, due[life] - time.monotonic()))
        life.kill()
        life.start()
        due[life] = time.monotonic() + rng.uniform(*LIFE_SECONDS)
    for life in lives:
        life.kill()


def _settle(lives: list[Life]) -> None:
    """Let everything be delivered, then stop; a collector without a web server just dies."""
    collector, *others = lives
    collector.start()
    start_and_watch(others)
    for life in others:
        life.stop()
    collector.abandon()


def _receipts(url: str) -> tuple[int, int]:
    """How many rows were committed, and how many different ones."""
    db, table = Database(url), forked_collector.RECEIPT
    try:
        rows = db.read_now(lambda c: [tuple(row) for row in c.execute(select(table.c.host_id, table.c.wall_ms))])
    finally:
        db.close()
    return len(rows), len(set(rows))


def _enrol(url: str, trust: Path, plans: list[forked_agent.Plan]) -> None:
    """Tables, and for every agent a certificate that is on the list."""
    db = Database(url)
    schema.METADATA.create_all(db.engine)
    forked_collector.RECEIPT.create(db.engine)
    authority = Authority(trust, clock=lambda: time.time_ns() // 1_000_000)
    for plan in plans:
        agent_id, key = str(uuid.uuid4()), ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        issued = authority.issue_agent(request.public_bytes(serialization.Encoding.DER), agent_id)
        span = {"not_before_ms": issued.not_before_ms, "not_after_ms": issued.not_after_ms}
        facts = {"host_id": plan.number + 1, "host_name": f"host-{plan.number}", "version": "0", "enrolled_ms": 0}
        db.write_now(lambda c, a=agent_id, f=facts: agents.create(c, a, **f))  # type: ignore[misc]
        db.write_now(
            lambda c, a=agent_id, p=issued.fingerprint, s=span: agents.add_certificate(c, a, fingerprint=p, **s)  # type: ignore[misc]
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        identity.save(
            plan.folder / "state",
            Identity(agent_id, issued.certificate_pem, pem, authority.certificate_pem, "unix", **span),
        )
    db.close()
