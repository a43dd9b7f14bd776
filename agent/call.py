"""One gRPC call over one HTTP/2 connection, without any I/O: bytes in, messages out, and the other way round.

gRPC's own library costs an agent several threads that never sleep and as much memory as everything else together; one
call at a time needs none of that. HTTP/2 itself is the library h2's. Knows nothing of sockets, TLS or what is said.
Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from h2 import events as happened
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error

PREFIX = struct.Struct(">BI")  # compressed or not, then the length
STREAM = 1
CANCEL = 8
WORDS_MAX = 300
OK, UNKNOWN, UNAVAILABLE, UNAUTHENTICATED = 0, 2, 14, 16
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 8, 12, 13
NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class Status(NamedTuple):
    """How a call ended: gRPC's code, and words that may be a stranger's, without what could steer a terminal."""

    code: int
    words: str

    @property
    def name(self) -> str:
        """The code as gRPC's documentation writes it."""
        return NAMES[self.code] if self.code < len(NAMES) else f"CODE_{self.code}"


class Call:
    """The client's side. What it wants sent is taken from `outgoing`; once `status` is there, the call is over."""

    def __init__(self, method: str, *, authority: str, message_bytes_max: int) -> None:
        """`method` is /package.Service/Method, `authority` the host:port that is asked."""
        self.status: Status | None = None
        self._message_bytes_max = message_bytes_max
        self._unsent = bytearray()  # frames' contents that the other side has no window for yet
        self._last = False  # nothing follows what is unsent
        self._closed = False  # and that has been told
        self._unread = bytearray()
        self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._http.initiate_connection()
        self._http.send_headers(
            STREAM,
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":path", method),
                (":authority", authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ],
        )

    def say(self, message: bytes, *, last: bool = False) -> None:
        """Send a message; after the `last` one the other side may only answer."""
        if self.status is None and not self._last:
            self._unsent += PREFIX.pack(0, len(message))
            self._unsent += message
            self._last = last
            self._pump()

    def finish(self) -> None:
        """Nothing more will be said."""
        if self.status is None and not self._last:
            self._last = True
            self._pump()

    def cancel(self) -> None:
        """Give the call up and the connection with it."""
        if self.status is None:
            self._end(Status(NAMES.index("CANCELLED"), "given up here"))
            self._http.reset_stream(STREAM, CANCEL)
            self._http.close_connection()

    def outgoing(self) -> bytes:
        """Bytes to send now; they are handed out once."""
        return self._http.data_to_send()

    def hear(self, data: bytes) -> list[bytes]:
        """The messages that are complete with these bytes, in order."""
        messages: list[bytes] = []
        if self.status is not None:
            return messages
        try:
            for event in self._http.receive_data(data):
                handler = _HANDLERS.get(type(event))
                if handler is not None and self.status is None:
                    handler(self, event, messages)
            if self.status is None:
                self._pump()
        except H2Error as error:
            self._end(Status(INTERNAL, f"not HTTP/2 as it should be: {error}"))
        return messages

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _pump(self) -> None:
        http, unsent = self._http, self._unsent
        while unsent:
            room = min(http.local_flow_control_window(STREAM), http.max_outbound_frame_size, len(unsent))
            if room <= 0:
                return
            http.send_data(STREAM, bytes(unsent[:room]))
            del unsent[:room]
        if self._last and not self._closed:
            self._closed = True
            http.end_stream(STREAM)

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _data(self, event: happened.DataReceived, messages: list[bytes]) -> None:
        unread = self._unread
        unread += event.data
        self._http.acknowledge_received_data(event.flow_controlled_length, STREAM)
        while len(unread) >= PREFIX.size:
            compressed, length = PREFIX.unpack_from(unread)
            if compressed or length > self._message_bytes_max:
                self._refuse("the answer is compressed" if compressed else f"a message of {length} bytes is too long")
                return
            end = PREFIX.size + length
            if len(unread) < end:
                return
            messages.append(bytes(unread[PREFIX.size : end]))
            del unread[:end]

    def _headers(self, event: Any, _messages: list[bytes]) -> None:
        headers = dict(event.headers)
        if (answered := headers.get(":status", "200")) != "200":
            self._refuse(f"HTTP status {answered}: not a gRPC server")
        elif "grpc-status" in headers:
            said = headers["grpc-status"]
            words = unquote(headers.get("grpc-message", ""))
            self._end(Status(int(said) if said.isdecimal() else UNKNOWN, _harmless(words)))

    def _ended(self, _event: happened.StreamEnded, _messages: list[bytes]) -> None:
        self._end(Status(UNKNOWN, "the answer ended without a status"))

    def _reset(self, event: happened.StreamReset, _messages: list[bytes]) -> None:
        self._end(Status(UNAVAILABLE, f"the stream was reset, code {int(event.error_code or 0)}"))

    def _terminated(self, event: happened.ConnectionTerminated, _messages: list[bytes]) -> None:
        words = (event.additional_data or b"").decode(errors="replace")
        self._end(Status(UNAVAILABLE, _harmless(f"the connection is being closed {words}".strip())))

    def _refuse(self, words: str) -> None:
        self.cancel()
        self.status = Status(UNAVAILABLE, words)

    def _end(self, status: Status) -> None:
        self.status = status
        self._unsent.clear()


def _harmless(words: str) -> str:
    return "".join(filter(str.isprintable, words))[:WORDS_MAX]


_HANDLERS: dict[type, Callable[[Call, Any, list[bytes]], None]] = {
    happened.DataReceived: Call._data,
    happened.ResponseReceived: Call._headers,
    happened.TrailersReceived: Call._headers,
    happened.StreamEnded: Call._ended,
    happened.StreamReset: Call._reset,
    happened.ConnectionTerminated: Call._terminated,
}
