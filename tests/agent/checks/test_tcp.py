from __future__ import annotations

import socket
import time

import pytest

from agent.probes import endpoint
from agent.probes.attempts import CannotProbe, Failed
from agent.probes.endpoint import Address, Deadline, Endpoint
from agent.sample import State

from .conftest import black_hole, listener
from .running import numbers, outcome, run


def test_open_port_is_up() -> None:
    with black_hole(socket.SOCK_STREAM) as port:
        observation = run("tcp", address=f"127.0.0.1:{port}")
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP
    assert numbers(observation)["probe_ip_protocol"] == 4


def test_closed_port_is_down(closed_port: int) -> None:
    found = outcome("tcp", address=f"localhost:{closed_port}")
    assert (found.state, "refused" in found.reason) == (State.DOWN, True)


def test_greeting_is_compared() -> None:
    with listener(lambda connection: connection.sendall(b"220 mail.example.org ESMTP\r\n")) as port:
        assert outcome("tcp", address=f"127.0.0.1:{port}", expect="ESMTP").state is State.UP
        found = outcome("tcp", address=f"127.0.0.1:{port}", expect="POP3", timeout_seconds=0.3)
    assert found.state is State.DOWN
    assert "220 mail" in found.reason


def test_answer_to_what_was_sent_is_compared() -> None:
    def echo(connection: socket.socket) -> None:
        connection.sendall(b"+" + connection.recv(100))

    with listener(echo) as port:
        assert outcome("tcp", address=f"127.0.0.1:{port}", send="PING\r\n", expect="+PING").state is State.UP


def test_silent_listener_is_down_when_something_is_expected() -> None:
    with black_hole(socket.SOCK_STREAM) as port:
        found = outcome("tcp", address=f"127.0.0.1:{port}", expect="hello", timeout_seconds=0.3)
    assert found.state is State.DOWN
    assert "sent nothing within 0.3 s" in found.reason


def test_drip_feeding_listener_cannot_outlast_the_timeout() -> None:
    def drip(connection: socket.socket) -> None:
        while True:
            connection.sendall(b".")
            time.sleep(0.02)  # The server's pace is the subject of the test.

    with listener(drip) as port:
        began = time.monotonic()
        assert outcome("tcp", address=f"127.0.0.1:{port}", expect="x", timeout_seconds=0.3).state is State.DOWN
        assert time.monotonic() - began < 1


def test_full_backlog_that_never_accepts_is_down_in_time() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        try:
            for client in waiting:
                client.setblocking(False)
                client.connect_ex(("127.0.0.1", port))
            found = outcome("tcp", address=f"127.0.0.1:{port}", timeout_seconds=0.3)
        finally:
            for client in waiting:
                client.close()
    assert (found.state, "No answer" in found.reason) == (State.DOWN, True)


def test_host_without_a_route_is_unknown_not_down() -> None:
    # The kernel refuses this class E address itself: nothing was asked of the target.
    addresses = [Address(socket.AF_INET, ("255.255.255.255", 9))]
    with pytest.raises(CannotProbe, match="cannot reach"):
        endpoint.connect(addresses, Endpoint("255.255.255.255", 9), Deadline(1))


def test_one_address_that_refuses_outweighs_one_without_a_route(closed_port: int) -> None:
    addresses = [
        Address(socket.AF_INET, ("255.255.255.255", 9)),
        Address(socket.AF_INET, ("127.0.0.1", closed_port)),
    ]
    with pytest.raises(Failed, match="refused"):
        endpoint.connect(addresses, Endpoint("example.org", 9), Deadline(1))


def test_second_address_is_tried_when_the_first_does_not_answer() -> None:
    with black_hole(socket.SOCK_STREAM) as port:
        addresses = [Address(socket.AF_INET, ("127.0.0.2", 1)), Address(socket.AF_INET, ("127.0.0.1", port))]
        endpoint.connect(addresses, Endpoint("example.org", port), Deadline(2)).close()


def test_name_that_does_not_exist_is_down_or_the_resolver_is_to_blame() -> None:
    found = outcome("tcp", address="no-such-name.invalid:80")
    assert found.state in (State.DOWN, State.UNKNOWN)
    assert "no-such-name.invalid" in found.reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org:443", Endpoint("example.org", 443)),
        ("[2001:db8::1]:53", Endpoint("2001:db8::1", 53)),
        ("[fe80::1%eth0]:53", Endpoint("fe80::1%eth0", 53)),
        ("10.0.0.1:1", Endpoint("10.0.0.1", 1)),
    ],
)
def test_addresses_are_read(text: str, expected: Endpoint) -> None:
    assert endpoint.parse_endpoint(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["", "example.org", ":80", "a:b", "a:0", "a:65536", "a:-1", "a b:1", "[::1", "[::1]", "[::1]x:1", "a:²", "-a:1",
     "a\n:1", "::1:80"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|has no"):
        endpoint.parse_endpoint(text)
