"""How a host comes in, stays in and is shown out: issue a token, redeem it, renew a certificate, revoke an agent.

Every decision and its record share one transaction. Keys and signatures are `authority`'s, rows `store.agents`'.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from collector.domain import trust
from collector.domain.errors import Conflict, InvalidInput, NotFound, TooMuch, Unauthenticated
from collector.domain.message import Message, mark
from collector.domain.pace import Bucket, Pace
from collector.domain.registers.host import REGISTER as HOST
from collector.domain.registers.host import Host
from collector.domain.registers.kinds import slugify
from collector.domain.registers.lifecycle import REACTIVATE, RETIRED
from collector.flows.authority import Authority, requested_key
from collector.flows.record import Changed
from collector.flows.register import Registrar
from collector.metrics import Metrics
from collector.store import agents, registers
from collector.store.agents import AgentRecord
from collector.store.database import Connection, Database

LOG = logging.getLogger(__name__)

COMMAND = "sigap-agent enrol {token}"
EXAMPLE = "192.0.2.10"
"""An address as documentation may show it (RFC 5737)."""
ADDRESSES_MAX = 4096
TOKENS_SHOWN_MS = 7 * trust.DAY_MS
VERSION_MAX = 32
WHY_MAX = 500
REPLACED = mark("replaced by a new enrolment")
ENROLLED = mark("an agent enrolled")


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token. `secret` and `command` are shown once and never again."""

    id: str
    secret: str = field(repr=False)  # what the agent is given
    expires_ms: int
    command: str = field(repr=False)  # one line to run on the host
    hint: str = ""  # what has to change before another host than the collector's own can use it; empty: nothing


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an agent gets; PEM, Unix milliseconds."""

    agent_id: str
    certificate_pem: bytes
    authority_pem: bytes
    not_after_ms: int
    telemetry_address: str


class _Arrival(NamedTuple):
    """What one transaction did, for those who are told after it."""

    enrolled: Enrolled
    host_key: str
    replaced: Sequence[str]  # agents that this one took the place of
    changes: Sequence[Changed]  # of the register of hosts


class Gate:
    """Lets so many requests a second in, from one address and from all together."""

    def __init__(self, each: Pace = trust.PACE_PER_ADDRESS, together: Pace = trust.PACE_OF_ALL) -> None:
        self._each = each
        self._together = together
        self._everybody: Bucket | None = None
        self._addresses: OrderedDict[str, Bucket] = OrderedDict()

    def pass_one(self, address: str, now_ms: int) -> None:
        """Count one request.

        Raises:
            TooMuch: Over the limit; says when to come back.
        """
        bucket, wait_seconds = self._each.take(self._addresses.pop(address, None), now_ms)
        self._addresses[address] = bucket
        if len(self._addresses) > ADDRESSES_MAX:
            self._addresses.popitem(last=False)
        if not wait_seconds:
            self._everybody, wait_seconds = self._together.take(self._everybody, now_ms)
        if wait_seconds:
            raise TooMuch("Too many enrolments at once.", retry_after_seconds=wait_seconds, hint="Try again shortly.")


class Enroller:
    """The four things that happen to an agent's right to send. `clock` returns Unix milliseconds."""

    def __init__(
        self,
        db: Database,
        authority: Authority,
        registrar: Registrar,
        *,
        clock: Callable[[], int],
        enrolment_address: str,
        telemetry_address: str,
        gate: Gate | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.authority = authority
        self._db = db
        self._registrar = registrar
        self._clock = clock
        self._enrolment_address = enrolment_address
        self._telemetry_address = telemetry_address
        self._gate = gate or Gate()
        self._metrics = metrics
        self._on_revoked: list[Callable[[str], None]] = []

    def on_revoked(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with the agent's id after each revocation: whoever holds its stream ends it."""
        self._on_revoked.append(callback)

    async def issue(self, actor: str, host_name: str = "") -> IssuedToken:
        """Make a token for one host: any, or only the one that calls itself `host_name`."""
        now_ms = self._clock()
        token = trust.Token(secrets.token_bytes(trust.SECRET_BYTES), self.authority.pin, self._enrolment_address)
        record = trust.TokenRecord(
            secrets.token_hex(8), trust.host_label(host_name), actor, now_ms, now_ms + trust.TOKEN_LIFE_MS
        )
        await self._db.write(lambda connection: agents.add_token(connection, record, secret_hash=token.secret_hash))
        LOG.info("token_issued token=%s host=%s by=%s", record.id, record.host_name or "any", actor)
        command = COMMAND.format(token=token.text())
        return IssuedToken(record.id, token.text(), record.expires_ms, command, self._only_here())

    def _only_here(self) -> str:
        """What to set when agents on other hosts would be sent to themselves; empty when they are not."""
        told = {"enrolment": self._enrolment_address, "telemetry": self._telemetry_address}
        found = {name: address for name, address in told.items() if trust.reaches_only_here(address)}
        if not found:
            return ""
        return Message(
            "This works on the collector's own host only: agents are sent to {told}. For other hosts, give the "
            "collector an address that they reach and start it again, for example {settings}. Where it listens on "
            "every address, set advertise instead.",
            told=", ".join(found.values()),
            settings=", ".join(f"{name}.address = {EXAMPLE}:{at.rpartition(':')[2]}" for name, at in found.items()),
        )

    async def withdraw(self, actor: str, token_id: str) -> None:
        """Let a token that nobody has used end now."""
        now_ms = self._clock()

        def work(connection: Connection) -> bool:
            if agents.token_by_id(connection, token_id) is None:
                raise NotFound("There is no such token.")
            return agents.expire_token(connection, token_id, now_ms=now_ms)

        if not await self._db.write(work):
            raise Conflict("This token was used or has expired.", hint="Revoke the agent that came in with it.")
        LOG.info("token_withdrawn token=%s by=%s", token_id, actor)

    async def redeem(self, token: str, request: bytes, *, host_name: str, version: str, caller: str) -> Enrolled:
        """Exchange a token for a certificate, exactly once.

        Args:
            token: As it was shown.
            request: PKCS #10, DER; only its key is used.
            host_name: What the host calls itself.
            version: The agent's.
            caller: Network address, for the limit and the log.

        Raises:
            Unauthenticated: The token is not good. Why is in the log only.
            InvalidInput: The request or the host name cannot be used; says nothing of the token.
            TooMuch: Over the limit.
        """
        self._pass(caller)
        requested_key(request)
        label = trust.host_label(host_name)
        if not label:
            raise InvalidInput("The agent gave no host name.", fields={"host_name": "Needed."})
        version = "".join(filter(str.isprintable, version))[:VERSION_MAX]
        try:
            secret_hash = trust.read_token(token).secret_hash
        except InvalidInput:
            outcome: _Arrival | str = "malformed"
        else:
            outcome = await self._db.write(
                lambda connection: self._enrol(connection, secret_hash, request, label, version)
            )
        if isinstance(outcome, str):
            LOG.warning("enrolment_refused reason=%s host=%s caller=%s", outcome.replace(" ", "_"), label, caller)
            self._count("refused")
            raise Unauthenticated(trust.TOKEN_REFUSED)
        LOG.info("agent_enrolled agent=%s host=%s caller=%s", outcome.enrolled.agent_id, outcome.host_key, caller)
        self._count("enrolled")
        self._registrar.announce(*outcome.changes)
        self._tell_revoked(*outcome.replaced)
        return outcome.enrolled

    def _enrol(
        self, connection: Connection, secret_hash: str, request: bytes, label: str, version: str
    ) -> _Arrival | str:
        """Runs in one transaction: the claim, the host, the agent and its certificate, or nothing."""
        now_ms, agent_id = self._clock(), str(uuid.uuid4())
        token = agents.claim_token(connection, secret_hash, host_name=label, agent_id=agent_id, now_ms=now_ms)
        if token is None:
            return trust.why_refused(agents.token_by_hash(connection, secret_hash), label, now_ms)
        host, changes = self._host(connection, token, label)
        # Only a token that names its host finds an agent there: whoever made it wants that agent replaced.
        replaced = agents.of_host(connection, host.id)
        for old in replaced:
            agents.revoke(connection, old, now_ms=now_ms, who=token.created_by, why=REPLACED)
        agents.create(connection, agent_id, host_id=host.id, host_name=label, version=version, enrolled_ms=now_ms)
        return _Arrival(self._certify(connection, agent_id, request), host.key, replaced, changes)

    def _host(self, connection: Connection, token: trust.TokenRecord, label: str) -> tuple[Host, list[Changed]]:
        """The record for a host that comes in: the one of its name, or a new one where that would take it over."""
        record, who = self._registrar.recorder, token.created_by
        key = slugify(label)
        found = registers.find(connection, Host, key)
        if found and not token.host_name and agents.of_host(connection, found.id):
            number = 2
            while registers.find(connection, Host, f"{key}-{number}"):
                number += 1
            key, found = f"{key}-{number}", None
        if found is None:
            made = record.create(connection, who, HOST.name, {"key": key, "name": label}, why=ENROLLED)
            return made.record, [made]
        if found.state == RETIRED.name:
            back = record.transition(connection, who, HOST.name, key, REACTIVATE.name, why=ENROLLED)
            return back.record, [back]
        return found, []

    async def renew(self, agent_id: str, fingerprint: str, request: bytes) -> Enrolled:
        """Another certificate for an agent that holds one; the one it holds stays good until its own end.

        Raises:
            Unauthenticated: The certificate presented is not, or no longer, let in.
            TooMuch: The agent holds too many certificates already.
        """
        requested_key(request)
        renewed = await self._db.write(lambda connection: self._renew(connection, agent_id, fingerprint, request))
        self._count("renewed")
        LOG.info("certificate_renewed agent=%s not_after_ms=%d", agent_id, renewed.not_after_ms)
        return renewed

    def _renew(self, connection: Connection, agent_id: str, fingerprint: str, request: bytes) -> Enrolled:
        now_ms = self._clock()
        presented = admit(connection, agent_id, fingerprint, now_ms)
        if len(agents.live_certificates(connection, agent_id, now_ms)) >= trust.LIVE_CERTIFICATES_MAX:
            raise TooMuch(
                "This agent holds too many certificates.",
                retry_after_seconds=trust.OVERLAP_MS / 1000,
                hint="Is it running twice? If not, enrol it again.",
            )
        # That it presents this one proves that it does not need those before it.
        agents.end_certificates_before(
            connection, agent_id, not_before_ms=presented.not_before_ms, until_ms=now_ms + trust.OVERLAP_MS
        )
        return self._certify(connection, agent_id, request)

    async def revoke(self, actor: str, agent_id: str, why: str) -> None:
        """Show an agent out: its certificates are worth nothing from the commit on, its stream is ended."""
        if not why.strip():
            raise InvalidInput("Revoking an agent needs a reason.", fields={"why": "Needed."})
        now_ms = self._clock()

        def work(connection: Connection) -> bool:
            if agents.find(connection, agent_id) is None:
                raise NotFound("There is no such agent.")
            return agents.revoke(connection, agent_id, now_ms=now_ms, who=actor, why=why.strip()[:WHY_MAX])

        if not await self._db.write(work):
            raise Conflict("This agent was revoked before.")
        LOG.warning("agent_revoked agent=%s by=%s", agent_id, actor)
        self._tell_revoked(agent_id)

    def _pass(self, caller: str) -> None:
        try:
            self._gate.pass_one(caller, self._clock())
        except TooMuch:
            self._count("limited")
            raise

    def _count(self, result: str) -> None:
        if self._metrics is not None:
            self._metrics.enrolments.labels(result).inc()

    def _tell_revoked(self, *agent_ids: str) -> None:
        for agent_id in agent_ids:
            for callback in self._on_revoked:
                callback(agent_id)

    async def agents(self, now_ms: int) -> list[AgentRecord]:
        """Every agent, active ones first, with how long ago each was heard."""
        found = await self._db.read(agents.list_agents)
        return [
            record if record.last_seen_ms is None else replace(record, silent_ms=max(0, now_ms - record.last_seen_ms))
            for record in found
        ]

    async def tokens(self) -> list[trust.TokenRecord]:
        """The tokens of the last week, newest first; never a secret."""
        since_ms = self._clock() - TOKENS_SHOWN_MS
        return await self._db.read(lambda connection: agents.list_tokens(connection, since_ms=since_ms))

    def _certify(self, connection: Connection, agent_id: str, request: bytes) -> Enrolled:
        issued = self.authority.issue_agent(request, agent_id)
        agents.add_certificate(
            connection,
            agent_id,
            fingerprint=issued.fingerprint,
            not_before_ms=issued.not_before_ms,
            not_after_ms=issued.not_after_ms,
        )
        return Enrolled(
            agent_id,
            issued.certificate_pem,
            self.authority.certificate_pem,
            issued.not_after_ms,
            self._telemetry_address,
        )


def admit(connection: Connection, agent_id: str, fingerprint: str, now_ms: int) -> trust.Credential:
    """Let a verified certificate in, or say why not. Asked when a stream opens, in every commit, and for renewal.

    Raises:
        Unauthenticated: Not on the list, of another agent, revoked, or not valid at this time.
    """
    credential = agents.credential(connection, fingerprint)
    refusal = trust.judge(credential, agent_id, now_ms)
    if refusal is not None or credential is None:
        raise Unauthenticated(trust.REFUSAL_WORDS[refusal or trust.Refusal.NOT_LISTED])
    return credential
