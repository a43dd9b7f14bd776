"""One gRPC call over one HTTP/2 connection, without any I/O: bytes in, messages out, and the other way round.

gRPC's own library costs an agent several threads that never sleep and as much memory as everything else together. One
call at a time needs of HTTP/2 only what is here: one stream, no priorities, no push, headers at both ends. Knows
nothing of sockets, TLS or what is said.
Sources: RFC 9113; https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple
from urllib.parse import unquote

from agent.headers import pack, unpack

OK, UNKNOWN, UNAVAILABLE, UNAUTHENTICATED = 0, 2, 14, 16
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 8, 12, 13
NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
WORDS_MAX = 300

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = struct.Struct(">BHBBL")  # length (24 bits in two fields), type, flags, stream
MESSAGE = struct.Struct(">BL")  # compressed or not, length
SETTING = struct.Struct(">HL")
NUMBER = struct.Struct(">L")
STREAM = 1
STREAM_BITS = 0x7FFFFFFF
WINDOW_BYTES = 65_535
WINDOW_MAX = 2**31 - 1
FRAME_BYTES = 16_384  # what both sides take unless they say otherwise
FRAME_BYTES_MAX = 2**24 - 1
HEADER_BYTES_MAX = 64 * 1024
GIVE_BACK_BYTES = WINDOW_BYTES // 4  # read before the other side is told that there is room again
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
PRIORITY_BYTES, GOAWAY_BYTES = 5, 8
CANCEL = 8


class Type(IntEnum):
    """Frame types."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """Settings that matter to one call."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5


UNWANTED = (Setting.HEADER_TABLE_SIZE, Setting.ENABLE_PUSH)


class Status(NamedTuple):
    """How a call ended: gRPC's code, and words that may be a stranger's, without what could steer a terminal."""

    code: int
    words: str

    @property
    def name(self) -> str:
        """The code as gRPC's documentation writes it."""
        return NAMES[self.code] if self.code < len(NAMES) else f"CODE_{self.code}"


class _Broken(Exception):
    """The other side does not keep to HTTP/2 or gRPC."""


