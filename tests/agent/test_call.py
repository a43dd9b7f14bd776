"""One gRPC call in bytes: against the server's side of the HTTP/2 library, which knows nothing of ours."""

from __future__ import annotations

import struct

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import given
from hypothesis import strategies as st

from agent import call as calls
from agent.call import Call

METHOD = "/sigap.telemetry.v1.Telemetry/Deliver"
LIMIT = 100_000


class Server:
    """Reads what a call sends and answers as told."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.body = b""
        self.headers: dict[str, str] = {}
        self.ended = False
        self.opens_window = True
        self.heard: list[bytes] = []

    def exchange(self, *, step: int = 1 << 20) -> None:
        """Carry bytes in both directions, `step` at a time, until nobody has anything left."""
        while True:
            there, back = self.call.outgoing(), self.http.data_to_send()
            if not there and not back:
                return
            for at in range(0, len(back), step):
                self.heard += self.call.hear(back[at : at + step])
            for event in self.http.receive_data(there):
                self._note(event)

    def _note(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self.headers = dict(event.headers)
        elif isinstance(event, events.DataReceived):
            self.body += event.data
            if self.opens_window:
                self.http.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, events.StreamEnded):
            self.ended = True

    def greet(self, **headers: str) -> None:
        self.http.send_headers(1, [(":status", "200"), ("content-type", "application/grpc"), *headers.items()])

    def say(self, *messages: bytes) -> None:
        data = b"".join(map(framed, messages))
        for at in range(0, len(data), 10_000):
            self.http.send_data(1, data[at : at + 10_000])

    def end(self, code: int, words: str = "") -> None:
        self.http.send_headers(1, [("grpc-status", str(code)), ("grpc-message", words)], end_stream=True)


def framed(message: bytes, *, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message)) + message


@pytest.fixture
def server() -> Server:
    there = Server(Call(METHOD, authority="collector:8421", message_bytes_max=LIMIT))
    there.exchange()
    return there


def test_a_call_names_its_method_as_grpc_wants_it(server: Server) -> None:
    assert server.headers[":path"] == METHOD
    assert server.headers[":authority"] == "collector:8421"
    assert (server.headers["te"], server.headers["content-type"]) == ("trailers", "application/grpc")


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50))
def test_messages_arrive_whole_however_the_bytes_are_cut(messages: list[bytes], step: int) -> None:
    server = Server(Call(METHOD, authority="a:1", message_bytes_max=LIMIT))
    server.exchange()
    server.greet()
    server.say(*messages)
    server.end(calls.OK)
    server.exchange(step=step)
    assert server.heard == messages
    assert server.call.status == calls.Status(calls.OK, "")


def test_more_than_the_window_waits_until_there_is_room(server: Server) -> None:
    server.opens_window = False
    message = bytes(200_000)
    server.call.say(message)
    server.exchange()
    assert len(server.body) == 65_535
    server.http.increment_flow_control_window(300_000)
    server.http.increment_flow_control_window(300_000, stream_id=1)
    server.call.finish()
    server.exchange()
    assert server.body == framed(message)
    assert server.ended


def test_many_long_answers_fit_through_our_own_window(server: Server) -> None:
    server.greet()
    for _ in range(20):
        server.say(bytes(9_000))
        server.exchange()
    assert [len(message) for message in server.heard] == [9_000] * 20


def test_the_last_message_ends_our_side_of_the_call(server: Server) -> None:
    server.call.say(b"one", last=True)
    server.call.say(b"too late")
    server.call.finish()
    server.exchange()
    assert (server.body, server.ended) == (framed(b"one"), True)


def test_words_of_a_status_cannot_steer_a_terminal(server: Server) -> None:
    server.greet(**{"grpc-status": "16", "grpc-message": "not%20listed%1b[2J%e2%98%83" + "x" * 500})
    server.exchange()
    assert server.call.status is not None
    assert server.call.status.name == "UNAUTHENTICATED"
    assert server.call.status.words.startswith("not listed[2J☃xxx")
    assert len(server.call.status.words) == calls.WORDS_MAX


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (lambda s: s.http.send_headers(1, [(":status", "503")]), calls.UNAVAILABLE, "HTTP status 503"),
        (lambda s: s.http.send_headers(1, [(":status", "200")], end_stream=True), calls.UNKNOWN, "without a status"),
        (lambda s: s.http.reset_stream(1, 7), calls.UNAVAILABLE, "reset, code 7"),
        (lambda s: s.http.close_connection(0, b"bye\x07"), calls.UNAVAILABLE, "closed bye"),
        (lambda s: s.greet(**{"grpc-status": "many"}), calls.UNKNOWN, ""),
        (lambda s: (s.greet(), s.http.send_data(1, framed(b"x", compressed=1))), calls.UNAVAILABLE, "compressed"),
        (
            lambda s: (s.greet(), s.http.send_data(1, struct.pack(">BI", 0, LIMIT + 1))),
            calls.UNAVAILABLE,
            f"{LIMIT + 1} bytes is too long",
        ),
    ],
)
def test_every_other_end_has_a_code_and_words(server: Server, answer: object, code: int, words: str) -> None:
    answer(server)  # type: ignore[operator]
    server.exchange()
    status = server.call.status
    assert status is not None
    assert status.code == code
    assert words in status.words
    assert server.heard == []
    server.call.say(b"nobody listens")
    assert server.call.hear(b"anything") == []


def test_what_breaks_the_rules_of_http2_ends_the_call(server: Server) -> None:
    server.call.hear(b"\0\0\1\0\0\0\0\0\0x")  # data that belongs to no stream
    assert server.call.status is not None
    assert server.call.status.name == "INTERNAL"


def test_a_call_that_is_given_up_tells_the_other_side(server: Server) -> None:
    server.call.cancel()
    found = [
        event for event in server.http.receive_data(server.call.outgoing()) if isinstance(event, events.StreamReset)
    ]
    assert [event.error_code for event in found] == [8]
    assert server.call.status is not None
    assert server.call.status.name == "CANCELLED"
