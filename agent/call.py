"""One gRPC call over one HTTP/2 connection, without any I/O: bytes in, messages out, and the other way round.

The library h2 speaks HTTP/2. What gRPC adds for one call is here: headers, messages in frames of their own, a status at
the end, and bounds on what a stranger can make us hold. Knows nothing of sockets, TLS or what is said.
Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote

from h2 import events
from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

OK, UNKNOWN, UNAVAILABLE, UNAUTHENTICATED = 0, 2, 14, 16
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 8, 12, 13
NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
WORDS_MAX = 300
CODE_DIGITS = 3

MESSAGE = struct.Struct(">BL")  # compressed or not, length
STREAM = 1
HEADER_BYTES_MAX = 64 * 1024  # unpacked; h2 keeps to it before it is announced too
SETTINGS_MAX = 64
UNFINISHED_BYTES_MAX = 128 * 1024
"""h2 reads a frame to its end before it judges its length. No frame that it would take is longer, nor are headers."""


class Status(NamedTuple):
    """How a call ended: gRPC's code, and words that may be a stranger's, without what could steer a terminal."""

    code: int
    words: str

    @property
    def name(self) -> str:
        """The code as gRPC's documentation writes it."""
        return NAMES[self.code] if self.code < len(NAMES) else f"CODE_{self.code}"


class _Broken(Exception):
    """The other side does not keep to gRPC, or to our bounds."""


class _States(H2ConnectionStateMachine):
    """Goes on after GOAWAY, as RFC 9113 (6.8) has it: h2 would refuse everything, https://github.com/python-hyper/h2/issues/1181.

    Whether the call goes on too is decided where the frame is heard.
    """

    def process_input(self, input_: ConnectionInputs) -> list[events.Event]:
        if input_ is ConnectionInputs.RECV_GOAWAY and self.state is ConnectionState.CLIENT_OPEN:
            return []
        return super().process_input(input_)


class _HTTP(H2Connection):
    """The client's side of a connection that is good for one call."""

    def __init__(self) -> None:
        super().__init__(H2Configuration())
        self.state_machine = _States()
        self.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.MAX_CONCURRENT_STREAMS: 0,  # that the server begins
                SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_BYTES_MAX,
            },
        )

    def clear_outbound_data_buffer(self) -> None:
        """Nothing: h2 asks for it at GOAWAY, where the call goes on."""