class Call:
    """The client's side. What it wants sent is taken from `outgoing`; once `status` is there, the call is over."""

    def __init__(self, method: str, *, authority: str, message_bytes_max: int) -> None:
        """`method` is /package.Service/Method, `authority` the host:port that is asked."""
        self.status: Status | None = None
        self._message_bytes_max = message_bytes_max
        self._frame_bytes = FRAME_BYTES  # the longest frame the other side takes
        self._room = self._stream_room = self._initial_room = WINDOW_BYTES  # bytes that may be sent
        self._taken = 0  # bytes read and not yet given back
        self._unsent = bytearray()  # contents of data frames there was no room for yet
        self._last = self._closed = False  # nothing follows what is unsent; and that was told
        self._raw, self._unread, self._block = bytearray(), bytearray(), bytearray()
        self._flags = 0  # of the headers that `_block` goes on with
        self._in_headers = False
        headers = pack(
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":path", method),
                (":authority", authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ]
        )
        self._out = [
            PREFACE,
            _frame(Type.SETTINGS, b"".join(SETTING.pack(name, 0) for name in UNWANTED), stream=0),
            _frame(Type.HEADERS, headers, flags=END_HEADERS),
        ]

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
        out = b"".join(self._out)
        self._out.clear()
        return out

    def hear(self, data: bytes) -> list[bytes]:
        """The messages that are complete with these bytes, in order."""
        messages: list[bytes] = []
        raw = self._raw
        raw += data
        try:
            while self.status is None and len(raw) >= FRAME.size:
                high, low, kind, flags, stream = FRAME.unpack_from(raw)
                end = FRAME.size + (high << 16 | low)
                if end > FRAME.size + FRAME_BYTES:
                    raise _Broken(f"a frame of {end - FRAME.size} bytes")
                if len(raw) < end:
                    break
                content = bytes(raw[FRAME.size : end])
                del raw[:end]
                self._frame(kind, flags, stream & STREAM_BITS, content, messages)
        except (_Broken, struct.error, ValueError) as error:
            self._give_up(Status(INTERNAL, _harmless(f"not gRPC as it should be: {error}")))
        return messages

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _pump(self) -> None:
        unsent = self._unsent
        while unsent:
            size = min(self._room, self._stream_room, self._frame_bytes, len(unsent))
            if size <= 0:
                return
            self._room -= size
            self._stream_room -= size
            self._closed = self._last and size == len(unsent)
            self._out.append(_frame(Type.DATA, bytes(unsent[:size]), flags=END_STREAM if self._closed else 0))
            del unsent[:size]
        if self._last and not self._closed:
            self._closed = True
            self._out.append(_frame(Type.DATA, b"", flags=END_STREAM))

    def _give_up(self, status: Status) -> None:
        self._end(status)
        self._out.append(_frame(Type.RST_STREAM, NUMBER.pack(CANCEL)))
        self._out.append(_frame(Type.GOAWAY, bytes(GOAWAY_BYTES), stream=0))

    def _end(self, status: Status) -> None:
        if self.status is None:
            self.status = status
        self._unsent.clear()

    # ── hearing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _frame(self, kind: int, flags: int, stream: int, content: bytes, messages: list[bytes]) -> None:
        if self._in_headers is not (kind == Type.CONTINUATION):
            raise _Broken("headers that are not in one piece")
        if kind == Type.DATA:
            messages += self._data(flags, stream, content)
        elif (handler := _HANDLERS.get(kind)) is not None:
            handler(self, flags, stream, content)

    def _data(self, flags: int, stream: int, content: bytes) -> list[bytes]:
        _of_the_call(stream)
        self._taken += len(content)
        if self._taken >= GIVE_BACK_BYTES:
            room = NUMBER.pack(self._taken)
            self._out += (_frame(Type.WINDOW_UPDATE, room, stream=0), _frame(Type.WINDOW_UPDATE, room))
            self._taken = 0
        unread, messages = self._unread, []
        unread += _unpadded(flags, content)
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
        if flags & END_STREAM:
            self._end(Status(UNKNOWN, "the answer ended without a status"))
        return messages

    def _headers(self, flags: int, stream: int, content: bytes) -> None:
        _of_the_call(stream)
        content = _unpadded(flags, content)
        self._block[:] = content[PRIORITY_BYTES:] if flags & PRIORITY else content
        self._flags = flags
        self._headers_so_far(flags)

    def _continuation(self, flags: int, stream: int, content: bytes) -> None:
        _of_the_call(stream)
        self._block += content
        if len(self._block) > HEADER_BYTES_MAX:
            raise _Broken("headers without end")
        self._headers_so_far(flags)

    def _headers_so_far(self, flags: int) -> None:
        self._in_headers = not flags & END_HEADERS
        if self._in_headers:
            return
        headers = dict(unpack(bytes(self._block)))
        answered, said = headers.get(":status", "200"), headers.get("grpc-status", "")
        if answered.startswith("1"):
            return  # More is to come.
        if answered != "200":
            self._give_up(Status(UNAVAILABLE, _harmless(f"HTTP status {answered}: not a gRPC server")))
        elif said:
            code = int(said) if said.isdecimal() else UNKNOWN
            self._end(Status(code, _harmless(unquote(headers.get("grpc-message", "")))))
        elif self._flags & END_STREAM:
            self._end(Status(UNKNOWN, "the answer ended without a status"))

    def _settings(self, flags: int, _stream: int, content: bytes) -> None:
        if flags & ACK:
            return
        for name, value in SETTING.iter_unpack(content):
            if name == Setting.INITIAL_WINDOW_SIZE:
                if value > WINDOW_MAX:
                    raise _Broken("a window that is too large")
                self._stream_room += value - self._initial_room
                self._initial_room = value
            elif name == Setting.MAX_FRAME_SIZE:
                if not FRAME_BYTES <= value <= FRAME_BYTES_MAX:
                    raise _Broken(f"frames of {value} bytes")
                self._frame_bytes = value
        self._out.append(_frame(Type.SETTINGS, b"", flags=ACK, stream=0))
        self._pump()

    def _window(self, _flags: int, stream: int, content: bytes) -> None:
        (more,) = NUMBER.unpack(content)
        if stream == STREAM:
            self._stream_room += more & STREAM_BITS
        else:
            self._room += more & STREAM_BITS
        self._pump()

    def _ping(self, flags: int, _stream: int, content: bytes) -> None:
        if not flags & ACK:
            self._out.append(_frame(Type.PING, content, flags=ACK, stream=0))

    def _reset(self, _flags: int, stream: int, content: bytes) -> None:
        _of_the_call(stream)
        self._end(Status(UNAVAILABLE, f"the stream was reset, code {NUMBER.unpack(content)[0]}"))

    def _goaway(self, _flags: int, _stream: int, content: bytes) -> None:
        last, code = NUMBER.unpack_from(content)[0] & STREAM_BITS, NUMBER.unpack_from(content, NUMBER.size)[0]
        if code or last < STREAM:  # else only new calls are not wanted any more
            words = content[GOAWAY_BYTES:].decode(errors="replace")
            self._end(Status(UNAVAILABLE, _harmless(f"the connection was closed, code {code} {words}".strip())))

    def _promise(self, _flags: int, _stream: int, _content: bytes) -> None:
        raise _Broken("a push that was not allowed")


def _frame(kind: Type, content: bytes, *, flags: int = 0, stream: int = STREAM) -> bytes:
    size = len(content)
    return FRAME.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + content


def _of_the_call(stream: int) -> None:
    if stream != STREAM:
        raise _Broken(f"something on stream {stream}")


def _unpadded(flags: int, content: bytes) -> bytes:
    if not flags & PADDED:
        return content
    if content[:1] and content[0] < len(content):
        return content[1 : len(content) - content[0]]
    raise _Broken("more padding than content")


def _harmless(words: str) -> str:
    return "".join(filter(str.isprintable, words))[:WORDS_MAX]


_HANDLERS: dict[int, Callable[[Call, int, int, bytes], None]] = {
    Type.HEADERS: Call._headers,
    Type.CONTINUATION: Call._continuation,
    Type.RST_STREAM: Call._reset,
    Type.SETTINGS: Call._settings,
    Type.PUSH_PROMISE: Call._promise,
    Type.PING: Call._ping,
    Type.GOAWAY: Call._goaway,
    Type.WINDOW_UPDATE: Call._window,
}
