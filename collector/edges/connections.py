"""How many connections each gRPC port holds, and how long one may do nothing. Knows nothing of what is said on them.

A connection costs an open file before anybody knows whose it is. Without a limit, strangers who only connect would use
up the files that the database and the pages need. gRPC's Python interface hears of a connection after its handshake
only, so that a limit by address belongs into the firewall; enrolment limits the requests of each (`flows.enrol.Gate`).
"""

from __future__ import annotations

import resource
from typing import Any, NamedTuple

OPEN_FILES_WANTED = 65_536
AGENTS_MOST = 20_000
NEWCOMERS_MOST = 256
HANDSHAKE_SECONDS = 10.0


class Limits(NamedTuple):
    """The limits of one port. Whoever is over the first is disconnected at once, and may come back."""

    connections: int
    idle_seconds: float  # without a call
    handshake_seconds: float = HANDSHAKE_SECONDS

    def options(self) -> tuple[tuple[str, int], ...]:
        """The same as gRPC's options."""
        return (
            ("grpc.max_allowed_incoming_connections", self.connections),
            ("grpc.max_connection_idle_ms", round(self.idle_seconds * 1_000)),
            ("grpc.server_handshake_timeout_ms", round(self.handshake_seconds * 1_000)),
        )


ENROLMENT = Limits(NEWCOMERS_MOST, idle_seconds=60)


def for_agents() -> Limits:
    """Those of the agents' port: half of the files that this process may open; the others are for everything else."""
    return Limits(min(AGENTS_MOST, max(1, _open_files() // 2)), idle_seconds=300)


def bind(server: Any, address: str, credentials: Any) -> int:
    """Let a gRPC server listen there by TLS; the port.

    Raises:
        OSError: The address is taken or not this host's.
    """
    try:
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise OSError(f"{address} is taken, or not an address of this host") from error


def _open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES_WANTED if soft == resource.RLIM_INFINITY else soft


def allow_open_files() -> None:
    """Let this process open as many files as it may have; the usual 1,024 are for programs that use `select`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
