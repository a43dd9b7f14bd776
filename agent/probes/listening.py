"""Which TCP ports of this host are listened on, and by whom where that may be seen.

Reads /proc; opens no connection.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.probes.endpoint import Endpoint
from agent.probes.reading import read_value

SERVICES = {
    22: ("ssh", "tcp"), 25: ("smtp", "tcp"), 53: ("dns", "tcp"), 80: ("http", "http"), 110: ("pop3", "tcp"),
    143: ("imap", "tcp"), 389: ("ldap", "tcp"), 443: ("https", "tls"), 465: ("smtps", "tls"),
    587: ("submission", "tcp"), 636: ("ldaps", "tls"), 993: ("imaps", "tls"), 995: ("pop3s", "tls"),
    1433: ("mssql", "tcp"), 1521: ("oracle", "tcp"), 1883: ("mqtt", "tcp"), 2049: ("nfs", "tcp"),
    3000: ("grafana", "http"), 3306: ("mysql", "tcp"), 3389: ("rdp", "tcp"), 5432: ("postgresql", "tcp"),
    5672: ("amqp", "tcp"), 6379: ("redis", "tcp"), 8000: ("http", "http"), 8080: ("http", "http"),
    8086: ("influxdb", "http"), 8443: ("https", "tls"), 9090: ("prometheus", "http"),
    9092: ("kafka", "tcp"), 9093: ("alertmanager", "http"), 9100: ("node-exporter", "http"),
    9200: ("elasticsearch", "http"), 11211: ("memcached", "tcp"), 15672: ("rabbitmq", "http"),
    27017: ("mongodb", "tcp"),
}  # fmt: skip
"""What usually listens on a port, and the kind of check that says most about it."""

OWN_PORTS = (8420, 8421, 8422)
OWN_PROCESSES = ("sigap", "sigap-agent")
"""Not for checks: a collector that is down tells nobody of it, and its agents' ports speak to agents alone."""

LISTEN = "0A"
STATE = 3
"""The column of the state, which is headed st."""
PAGE_BYTES = 4096
EPHEMERAL_PORT = 32_768
"""Ports from here on are handed out by the kernel: whoever listens there listens elsewhere tomorrow."""

NAME_CHARACTERS = 15
LOOPBACK_IPV6 = "0" * 31 + "1"

_WORD_BYTES = 4
IPV4_BYTES, IPV6_BYTES = 4, 16
IPV4_MAPPED = bytes(10) + b"\xff\xff"


class Listener(NamedTuple):
    """One listened port; `reach` is how this host itself reaches it."""

    port: int
    reach: Endpoint
    process: str


def read(proc: Path) -> list[Listener]:
    """Every stable port that is listened on by others than us, once, in order."""
    owners: dict[str, str] | None = None
    found: dict[int, Listener] = {}
    for address, port, inode in _sockets(proc):
        if port >= EPHEMERAL_PORT or port in found:
            continue
        owners = _owners(proc) if owners is None else owners
        found[port] = Listener(port, Endpoint(_reach(address, proc), port), owners.get(inode, ""))
    return [found[port] for port in sorted(found) if not _is_ours(found[port])]


def _is_ours(listener: Listener) -> bool:
    return listener.process in OWN_PROCESSES or (not listener.process and listener.port in OWN_PORTS)


def _sockets(proc: Path) -> Iterator[tuple[str, int, str]]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = _lines(proc / table)
        except OSError:
            continue  # No IPv6, or no network at all: nothing listens.
        for line in lines:
            words = line.split()
            if words[STATE] == LISTEN:
                address, _, port = words[1].partition(":")
                yield decode(address), int(port, 16), words[9]


def _lines(table: Path) -> list[str]:
    """The rows of a table up to some that do not listen any more.

    The kernel lists what listens first. For the rest it goes through a table that grows with the memory of the host,
    which takes milliseconds.
    """
    content = b""
    with open(table, "rb", buffering=0) as file:
        while chunk := file.read(PAGE_BYTES):
            content += chunk
            last = content.rpartition(b"\n")[0].rpartition(b"\n")[2].split()
            if len(last) > STATE and last[STATE] not in (LISTEN.encode(), b"st"):
                break
    return content.decode("ascii").splitlines()[1:]


def decode(address: str) -> str:
    """An address of /proc/net/tcp: 32-bit words, each in this machine's byte order."""
    raw = bytes.fromhex(address)
    words = [raw[start : start + _WORD_BYTES] for start in range(0, len(raw), _WORD_BYTES)]
    network = b"".join(socket.htonl(int.from_bytes(word, "big")).to_bytes(_WORD_BYTES, "big") for word in words)
    if len(network) == IPV6_BYTES and not network.startswith(IPV4_MAPPED):
        return socket.inet_ntop(socket.AF_INET6, network)
    return socket.inet_ntop(socket.AF_INET, network[-IPV4_BYTES:])


def _reach(address: str, proc: Path) -> str:
    if address == "::":
        # May be IPv6 alone, which the table does not tell. Where IPv6 is switched off, it is IPv4 in truth.
        return "::1" if _has_ipv6_loopback(proc) else "127.0.0.1"
    return "127.0.0.1" if address == "0.0.0.0" else address


def _has_ipv6_loopback(proc: Path) -> bool:
    try:
        return any(line.startswith(LOOPBACK_IPV6) for line in (proc / "net/if_inet6").read_text().splitlines())
    except OSError:
        return False


def _owners(proc: Path) -> dict[str, str]:
    """Process names by socket inode; only of processes whose descriptors this user may see."""
    owners: dict[str, str] = {}
    # Thousands of links on a busy host: plain strings, because a path object costs more than reading the link.
    folder = os.fspath(proc)
    for process in filter(str.isdecimal, os.listdir(folder)):  # noqa: PTH208
        descriptors = f"{folder}/{process}/fd"
        try:
            inodes = list(filter(None, [_socket_inode(f"{descriptors}/{each}") for each in os.listdir(descriptors)]))  # noqa: PTH208
            name = _name(f"{folder}/{process}") if inodes else ""
        except OSError:
            continue  # Somebody else's, or it ended meanwhile.
        owners |= dict.fromkeys(inodes, name)
    return owners


def _name(process: str) -> str:
    """A program's name. The kernel cuts a long one, of which the command line's first word may have the rest."""
    name = read_value(f"{process}/comm").decode(errors="replace")
    if len(name) < NAME_CHARACTERS:
        return name
    with open(f"{process}/cmdline", "rb", buffering=0) as file:
        program = file.read(PAGE_BYTES).partition(b"\0")[0].decode(errors="replace")
    whole = program.partition(" ")[0].rpartition("/")[2]  # what was renamed may have more than its name there
    return whole if whole.startswith(name) else name


def _socket_inode(descriptor: str) -> str:
    try:
        link = os.readlink(descriptor)  # noqa: PTH115
    except OSError:
        return ""  # Closed meanwhile, as the one that listed the folder always is.
    return link[8:-1] if link.startswith("socket:[") else ""
