"""The tcp check: a connection opens, and where asked for, the greeting or answer contains what it should."""

from __future__ import annotations

import socket
from typing import ClassVar

from agent.probes import endpoint
from agent.probes.attempts import Failed, Finding
from agent.probes.check import LOOKUP, PROTOCOL, Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.reason import Reason, took
from agent.sample import State

ANSWER_BYTES = 4_096
"""How much of an answer is searched for the expected text."""

QUOTED_BYTES = 80
"""How much of an answer a reason quotes."""

IP_VERSIONS = {socket.AF_INET: 4.0, socket.AF_INET6: 6.0}


class TCPCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a tcp check."""

    address: Line
    send: Line = ""
    expect: Line = ""

    KIND: ClassVar[str] = "tcp"
    MEASURES: ClassVar[tuple[Measure, ...]] = (LOOKUP, PROTOCOL)

    def __post_init__(self) -> None:
        endpoint.parse_endpoint(self.address)
        super().__post_init__()

    @property
    def target(self) -> str:
        """The address as configured."""
        return self.address

    def look(self, deadline: Deadline) -> Finding:
        """Connect, send what is to be sent, wait for what is expected."""
        where = endpoint.parse_endpoint(self.address)
        addresses = endpoint.resolve(where, deadline)
        values = {LOOKUP.key: deadline.spent()}
        with endpoint.connect(addresses, where, deadline) as connection:
            values[PROTOCOL.key] = IP_VERSIONS.get(connection.family, 0.0)
            if self.send:
                connection.settimeout(deadline.left())
                connection.sendall(self.send.encode())
            if self.expect:
                self._expect(connection, deadline)
        spent = deadline.spent()
        if self.expect:
            reason = Reason("{address} answered as expected after {took}", address=str(where), took=took(spent))
        else:
            reason = Reason("{address} accepts connections after {took}", address=str(where), took=took(spent))
        return Finding(State.UP, reason, spent, values)

    def _expect(self, connection: socket.socket, deadline: Deadline) -> None:
        wanted = self.expect.encode()
        answer = b""
        while wanted not in answer:
            try:
                piece = endpoint.receive(connection, ANSWER_BYTES - len(answer), deadline)
            except TimeoutError:
                raise Failed(self._too_little(answer, deadline.seconds)) from None
            answer += piece
            if not piece or len(answer) >= ANSWER_BYTES:
                if wanted in answer:
                    return
                raise Failed(
                    Reason(
                        "{address} answered {answer} instead of something with {text}",
                        address=self.address,
                        answer=_quoted(answer),
                        text=repr(self.expect),
                    )
                )

    def _too_little(self, answer: bytes, seconds: float) -> Reason:
        if not answer:
            return Reason(
                "{address} accepted the connection but sent nothing within {seconds} s",
                address=self.address,
                seconds=seconds,
            )
        return Reason(
            "{address} accepted the connection but sent only {answer} within {seconds} s",
            address=self.address,
            answer=_quoted(answer),
            seconds=seconds,
        )


def _quoted(answer: bytes) -> str:
    return repr(answer[:QUOTED_BYTES])
