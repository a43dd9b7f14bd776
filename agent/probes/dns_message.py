"""DNS messages as bytes: one question out, the answers in (RFC 1035).

Pure. A reply is a stranger's bytes: every read is bounded and a malformed one raises `MalformedReply`, nothing else.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28}
CODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")

_HEADER = struct.Struct("!6H")
_RECORD = struct.Struct("!HHIH")
_IN = 1
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED, _CODE = 0x8000, 0x0200, 0x0100, 0x000F
_POINTER = 0xC0
_LABEL_BYTES, _NAME_BYTES = 63, 255
_JUMPS = 64  # compression pointers followed in one name; a loop has more
_RECORDS = 512  # records read of one reply


class MalformedReply(Exception):
    """The bytes are no DNS message."""


class Record(NamedTuple):
    """One answer; names without the final dot, in lower case."""

    type: int
    text: str


class Reply(NamedTuple):
    """A server's answer to our question."""

    identity: int
    question: tuple[str, int]
    code: int
    truncated: bool
    records: tuple[Record, ...]

    @property
    def code_name(self) -> str:
        """The response code as people know it."""
        return CODES[self.code] if self.code < len(CODES) else f"code {self.code}"


def encode_name(name: str) -> bytes:
    """The name in wire form; ValueError when a label or the whole is empty or too long."""
    labels = [label.encode("idna" if not label.isascii() else "ascii") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) <= _LABEL_BYTES for label in labels):
        raise ValueError(f"{name!r} is no DNS name: a label is empty or longer than {_LABEL_BYTES} bytes")
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(wire) > _NAME_BYTES:
        raise ValueError(f"{name!r} is no DNS name: longer than {_NAME_BYTES} bytes")
    return wire


def query(identity: int, name: str, *, record_type: int) -> bytes:
    """A question for one name and type, recursion wanted."""
    return (
        _HEADER.pack(identity, _RECURSION_DESIRED, 1, 0, 0, 0)
        + encode_name(name)
        + struct.pack("!HH", record_type, _IN)
    )


def parse(message: bytes) -> Reply:
    """Read a reply.

    Raises:
        MalformedReply: It is none.
    """
    try:
        return _parse(message)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise MalformedReply(str(error)) from None


def _parse(message: bytes) -> Reply:
    identity, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    if not flags & _RESPONSE or questions != 1:
        raise ValueError("not a response to one question")
    name, offset = _name(message, _HEADER.size)
    record_type, _ = struct.unpack_from("!HH", message, offset)
    offset += 4
    records = []
    for _ in range(min(answers, _RECORDS) if not flags & _TRUNCATED else 0):
        _, offset = _name(message, offset)
        kind, _, _, length = _RECORD.unpack_from(message, offset)
        offset += _RECORD.size
        if offset + length > len(message):
            raise ValueError("a record runs over the end")
        records.append(Record(kind, _text(message, offset, length, kind=kind)))
        offset += length
    return Reply(identity, (name, record_type), flags & _CODE, bool(flags & _TRUNCATED), tuple(records))


def _name(message: bytes, offset: int) -> tuple[str, int]:
    """A name that may be compressed, and where the bytes after it begin."""
    labels: list[str] = []
    after: int | None = None
    for _ in range(_JUMPS + _NAME_BYTES):
        length = message[offset]
        if length & _POINTER == _POINTER:
            after = offset + 2 if after is None else after
            offset = struct.unpack_from("!H", message, offset)[0] & 0x3FFF
        elif length > _LABEL_BYTES:
            raise ValueError("unknown kind of label")
        elif length == 0:
            return ".".join(labels), offset + 1 if after is None else after
        else:
            label = message[offset + 1 : offset + 1 + length]
            if len(label) != length or len(labels) > _NAME_BYTES:
                raise ValueError("a label runs over the end")
            labels.append(label.decode("ascii", "backslashreplace").lower())
            offset += 1 + length
    raise ValueError("a name runs in circles")


def _text(message: bytes, offset: int, length: int, *, kind: int) -> str:
    """A record's data as zone files write it; other types as hexadecimal."""
    data = message[offset : offset + length]
    if kind in (TYPES["A"], TYPES["AAAA"]):
        return socket.inet_ntop(socket.AF_INET if kind == TYPES["A"] else socket.AF_INET6, data)
    if kind in (TYPES["CNAME"], TYPES["NS"]):
        return _name(message, offset)[0]
    if kind == TYPES["MX"]:
        return f"{struct.unpack_from('!H', data)[0]} {_name(message, offset + 2)[0]}"
    if kind == TYPES["TXT"]:
        return _strings(data)
    return data.hex()


def _strings(data: bytes) -> str:
    """A TXT record's pieces, joined as every consumer joins them."""
    pieces = []
    while data:
        pieces.append(data[1 : 1 + data[0]].decode("utf-8", "backslashreplace"))
        data = data[1 + data[0] :]
    return "".join(pieces)
