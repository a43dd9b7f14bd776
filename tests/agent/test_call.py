"""One gRPC call in bytes: against the server's side of the HTTP/2 library, and against what no library would send."""

from __future__ import annotations

import struct

import hpack
import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
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
        self.pongs: list[bytes] = []

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
            self.headers = dict(event.headers)  # type: ignore[arg-type]  # decoded, as it was asked to
        elif isinstance(event, events.DataReceived):
            self.body += event.data
            if self.opens_window:
                self.http.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, events.PingAckReceived):
            self.pongs.append(event.ping_data)
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
        (lambda s: s.http.close_connection(11, b"bye\x07"), calls.UNAVAILABLE, "closed, code 11 bye"),
        (lambda s: s.greet(**{"grpc-status": "many"}), calls.UNKNOWN, ""),
        (lambda s: (s.greet(), s.http.send_data(1, framed(b"x", compressed=1))), calls.INTERNAL, "compressed"),
        (
            lambda s: (s.greet(), s.http.send_data(1, struct.pack(">BI", 0, LIMIT + 1))),
            calls.INTERNAL,
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


def frame(kind: int, content: bytes, *, flags: int = 0, stream: int = 1) -> bytes:
    return struct.pack(">BHBBL", 0, len(content), kind, flags, stream) + content


@pytest.mark.parametrize(
    "nonsense",
    [
        frame(0, b"x", stream=0),
        frame(0, b"x", stream=3),
        frame(0, b"", flags=0x8),
        frame(0, b"\5abc", flags=0x8),
        frame(1, b"\xff" * 9, flags=0x4),
        frame(1, b"") + frame(6, bytes(8)),
        frame(9, b""),
        frame(1, b"") + frame(9, b"") * 64,
        frame(1, hpack.Encoder().encode([("x", "y" * 4_000)]) + b"\xbe" * 20, flags=0x4),
        frame(1, b"\x88", flags=0x4, stream=2),
        frame(3, b""),
        frame(4, b"\0\4\xff\xff\xff\xff", stream=0),
        frame(4, b"\0\5\0\0\0\1", stream=0),
        frame(4, b"\0", stream=0),
        frame(4, b"".join(struct.pack(">HL", name, 1) for name in range(100, 200)), stream=0),
        frame(5, b"\0\0\0\2\x82", flags=0x4),
        frame(7, b"", stream=0),
        frame(8, b"", stream=0),
    ],
    ids=lambda nonsense: repr(nonsense[:20]),
)
def test_what_breaks_the_rules_ends_the_call(server: Server, nonsense: bytes) -> None:
    assert server.call.hear(nonsense) == []
    assert server.call.status is not None
    assert server.call.status.name == "INTERNAL"


@pytest.mark.parametrize("begun", [b"HTTP/1.1 400 Bad Request\r\n\r\n", frame(1, b"") + frame(9, bytes(16_000)) * 5])
def test_what_never_ends_is_not_waited_for(server: Server, begun: bytes) -> None:
    held = len(begun)
    server.call.hear(begun)
    while server.call.status is None:
        server.call.hear(bytes(16_000) if begun[:1] == b"H" else frame(9, bytes(16_000)))
        held += 16_000
        assert held < 160_000
    assert server.call.status.name == "INTERNAL"
    assert "without end" in server.call.status.words


FRAMES = st.builds(
    frame,
    st.integers(0, 11),
    st.binary(max_size=40) | st.sampled_from([b"\x88", framed(b"one"), hpack.Encoder().encode([("grpc-status", "0")])]),
    flags=st.integers(0, 255) | st.sampled_from([0, 1, 4, 5]),
    stream=st.integers(0, 3) | st.just(1),
)


@given(st.lists(FRAMES | st.binary(max_size=40), max_size=12), st.sets(st.integers(0, 11)), st.booleans())
def test_no_bytes_make_a_call_fall_over(pieces: list[bytes], says_at: set[int], answered: bool) -> None:
    call = Call(METHOD, authority="a:1", message_bytes_max=LIMIT)
    assert call.outgoing()
    if answered:
        call.hear(frame(4, b"", stream=0) + frame(1, b"\x88", flags=0x4))
    for number, piece in enumerate(pieces):
        if number in says_at:
            call.say(bytes(70_000), last=number == max(says_at))
        call.hear(piece)
        call.outgoing()
    call.cancel()
    assert call.status is not None
    assert call.status.words.isprintable()


def test_padding_priorities_and_what_is_unknown_are_passed_over(server: Server) -> None:
    server.heard += server.call.hear(frame(0xFA, b"?") + frame(2, bytes(5)))
    server.heard += server.call.hear(frame(1, b"\2\0\0\0\0\0\x88..", flags=0x4 | 0x8 | 0x20))
    server.heard += server.call.hear(frame(0, b"\3" + framed(b"one") + bytes(3), flags=0x8))
    assert (server.heard, server.call.status) == ([b"one"], None)


def test_headers_may_come_in_pieces_and_after_an_interim_answer(server: Server) -> None:
    server.http.send_headers(1, [(":status", "103")])
    server.greet(**{f"x-{i}": "y" * 4_000 for i in range(10)})
    server.say(b"one")
    server.end(calls.OK)
    server.exchange(step=777)
    assert (server.heard, server.call.status) == ([b"one"], calls.Status(calls.OK, ""))


def test_a_server_that_takes_no_new_calls_finishes_this_one(server: Server) -> None:
    server.greet()
    server.exchange()
    leaving = frame(7, struct.pack(">LL", 2**31 - 1, 0), stream=0)
    server.heard += server.call.hear(frame(6, b"before..", stream=0) + leaving + frame(6, b"and then", stream=0))
    server.heard += server.call.hear(frame(7, struct.pack(">LL", 1, 0), stream=0) + frame(0, framed(b"one")))
    server.call.say(b"two")
    server.exchange()
    assert (server.pongs, server.heard, server.body) == ([b"before..", b"and then"], [b"one"], framed(b"two"))
    server.end(calls.OK)
    server.exchange()
    assert server.call.status == calls.Status(calls.OK, "")


@pytest.mark.parametrize(("last", "code"), [(0, 0), (2**31 - 1, 2)])
def test_a_server_that_leaves_this_call_behind_ends_it(server: Server, last: int, code: int) -> None:
    server.greet()
    server.exchange()
    server.heard += server.call.hear(frame(7, struct.pack(">LL", last, code), stream=0) + frame(0, framed(b"late")))
    assert server.heard == []
    assert server.call.status == calls.Status(calls.UNAVAILABLE, f"the connection was closed, code {code}")


def test_a_window_made_smaller_is_kept_to(server: Server) -> None:
    server.opens_window = False
    server.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 10})
    server.exchange()
    server.call.say(bytes(100))
    server.exchange()
    assert len(server.body) == 10
    server.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1_000, SettingCodes.MAX_FRAME_SIZE: 20_000})
    server.exchange()
    assert server.body == framed(bytes(100))


def test_a_ping_is_answered(server: Server) -> None:
    server.http.ping(b"12345678")
    server.exchange()
    assert server.pongs == [b"12345678"]


def test_a_call_that_is_given_up_tells_the_other_side(server: Server) -> None:
    server.call.cancel()
    found = [
        event for event in server.http.receive_data(server.call.outgoing()) if isinstance(event, events.StreamReset)
    ]
    assert [event.error_code for event in found] == [8]
    assert server.call.status is not None
    assert server.call.status.name == "CANCELLED"
