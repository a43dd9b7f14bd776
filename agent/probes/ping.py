"""The ping check: a host answers ICMP echo requests, and loses few of them.

Uses the kernel's unprivileged ping sockets, or a raw socket where the agent has CAP_NET_RAW. Needs one of the two;
without, the check is unknown and says what to do.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Annotated, ClassVar, Literal

import msgspec

from agent.probes import endpoint
from agent.probes.attempts import CannotProbe, Failed, Finding
from agent.probes.check import LOOKUP, PROTOCOL, Line, Measure, Settings
from agent.probes.endpoint import Address, Deadline, Endpoint
from agent.reason import Reason, took
from agent.sample import State

ROUND_TRIP = Measure(
    "probe_icmp_duration_seconds", "Mean round trip of the answered requests", "seconds", (("phase", "rtt"),)
)
LOSS = Measure("probe_icmp_loss_ratio", "Share of the requests that were not answered, 0 to 1", "ratio")

_HEADER = struct.Struct("!BBHHH")
_TOKEN_BYTES = 16
_PACKET_BYTES = 1_500
_IPV4_LENGTH_MASK = 0x0F
_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_IP_VERSIONS = {socket.AF_INET: 4.0, socket.AF_INET6: 6.0}


class PingCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a ping check."""

    host: Line
    count: Annotated[int, msgspec.Meta(ge=1, le=20)] = 3
    degraded_loss_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    address_family: Literal["any", "ipv4", "ipv6"] = "any"

    KIND: ClassVar[str] = "ping"
    MEASURES: ClassVar[tuple[Measure, ...]] = (LOOKUP, PROTOCOL, ROUND_TRIP, LOSS)

    def __post_init__(self) -> None:
        endpoint.check_host(self.host)
        super().__post_init__()

    @property
    def target(self) -> str:
        """The host as configured."""
        return self.host

    def look(self, deadline: Deadline) -> Finding:
        """Send the requests one after another, each with its share of the time."""
        address = endpoint.resolve(Endpoint(self.host, 0), deadline, family=self.address_family)[0]
        values = {LOOKUP.key: deadline.spent(), PROTOCOL.key: _IP_VERSIONS[address.family]}
        trips: list[float] = []
        with _open(address) as link:
            for sequence in range(1, self.count + 1):
                share = deadline.left() / (self.count - sequence + 1)
                trip = _round_trip(link, address, sequence, Deadline(share))
                if trip is not None:
                    trips.append(trip)
        if not trips:
            raise Failed(
                Reason(
                    "{host} answered none of {count} pings within {seconds} s",
                    host=self.host,
                    count=self.count,
                    seconds=deadline.seconds,
                )
            )
        loss = 1 - len(trips) / self.count
        mean = sum(trips) / len(trips)
        state = State.DEGRADED if loss > self.degraded_loss_ratio else State.UP
        reason = Reason(
            "{host} answered {answered} of {count} pings in {took} on average",
            host=self.host,
            answered=len(trips),
            count=self.count,
            took=took(mean),
        )
        return Finding(state, reason, mean, values | {ROUND_TRIP.key: mean, LOSS.key: loss})


def _open(address: Address) -> socket.socket:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            link = socket.socket(address.family, kind, _PROTOCOL[address.family])
        except PermissionError:
            continue
        link.connect(address.sockaddr)
        return link
    raise CannotProbe(
        Reason(
            "Ping is not permitted: allow the agent's group in net.ipv4.ping_group_range, or give its unit "
            "CapabilityBoundingSet= and AmbientCapabilities=CAP_NET_RAW"
        )
    )


def _round_trip(link: socket.socket, address: Address, sequence: int, deadline: Deadline) -> float | None:
    """Seconds until the answer to one request; None when none came in time."""
    token = os.urandom(_TOKEN_BYTES)
    link.send(request(_REQUEST[address.family], sequence, token))
    while True:
        try:
            packet = endpoint.receive(link, _PACKET_BYTES, deadline)
        except TimeoutError:
            return None
        if link.type == socket.SOCK_RAW and address.family == socket.AF_INET:
            packet = packet[(packet[0] & _IPV4_LENGTH_MASK) * 4 :]
        if packet[:1] == bytes((_REPLY[address.family],)) and packet[_HEADER.size :] == token:
            return deadline.spent()


def request(kind: int, sequence: int, token: bytes) -> bytes:
    """An echo request. The token tells our answer from everybody else's, whatever the identifier became."""
    identity = int.from_bytes(token[:2], "big")
    unsigned = _HEADER.pack(kind, 0, 0, identity, sequence) + token
    return _HEADER.pack(kind, 0, checksum(unsigned), identity, sequence) + token


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
