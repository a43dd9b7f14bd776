"""The dns check: a server answers a question about a name, with the records that are expected.

Asks the server itself, over UDP and where the answer is too long over TCP, past this host's own resolver and its
cache. The messages are in `dns_message`.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import ClassVar, Literal

from agent.probes import dns_message, endpoint
from agent.probes.attempts import CannotProbe, Failed, Finding
from agent.probes.check import LOOKUP, Line, Measure, Settings
from agent.probes.dns_message import TYPES, MalformedReply, Reply
from agent.probes.endpoint import Address, Deadline, Endpoint
from agent.reason import Reason, took
from agent.sample import State

ANSWERS = Measure("probe_dns_answer_rrs", "Records in the answer section")
SUCCEEDED = Measure("probe_dns_query_succeeded", "1 when a valid reply arrived, whatever it says")

DNS_PORT = 53
RESEND_SECONDS = 1.0
"""A lost datagram is asked for again; one loss is no outage."""

DATAGRAM_BYTES = 4_096
RECORDS_TOLD = 4
RESOLVER_FILE = Path("/etc/resolv.conf")


class DNSCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a dns check."""

    query: Line
    record: Literal["A", "AAAA", "CNAME", "MX", "NS", "TXT"] = "A"
    server: Line = ""  # empty: the first server of /etc/resolv.conf
    expect: tuple[Line, ...] = ()  # records that must be among the answers
    code: Literal["NOERROR", "NXDOMAIN", "REFUSED"] = "NOERROR"

    KIND: ClassVar[str] = "dns"
    MEASURES: ClassVar[tuple[Measure, ...]] = (LOOKUP, ANSWERS, SUCCEEDED)

    def __post_init__(self) -> None:
        dns_message.encode_name(self.query)
        if self.server:
            endpoint.parse_endpoint(self.server, default_port=DNS_PORT)
        super().__post_init__()

    @property
    def target(self) -> str:
        """The server asked, or the name when it is this host's own."""
        return self.server or self.query

    def look(self, deadline: Deadline) -> Finding:
        """Ask, and compare the answer with what is expected."""
        server = endpoint.parse_endpoint(self.server or resolver(RESOLVER_FILE), default_port=DNS_PORT)
        address = endpoint.resolve(server, deadline)[0]
        before = deadline.spent()
        reply = self._ask(address, server, deadline)
        spent = deadline.spent() - before
        found = [record.text for record in reply.records if record.type == TYPES[self.record]]
        values = {LOOKUP.key: spent, ANSWERS.key: float(len(reply.records)), SUCCEEDED.key: 1.0}
        state, reason = self._judge(reply, found, server)
        return Finding(state, Reason("{finding} after {took}", finding=reason, took=took(spent)), spent, values)

    def _judge(self, reply: Reply, found: list[str], server: Endpoint) -> tuple[State, Reason]:
        asked = Reason("{record} of {name}", record=self.record, name=self.query)
        if reply.code_name != self.code:
            return State.DOWN, Reason(
                "{server} says {code} instead of {expected} for {asked}",
                server=str(server),
                code=reply.code_name,
                expected=self.code,
                asked=asked,
            )
        if self.code != "NOERROR":
            said = Reason("{server} says {code} for {asked}", server=str(server), code=reply.code_name, asked=asked)
            return State.UP, said
        if not found:
            return State.DOWN, Reason("{server} has no {asked}", server=str(server), asked=asked)
        some = ", ".join(found[:RECORDS_TOLD])
        missing = [wanted for wanted in self.expect if _comparable(wanted) not in map(_comparable, found)]
        if missing:
            lacks = ", ".join(missing)
            return State.DOWN, Reason("{asked} is {found} without {missing}", asked=asked, found=some, missing=lacks)
        return State.UP, Reason("{asked} is {found}", asked=asked, found=some)

    def _ask(self, address: Address, server: Endpoint, deadline: Deadline) -> Reply:
        identity = int.from_bytes(os.urandom(2), "big")
        question = dns_message.query(identity, self.query, record_type=TYPES[self.record])
        expected = (identity, (self.query.rstrip(".").lower(), TYPES[self.record]))
        try:
            reply = _over_udp(address, question, expected, deadline)
            if reply.truncated:
                reply = _over_tcp(address, server, question, deadline)
        except TimeoutError:
            raise Failed(endpoint.no_answer(server, deadline)) from None
        except MalformedReply as error:
            raise Failed(
                Reason("{server} sent an answer that is no DNS message: {error}", server=str(server), error=str(error))
            ) from None
        return reply


def _over_udp(address: Address, question: bytes, expected: tuple[int, object], deadline: Deadline) -> Reply:
    # A connected socket hears from this server only and learns of "port unreachable".
    with socket.socket(address.family, socket.SOCK_DGRAM) as link:
        link.connect(address.sockaddr)
        while True:
            link.send(question)
            resend_at = deadline.spent() + RESEND_SECONDS
            while (wait := resend_at - deadline.spent()) > 0:
                link.settimeout(min(wait, deadline.left()))
                try:
                    message = link.recv(DATAGRAM_BYTES)
                except TimeoutError:
                    break
                reply = dns_message.parse(message)
                if (reply.identity, reply.question) == expected:
                    return reply
            deadline.left()


def _over_tcp(address: Address, server: Endpoint, question: bytes, deadline: Deadline) -> Reply:
    with endpoint.connect([address], server, deadline) as link:
        link.settimeout(deadline.left())
        link.sendall(struct.pack("!H", len(question)) + question)
        (length,) = struct.unpack("!H", _exactly(link, 2, deadline))
        return dns_message.parse(_exactly(link, length, deadline))


def _exactly(link: socket.socket, size: int, deadline: Deadline) -> bytes:
    data = b""
    while len(data) < size:
        piece = endpoint.receive(link, size - len(data), deadline)
        if not piece:
            raise MalformedReply("the connection closed in the middle")
        data += piece
    return data


def resolver(path: Path) -> str:
    """The first name server in a resolv.conf.

    Raises:
        CannotProbe: There is none.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CannotProbe(
            Reason("Cannot read {path}: {error}; set server", path=str(path), error=str(error.strerror or error))
        ) from None
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            return f"[{words[1]}]" if ":" in words[1] else words[1]
    raise CannotProbe(Reason("{path} names no server; set server", path=str(path)))


def _comparable(text: str) -> str:
    return text.rstrip(".").lower()
