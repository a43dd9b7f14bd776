"""Asking a service on the system's D-Bus: method calls with text arguments, replies of any type.

The few lines of the D-Bus protocol that reading systemd's state takes, so that the agent needs neither a library nor
a program. Read-only by use: the callers here only call methods that list and get.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from pathlib import Path
from typing import Any

from agent.probes import endpoint
from agent.probes.attempts import CannotProbe
from agent.probes.endpoint import Deadline
from agent.reason import Reason

SYSTEM_BUS = Path("/run/dbus/system_bus_socket")

_CALL, _RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_TO, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_REPLY_BYTES = 8 * 1024 * 1024
_HEADER_BYTES = 16
_SCALARS = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "b": "I", "h": "I"}
_DEPTH = 16
# What dbus-daemon does with a user that it cannot look up, such as DynamicUser= makes (systemd/systemd#22737).
_TURNED_AWAY = Reason(
    "The D-Bus daemon turned this user away. It knows no users that systemd makes up (DynamicUser=): "
    "create the user sigap-agent and restart the agent"
)


class CallFailed(Exception):
    """The service answered with an error; `name` is the error's own."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text or name)
        self.name = name


class _Closed(CannotProbe):
    """The bus hung up on us."""


class Bus:
    """One authenticated connection to a bus.

    Raises:
        CannotProbe: There is no bus, or it does not let us in.
    """

    def __init__(self, path: Path, deadline: Deadline) -> None:
        self._deadline = deadline
        self._serial = 0
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._link.settimeout(deadline.left())
            self._link.connect(str(path))
            self._authenticate()
        except OSError as error:
            self._link.close()
            words = str(error.strerror or error)
            raise CannotProbe(Reason("No D-Bus at {path}: {error}", path=str(path), error=words)) from None
        try:
            self._link.sendall(b"BEGIN\r\n")
            self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Hello")
        except (ConnectionError, _Closed):
            self._link.close()
            raise CannotProbe(_TURNED_AWAY) from None
        except (CallFailed, CannotProbe):
            self._link.close()
            raise

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def call(self, destination: str, path: str, method: str, *arguments: str) -> list[Any]:
        """Call `interface.Member` with text arguments and wait for what it returns.

        Raises:
            CallFailed: The service answered with an error.
            CannotProbe: The bus closed the connection, sent nonsense or did not answer in time.
        """
        try:
            return self._call(_message(self._serial + 1, destination, path, method, arguments))
        except TimeoutError:
            raise CannotProbe(
                Reason(
                    "{name} did not answer on D-Bus within {seconds} s",
                    name=destination,
                    seconds=self._deadline.seconds,
                )
            ) from None
        except ConnectionError:
            raise _Closed(Reason("The D-Bus daemon closed the connection")) from None

    def _call(self, message: bytes) -> list[Any]:
        self._serial += 1
        self._link.settimeout(self._deadline.left())
        self._link.sendall(message)
        while True:
            kind, fields, body = self._receive()
            if fields.get(_REPLY_TO) != self._serial or kind not in (_RETURN, _ERROR):
                continue  # A signal, or an answer to somebody else.
            values = _Reader(body).all(str(fields.get(_SIGNATURE, "")))
            if kind == _ERROR:
                raise CallFailed(str(fields.get(_ERROR_NAME, "")), str(values[0]) if values else "")
            return values

    def _authenticate(self) -> None:
        identity = str(os.getuid()).encode().hex()
        self._link.sendall(b"\0AUTH EXTERNAL " + identity.encode() + b"\r\n")
        answer = b""
        while not answer.endswith(b"\r\n"):
            piece = endpoint.receive(self._link, 256, self._deadline)
            answer += piece
            if not piece or len(answer) > 1024:
                raise OSError("the bus closed the connection while we said who we are")
        if not answer.startswith(b"OK "):
            raise PermissionError("the bus does not accept this user")

    def _receive(self) -> tuple[int, dict[int, Any], bytes]:
        head = self._exactly(_HEADER_BYTES)
        if head[:1] != b"l":
            raise CannotProbe(Reason("The D-Bus daemon answered in an unknown format"))
        body_length, _, fields_length = struct.unpack_from("<III", head, 4)
        padded = (fields_length + 7) & ~7
        if body_length + padded > _REPLY_BYTES:
            raise CannotProbe(Reason("The D-Bus daemon sent too large an answer"))
        rest = self._exactly(padded + body_length)
        reader = _Reader(head[12:16] + b"\0\0\0\0" + rest[:padded], offset=0)
        fields = dict(reader.fields(fields_length))
        return head[1], fields, rest[padded:]

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = endpoint.receive(self._link, size - len(data), self._deadline)
            if not piece:
                raise _Closed(Reason("The D-Bus daemon closed the connection"))
            data += piece
        return bytes(data)


