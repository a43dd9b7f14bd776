from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.sample import State

from .conftest import Authority, black_hole, listener
from .running import numbers, outcome, run


@contextmanager
def handshaker(context: ssl.SSLContext) -> Iterator[int]:
    def shake(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    with listener(shake) as port:
        yield port


def test_good_certificate_is_up_with_its_days(authority: Authority) -> None:
    with handshaker(authority.context("127.0.0.1", days=90)) as port:
        observation = run("tls", address=f"127.0.0.1:{port}", ca_file=authority.file)
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP, observation.outcome.reason
    assert "expires in 89 days" in observation.outcome.reason
    found = numbers(observation)
    assert found["probe_ssl_earliest_cert_expiry"] > time.time()
    assert found["probe_tls_handshake_seconds"] > 0


@pytest.mark.parametrize(
    ("days", "options", "state"),
    [
        (10, {}, State.DEGRADED),
        (10, {"certificate_degraded_days": 5}, State.UP),
        (10, {"certificate_down_days": 11}, State.DOWN),
        (-2, {}, State.DOWN),
    ],
)
def test_days_left_decide(authority: Authority, days: float, options: dict[str, float], state: State) -> None:
    with handshaker(authority.context("127.0.0.1", days=days)) as port:
        assert outcome("tls", address=f"127.0.0.1:{port}", ca_file=authority.file, **options).state is state


def test_authority_in_between_that_expires_first_decides(authority: Authority) -> None:
    with handshaker(authority.context("127.0.0.1", days=60, through_days=5)) as port:
        found = outcome("tls", address=f"127.0.0.1:{port}", ca_file=authority.file)
    assert (found.state, "expires in 4 days" in found.reason) == (State.DEGRADED, True)


def test_name_is_verified_and_can_be_given(authority: Authority) -> None:
    with handshaker(authority.context("shop.example.org")) as port:
        address = f"127.0.0.1:{port}"
        assert outcome("tls", address=address, ca_file=authority.file).state is State.DOWN
        named = outcome("tls", address=address, ca_file=authority.file, server_name="shop.example.org")
    assert named.state is State.UP


def test_authority_file_that_is_missing_is_unknown(authority: Authority) -> None:
    with handshaker(authority.context("127.0.0.1")) as port:
        found = outcome("tls", address=f"127.0.0.1:{port}", ca_file="/nowhere.pem")
    assert (found.state, "/nowhere.pem" in found.reason) == (State.UNKNOWN, True)


def test_server_that_speaks_no_tls_is_down() -> None:
    with listener(lambda connection: connection.sendall(b"SSH-2.0-x\r\n")) as port:
        found = outcome("tls", address=f"127.0.0.1:{port}")
    assert (found.state, "TLS handshake" in found.reason) == (State.DOWN, True)


def test_server_that_never_finishes_the_handshake_is_down_in_time() -> None:
    with black_hole(socket.SOCK_STREAM) as port:
        began = time.monotonic()
        found = outcome("tls", address=f"127.0.0.1:{port}", timeout_seconds=0.3)
        assert time.monotonic() - began < 1
    assert (found.state, "not finished within 0.3 s" in found.reason) == (State.DOWN, True)