class Call:
    """The client's side. What it wants sent is taken from `outgoing`; once `status` is there, the call is over."""

    def __init__(self, method: str, *, authority: str, message_bytes_max: int) -> None:
        """`method` is /package.Service/Method, `authority` the host:port that is asked."""
        self.status: Status | None = None
        self._message_bytes_max = message_bytes_max
        self._unsent = bytearray()  # there was no room for it yet
        self._last = self._closed = False  # nothing follows what is unsent; and that was told
        self._unread = bytearray()  # of a message that is not complete
        self._unfinished = 0  # bytes that have not made anything yet
        self._http = _HTTP()
        self._http.initiate_connection()
        headers = (
            (":method", "POST"),
            (":scheme", "https"),
            (":path", method),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        )
        self._http.send_headers(STREAM, headers)

    def say(self, message: bytes, *, last: bool = False) -> None:
        """Send a message; after the `last` one the other side may only answer."""
        if self.status is None and not self._last:
            self._unsent += MESSAGE.pack(0, len(message))
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
            self._give_up(Status(NAMES.index("CANCELLED"), "given up here"))

    def outgoing(self) -> bytes:
        """Bytes to send now; they are handed out once."""
        return self._http.data_to_send()

    def hear(self, data: bytes) -> list[bytes]:
        """The messages that are complete with these bytes, in order."""
        messages: list[bytes] = []
        if self.status is not None:
            return messages
        try:
            heard = self._http.receive_data(data)
            self._unfinished = 0 if heard else self._unfinished + len(data)
            if self._unfinished > UNFINISHED_BYTES_MAX:
                raise _Broken("a frame or headers without end")
            for event in heard:
                if self.status is None and (handler := _HANDLERS.get(type(event))) is not None:
                    handler(self, event, messages)
            self._pump()
        except (_Broken, H2Error) as error:
            self._give_up(Status(INTERNAL, harmless(f"not gRPC as it should be: {error}")))
        return messages

    def _pump(self) -> None:
        """Send as much of what is unsent as the other side has room for."""
        unsent, http = self._unsent, self._http
        while unsent:
            size = min(http.local_flow_control_window(STREAM), http.max_outbound_frame_size, len(unsent))
            if size <= 0:
                return
            self._closed = self._last and size == len(unsent)
            http.send_data(STREAM, bytes(unsent[:size]), end_stream=self._closed)
            del unsent[:size]
        if self._last and not self._closed and self.status is None:
            self._closed = True
            http.end_stream(STREAM)

    def _give_up(self, status: Status) -> None:
        self._end(status)
        with suppress(H2Error):  # The stream is closed, or h2 has said it already.
            self._http.reset_stream(STREAM, ErrorCodes.CANCEL)
        with suppress(H2Error):
            self._http.close_connection()

    def _end(self, status: Status) -> None:
        if self.status is None:
            self.status = status
        self._unsent.clear()

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _data(self, event: events.DataReceived, messages: list[bytes]) -> None:
        self._http.acknowledge_received_data(event.flow_controlled_length, STREAM)
        unread = self._unread
        unread += event.data
        while len(unread) >= MESSAGE.size:
            compressed, length = MESSAGE.unpack_from(unread)
            if compressed:
                raise _Broken("a compressed message")
            if length > self._message_bytes_max:
                raise _Broken(f"a message of {length} bytes is too long")
            end = MESSAGE.size + length
            if len(unread) < end:
                break
            messages.append(bytes(unread[MESSAGE.size : end]))
            del unread[:end]

    def _headers(self, event: events.ResponseReceived | events.TrailersReceived, _messages: list[bytes]) -> None:
        headers = dict(event.headers)
        answered, said = headers.get(b":status", b"200"), headers.get(b"grpc-status", b"")
        if answered != b"200":
            words = f"HTTP status {answered.decode(errors='replace')}: not a gRPC server"
            self._give_up(Status(UNAVAILABLE, harmless(words)))
        elif said:
            code = int(said) if said.isdigit() and len(said) <= CODE_DIGITS else UNKNOWN
            words = unquote(headers.get(b"grpc-message", b"").decode(errors="replace"))
            self._end(Status(code, harmless(words)))

    def _ended(self, _event: events.StreamEnded, _messages: list[bytes]) -> None:
        self._end(Status(UNKNOWN, "the answer ended without a status"))

    def _reset(self, event: events.StreamReset, _messages: list[bytes]) -> None:
        self._end(Status(UNAVAILABLE, f"the stream was reset, code {event.error_code:d}"))

    def _goaway(self, event: events.ConnectionTerminated, _messages: list[bytes]) -> None:
        if event.error_code or (event.last_stream_id or 0) < STREAM:  # else only new calls are not wanted any more
            words = (event.additional_data or b"").decode(errors="replace")
            self._end(Status(UNAVAILABLE, harmless(f"the connection was closed, code {event.error_code:d} {words}")))

    def _settings(self, _event: events.RemoteSettingsChanged, _messages: list[bytes]) -> None:
        if len(self._http.remote_settings) > SETTINGS_MAX:  # h2 keeps every one, known or not
            raise _Broken("settings without end")


def harmless(words: str) -> str:
    """A stranger's words, fit for a line in a log and for a terminal."""
    return "".join(filter(str.isprintable, words))[:WORDS_MAX].strip()


_HANDLERS: dict[type[events.Event], Callable[[Call, Any, list[bytes]], None]] = {
    events.DataReceived: Call._data,
    events.ResponseReceived: Call._headers,
    events.TrailersReceived: Call._headers,
    events.StreamEnded: Call._ended,
    events.StreamReset: Call._reset,
    events.ConnectionTerminated: Call._goaway,
    events.RemoteSettingsChanged: Call._settings,
}
