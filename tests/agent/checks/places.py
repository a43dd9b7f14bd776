"""Servers that answer well and badly, each on a port of its own: what two probers are compared by."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from agent.probes.dns_message import TYPES

from .conftest import Authority, black_hole, listener, refusing, responder, website

SLOW_SECONDS = 0.3
FOREVER_SECONDS = 3.0
"""Longer than any attempt here may take."""
PIECE_SECONDS = 0.1
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
TRUNCATED = 0x0200
ADDRESS = (TYPES["A"], bytes((192, 0, 2, 7)))
NAMES = ("127.0.0.1", "localhost")


def reply(question: bytes, *records: tuple[int, bytes], code: int = 0, flags: int = 0) -> bytes:
    """A name server's answer, made by hand: every record is about the name at offset 12."""
    head = question[:2] + struct.pack("!HHHHH", 0x8180 | code | flags, 1, len(records), 0, 0)
    body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for kind, data in records)
    end = question.index(b"\0", 12) + 5  # name, type, class; a question may carry an OPT record behind them
    return head + question[12:end] + body


def _request(connection: socket.socket) -> bytes:
    asked = b""
    while b"\r\n\r\n" not in asked and (piece := connection.recv(4096)):
        asked += piece
    return asked


def _says(*pieces: bytes, pause_seconds: float = 0.0) -> Callable[[socket.socket], None]:
    """A server that says the same to every request, with a pause before each piece."""

    def handle(connection: socket.socket) -> None:
        _request(connection)
        for piece in pieces:
            time.sleep(pause_seconds)
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_RDWR)

    return handle


def _reset(connection: socket.socket) -> None:
    _request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def _wants_host(connection: socket.socket) -> None:
    named = b"\r\nhost: 127.0.0.1" in _request(connection).lower()
    status = b"200 OK" if named else b"400 Bad Request"
    connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _greets(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.recv(100)


def _late_handshake(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        time.sleep(SLOW_SECONDS)
        with context.wrap_socket(connection, server_side=True) as secured:
            _request(secured)
            secured.sendall(HEAD + b"Content-Length: 2\r\n\r\nok")
            secured.unwrap()

    return handle


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
ZIPPED = gzip.compress(b"Welcome to the shop")
CONVERSATIONS: Mapping[str, Callable[[socket.socket], None]] = {
    "reset": _reset,
    "hangs_up": lambda connection: connection.close(),
    "greets": _greets,
    "wants_host": _wants_host,
    "chunked": _says(HEAD + b"Transfer-Encoding: chunked\r\n\r\n7\r\nWelcome\r\n5\r\n shop\r\n0\r\n\r\n"),
    "bad_chunk": _says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nWelcome\r\n"),
    "gzip": _says(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED),
    "http10": _says(b"HTTP/1.0 200 OK\r\n\r\nWelcome"),
    "short": _says(HEAD + b"Content-Length: 100\r\n\r\nWelcome"),
    "no_content": _says(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    "no_location": _says(b"HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    "drips": _says(HEAD + b"Content-Length: 100\r\n\r\n", *[b"x"] * 40, pause_seconds=PIECE_SECONDS),
    "late": _says(HEAD + b"Content-Length: 2\r\n\r\nok", pause_seconds=SLOW_SECONDS),
    "late_body": _says(HEAD + b"Content-Length: 2\r\n\r\n", b"ok", pause_seconds=SLOW_SECONDS),
    "nonsense": _says(b"what?\r\n"),
}
QUESTIONS: Mapping[str, Callable[[bytes], list[bytes]]] = {
    "dns": lambda question: [reply(question, ADDRESS)],
    "dns_none": lambda question: [reply(question)],
    "dns_nxdomain": lambda question: [reply(question, code=3)],
    "dns_servfail": lambda question: [reply(question, code=2)],
    "dns_refused": lambda question: [reply(question, code=5)],
    "dns_other": lambda question: [bytes((question[0] ^ 1,)) + reply(question, ADDRESS)[1:]],
    "dns_cut": lambda question: [reply(question, flags=TRUNCATED)],
}


@contextmanager
def places(authority: Authority) -> Iterator[dict[str, int]]:
    """Every server by name, as its port."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.load_cert_chain(authority.stranger())
    contexts = {
        "https": authority.context(*NAMES),
        "https_chain": authority.context(*NAMES, days=60, through_days=30),
        "https_expired": authority.context(*NAMES, days=-1),
        "https_other_name": authority.context("elsewhere.example"),
        "https_stranger": stranger,
    }
    with ExitStack() as stack:
        found = {name: stack.enter_context(listener(handle)) for name, handle in CONVERSATIONS.items()}
        found |= {name: stack.enter_context(responder(answer)) for name, answer in QUESTIONS.items()}
        found |= {name: stack.enter_context(website(context)) for name, context in contexts.items()}
        found["site"] = stack.enter_context(website())
        found["late_tls"] = stack.enter_context(listener(_late_handshake(contexts["https"])))
        found["silent"] = stack.enter_context(black_hole(socket.SOCK_STREAM))
        found["dns_silent"] = stack.enter_context(black_hole())
        found["six"] = stack.enter_context(website(address="::1"))
        found["dns_long"] = stack.enter_context(_both_ways())
        found["closed"] = stack.enter_context(refusing())
        yield found


@contextmanager
def _both_ways() -> Iterator[int]:
    """A name server whose answer is too long for UDP."""

    def handle(connection: socket.socket) -> None:
        answer = reply(connection.recv(4096)[2:], *[ADDRESS] * 40)
        connection.sendall(struct.pack("!H", len(answer)) + answer)

    with listener(handle) as port, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", port))
        datagrams.settimeout(PIECE_SECONDS)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    question, sender = datagrams.recvfrom(4096)
                except TimeoutError:
                    continue
                datagrams.sendto(reply(question, flags=TRUNCATED), sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield port
        over.set()
        thread.join(5)
