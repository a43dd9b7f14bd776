from __future__ import annotations

import socket

import msgspec
import pytest

from agent.probes import CHECKS, ping
from agent.sample import State

from .running import numbers, outcome, run


def may_ping() -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP).close()
        except PermissionError:
            continue
        return True
    return False


@pytest.mark.skipif(not may_ping(), reason="this host permits no ping: see net.ipv4.ping_group_range")
@pytest.mark.parametrize(("host", "version"), [("127.0.0.1", 4), ("::1", 6)])
def test_this_host_answers(host: str, version: int) -> None:
    observation = run("ping", host=host)
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP, observation.outcome.reason
    assert "answered 3 of 3 pings" in observation.outcome.reason
    found = numbers(observation)
    assert 0 < found["probe_icmp_duration_seconds[rtt]"] < 1
    assert (found["probe_icmp_loss_ratio"], found["probe_ip_protocol"]) == (0, version)


@pytest.mark.skipif(may_ping(), reason="this host permits ping")
def test_ping_that_is_not_permitted_is_unknown_and_says_what_to_do() -> None:
    found = outcome("ping", host="127.0.0.1")
    assert found.state is State.UNKNOWN
    assert "ping_group_range" in found.reason


def test_checksum_of_a_whole_request_is_zero() -> None:
    packet = ping.request(8, 1, bytes(range(16)))
    assert ping.checksum(packet) == 0


def test_host_that_is_none_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "it", "host": "a; reboot"}, CHECKS["ping"])