def _message(serial: int, destination: str, path: str, method: str, arguments: tuple[str, ...]) -> bytes:
    interface, _, member = method.rpartition(".")
    fields = [
        (_PATH, "o", path),
        (_DESTINATION, "s", destination),
        (_INTERFACE, "s", interface),
        (_MEMBER, "s", member),
    ]
    body = b""
    for argument in arguments:
        body = _aligned(body, 4) + _string(argument)
    packed = b""
    for code, signature, value in fields:
        packed = _aligned(packed, 8) + bytes((code, 1)) + signature.encode() + b"\0" + _string(value)
    if arguments:
        packed = _aligned(packed, 8) + bytes((_SIGNATURE, 1)) + b"g\0" + _signature("s" * len(arguments))
    head = struct.pack("<cBBBIII", b"l", _CALL, 0, 1, len(body), serial, len(packed))
    return _aligned(head + packed, 8) + body


def _aligned(data: bytes, size: int) -> bytes:
    return data + b"\0" * (-len(data) % size)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def _signature(text: str) -> bytes:
    return bytes((len(text),)) + text.encode() + b"\0"


class _Reader:
    """Values out of little-endian D-Bus bytes, by signature."""

    def __init__(self, data: bytes, *, offset: int = 0) -> None:
        self._data = data
        self._at = offset

    def all(self, signature: str) -> list[Any]:
        values = []
        try:
            while signature:
                value, signature = self._value(signature, 0)
                values.append(value)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise CannotProbe(
                Reason("The D-Bus daemon sent an answer that cannot be read: {error}", error=str(error))
            ) from None
        return values

    def fields(self, length: int) -> list[tuple[int, Any]]:
        """The header fields: an array of (code, variant) that begins after the array's length."""
        self._at = 8
        found = []
        while self._at < 8 + length:
            code, value = self.all("(yv)")[0]
            found.append((code, value))
        return found

    def _align(self, size: int) -> None:
        self._at += -self._at % size

    def _number(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        self._align(size)
        (value,) = struct.unpack_from("<" + code, self._data, self._at)
        self._at += size
        return value

    def _text(self, length: int) -> str:
        raw = self._data[self._at : self._at + length]
        self._at += length + 1
        return raw.decode()

    def _value(self, signature: str, depth: int) -> tuple[Any, str]:
        """One value and the rest of the signature."""
        kind, rest = signature[0], signature[1:]
        if depth > _DEPTH:
            raise IndexError("nested too deeply")
        if kind in _SCALARS:
            return self._number(_SCALARS[kind]), rest
        if kind in "so":
            return self._text(self._number("I")), rest
        if kind == "g":
            return self._text(self._number("B")), rest
        if kind == "v":
            inner = self._text(self._number("B"))
            return self._value(inner, depth + 1)[0], rest
        if kind == "a":
            return self._array(rest, depth)
        if kind in "({":
            return self._structure(rest, depth)
        raise IndexError(f"unknown type {kind!r}")

    def _array(self, signature: str, depth: int) -> tuple[list[Any], str]:
        length = self._number("I")
        self._align(8 if signature[0] in "({xtd" else 4 if signature[0] in "soaiub" else 1)
        end = self._at + length
        if end > len(self._data):
            raise IndexError("an array runs over the end")
        rest = signature[_complete_type(signature) :]
        values = []
        while self._at < end:
            values.append(self._value(signature, depth + 1)[0])
        return values, rest

    def _structure(self, signature: str, depth: int) -> tuple[tuple[Any, ...], str]:
        self._align(8)
        values = []
        while signature[0] not in ")}":
            value, signature = self._value(signature, depth + 1)
            values.append(value)
        return tuple(values), signature[1:]


def _complete_type(signature: str) -> int:
    """How many characters the first complete type of a signature has."""
    prefix = len(re.match(r"a*", signature).group())  # type: ignore[union-attr]
    depth = 0
    for position, character in enumerate(signature[prefix:], prefix):
        depth += (character in "({") - (character in ")}")
        if not depth:
            return position + 1
    raise IndexError("an incomplete type")
