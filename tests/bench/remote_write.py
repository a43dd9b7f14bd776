"""The peers: VictoriaMetrics and Prometheus take the same samples by remote write 1.0, as their own agents send them.

The request is protobuf in a snappy block. The block is made of literals only: valid, and cheaper for the server to open
than a compressed one.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from collector.domain.series import Layout

LITERAL = 1 << 20
"""Bytes in one literal of a snappy block; its tag carries the length in four bytes."""
READY_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that takes remote write."""

    name: str
    program: str
    arguments: tuple[str, ...]  # with {port} and {folder}
    ready: str
    write: str

    @property
    def is_installed(self) -> bool:
        return shutil.which(self.program) is not None


PEERS = (
    Peer(
        "VictoriaMetrics",
        "victoria-metrics",
        ("-storageDataPath={folder}", "-httpListenAddr=127.0.0.1:{port}", "-loggerLevel=ERROR"),
        "/health",
        "/api/v1/write",
    ),
    Peer(
        "Prometheus",
        "prometheus",
        (
            "--config.file={folder}/prometheus.yml",
            "--storage.tsdb.path={folder}/data",
            "--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
            "--log.level=error",
        ),
        "/-/ready",
        "/api/v1/write",
    ),
)


@contextmanager
def running(peer: Peer) -> Iterator[tuple[int, str]]:
    """A fresh server: its process id and the address to write to."""
    with tempfile.TemporaryDirectory(prefix="sigap-peer-") as folder:
        Path(folder, "prometheus.yml").write_text("global: {}\n", encoding="ascii")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [peer.program, *(each.format(port=port, folder=folder) for each in peer.arguments)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(f"http://127.0.0.1:{port}{peer.ready}")
            yield process.pid, f"http://127.0.0.1:{port}{peer.write}"
        finally:
            process.terminate()
            process.wait(30)


class Writer:
    """Builds requests; the labels of each series are encoded once."""

    def __init__(self, layout: Layout, hosts: int) -> None:
        self._prefixes = [
            [
                _labels({"__name__": c.name, **dict(c.labels), "instance": f"h{host}", "job": "node"})
                for c in layout.columns
            ]
            for host in range(hosts)
        ]

    def request(self, rows: Sequence[tuple[int, int, bytes]]) -> bytes:
        """One request for some hosts' rows (host, time, packed values)."""
        parts = []
        for host, wall_ms, values in rows:
            stamp = b"\x10" + _varint(wall_ms)
            size = _varint(9 + len(stamp))
            for at, labels in enumerate(self._prefixes[host]):
                body = b"".join((labels, b"\x12", size, b"\x09", values[8 * at : 8 * at + 8], stamp))
                parts += (b"\x0a", _varint(len(body)), body)
        return _snappy(b"".join(parts))


def send(address: str, body: bytes) -> None:
    """Write one request; raises when the server refuses it."""
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=30) as answer:
        answer.read()


def _labels(labels: dict[str, str]) -> bytes:
    parts = []
    for name, value in sorted(labels.items()):
        pair = b"\x0a" + _text(name) + b"\x12" + _text(value)
        parts.append(b"\x0a" + _varint(len(pair)) + pair)
    return b"".join(parts)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _snappy(body: bytes) -> bytes:
    parts = [_varint(len(body))]
    for start in range(0, len(body), LITERAL):
        piece = body[start : start + LITERAL]
        parts += (b"\xfc", struct.pack("<I", len(piece) - 1), piece)
    return b"".join(parts)


def _wait(address: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
