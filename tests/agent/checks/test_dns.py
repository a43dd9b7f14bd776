from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes import CHECKS, dns, dns_message
from agent.probes.attempts import CannotProbe
from agent.probes.dns_message import TYPES, MalformedReply
from agent.sample import State

from .conftest import black_hole, responder
from .running import numbers, outcome, run


def reply(question: bytes, *records: tuple[int, bytes], code: int = 0, flags: int = 0) -> bytes:
    """A server's answer, made by hand: every record is about the name at offset 12."""
    head = question[:2] + struct.pack("!HHHHH", 0x8180 | code | flags, 1, len(records), 0, 0)
    body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for kind, data in records)
    return head + question[12:] + body


ADDRESS = (TYPES["A"], bytes((192, 0, 2, 7)))


def test_answer_is_up_and_shown() -> None:
    with responder(lambda question: [reply(question, ADDRESS)]) as port:
        observation = run("dns", query="example.org", server=f"127.0.0.1:{port}")
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP
    assert observation.outcome.reason.startswith("A of example.org is 192.0.2.7 after ")
    found = numbers(observation)
    assert (found["probe_dns_answer_rrs"], found["probe_dns_query_succeeded"]) == (1, 1)
    assert found["probe_dns_lookup_time_seconds"] > 0


@pytest.mark.parametrize(
    ("record", "data", "expected"),
    [
        ("AAAA", bytes.fromhex("20010db8000000000000000000000001"), "2001:db8::1"),
        ("CNAME", b"\x03www\xc0\x0c", "www.example.org"),
        ("NS", b"\x02NS\x07example\x03net\x00", "ns.example.net"),
        ("MX", b"\x00\x0a\x04mail\xc0\x0c", "10 mail.example.org"),
        ("TXT", b"\x06v=spf1\x05 -all", "v=spf1 -all"),
    ],
)
def test_every_record_type_is_read(record: str, data: bytes, expected: str) -> None:
    with responder(lambda question: [reply(question, (TYPES[record], data))]) as port:
        options = {"query": "example.org", "server": f"127.0.0.1:{port}", "record": record}
        assert outcome("dns", **options, expect=[expected]).state is State.UP
        missing = outcome("dns", **options, expect=["something else"])
    assert missing.state is State.DOWN
    assert missing.reason.startswith(f"{record} of example.org is {expected} without something else")


@pytest.mark.parametrize(
    ("code", "options", "state"),
    [
        (3, {}, State.DOWN),
        (3, {"code": "NXDOMAIN"}, State.UP),
        (2, {}, State.DOWN),
        (0, {"code": "NXDOMAIN"}, State.DOWN),
    ],
)
def test_response_code_is_compared(code: int, options: dict[str, str], state: State) -> None:
    with responder(lambda question: [reply(question, ADDRESS, code=code)]) as port:
        assert outcome("dns", query="example.org", server=f"127.0.0.1:{port}", **options).state is state


def test_answer_without_the_record_is_down() -> None:
    with responder(lambda question: [reply(question)]) as port:
        found = outcome("dns", query="example.org", server=f"127.0.0.1:{port}")
    assert (found.state, "has no A of example.org" in found.reason) == (State.DOWN, True)


def test_answer_to_another_question_is_ignored() -> None:
    def answers(question: bytes) -> list[bytes]:
        forged = reply(question, (TYPES["A"], bytes((6, 6, 6, 6))))
        return [bytes((forged[0] ^ 1,)) + forged[1:], forged.replace(b"example", b"exAmplf"), reply(question, ADDRESS)]

    with responder(answers) as port:
        assert "192.0.2.7" in outcome("dns", query="example.org", server=f"127.0.0.1:{port}").reason


def test_lost_datagram_is_no_outage() -> None:
    asked = []

    def deaf_at_first(question: bytes) -> list[bytes]:
        asked.append(question)
        return [reply(question, ADDRESS)] if len(asked) > 1 else []

    with responder(deaf_at_first) as port:
        assert outcome("dns", query="example.org", server=f"127.0.0.1:{port}", timeout_seconds=3).state is State.UP


def test_black_hole_is_down_within_the_timeout() -> None:
    with black_hole() as port:
        began = time.monotonic()
        found = outcome("dns", query="example.org", server=f"127.0.0.1:{port}", timeout_seconds=0.3)
        assert time.monotonic() - began < 1
    assert (found.state, "did not answer within 0.3 s" in found.reason) == (State.DOWN, True)


def test_port_on_which_nothing_listens_is_down() -> None:
    with black_hole() as port:
        pass
    assert outcome("dns", query="example.org", server=f"127.0.0.1:{port}").state is State.DOWN


def test_truncated_answer_is_asked_for_over_tcp() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = stream.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
        import threading

        def serve() -> None:
            question, sender = datagrams.recvfrom(4096)
            datagrams.sendto(reply(question, flags=0x0200), sender)
            connection, _ = stream.accept()
            with connection:
                answer = reply(connection.recv(4096)[2:], *[ADDRESS] * 40)
                message = struct.pack("!H", len(answer)) + answer
                connection.sendall(message[:7])
                connection.sendall(message[7:])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        observation = run("dns", query="example.org", server=f"127.0.0.1:{port}")
        thread.join(5)
    assert observation.outcome is not None
    assert observation.outcome.state is State.UP, observation.outcome.reason
    assert numbers(observation)["probe_dns_answer_rrs"] == 40


def test_garbage_is_down_with_a_reason() -> None:
    with responder(lambda question: [question[:2] + b"\xff" * 3]) as port:
        found = outcome("dns", query="example.org", server=f"127.0.0.1:{port}")
    assert (found.state, "no DNS message" in found.reason) == (State.DOWN, True)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_reply_or_malformed(noise: bytes) -> None:
    try:
        dns_message.parse(noise)
    except MalformedReply:
        return


@given(st.binary(max_size=200))
def test_any_bytes_after_a_good_head_are_a_reply_or_malformed(noise: bytes) -> None:
    good = reply(dns_message.query(1, "example.org", record_type=1), ADDRESS)
    try:
        dns_message.parse(good[:-10] + noise)
    except MalformedReply:
        return


def test_name_that_points_at_itself_is_malformed() -> None:
    head = struct.pack("!6H", 1, 0x8180, 1, 0, 0, 0)
    with pytest.raises(MalformedReply, match="circles"):
        dns_message.parse(head + b"\xc0\x0c\x00\x01\x00\x01")


def test_first_server_of_resolv_conf_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# comment\nsearch example.org\nnameserver 2001:db8::53\nnameserver 192.0.2.53\n")
    assert dns.resolver(file) == "[2001:db8::53]"


def test_host_without_resolver_is_unknown_and_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(CannotProbe, match="set server"):
        dns.resolver(tmp_path / "missing")
    (tmp_path / "empty").write_text("search example.org\n")
    with pytest.raises(CannotProbe, match="names no server"):
        dns.resolver(tmp_path / "empty")


@pytest.mark.parametrize(
    "options",
    [{"query": "a..b"}, {"query": ""}, {"query": "x" * 64 + ".org"}, {"query": "example.org", "record": "ANY"}],
)
def test_question_that_cannot_be_asked_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "it", **options}, CHECKS["dns"])
