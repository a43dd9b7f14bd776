"""What stands around the product in a test: services that it watches, and a receiver of its webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.ports import free_ports
from tests.system.product import wait_for

START_SECONDS = 10.0
TOLERANCE_SECONDS = 300
PROPOSED_PORTS = range(20_000, 30_000)
"""Below the ports that the kernel hands out for a moment, which no agent proposes to check."""


class Service:
    """A real web server in a process of its own, which can be killed and started again on its port."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.port = port or free_ports(1)[0]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=quiet, stderr=quiet)
        wait_for(self._answers, START_SECONDS, "the watched service listens")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def service(folder: Path, port: int = 0) -> Iterator[Service]:
    """A service that runs."""
    made = Service(folder, port)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def proposable_port() -> int:
    """A free port of the kind that services have."""
    for port in PROPOSED_PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no port is free")


class Hook(NamedTuple):
    """One webhook as it came in."""

    at: float  # time.monotonic()
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.raw)
        return decoded

    def is_about(self, status: str, **labels: str) -> bool:
        """Whether it says that an alert with these labels is firing or resolved."""
        alert = self.body["alerts"][0]
        return bool(self.body["status"] == status and labels.items() <= alert["labels"].items())


class Receiver:
    """Takes webhooks and keeps them in order."""

    def __init__(self) -> None:
        self.hooks: list[Hook] = []
        hooks = self.hooks

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                hooks.append(Hook(time.monotonic(), {k.lower(): v for k, v in self.headers.items()}, raw))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def about(self, status: str, **labels: str) -> list[Hook]:
        """The webhooks that say so."""
        return [hook for hook in list(self.hooks) if hook.is_about(status, **labels)]

    @contextmanager
    def receiving(self) -> Iterator[Receiver]:
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def verify(hook: Hook, secret: str) -> None:
    """The check of a receiver that knows only the published specification of Standard Webhooks."""
    stamp = hook.headers["webhook-timestamp"]
    assert abs(time.time() - int(stamp)) < TOLERANCE_SECONDS
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b".".join((hook.headers["webhook-id"].encode(), stamp.encode(), hook.raw))
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    versions = [one.split(",", 1) for one in hook.headers["webhook-signature"].split(" ")]
    assert any(name == "v1" and hmac.compare_digest(given, expected) for name, given in versions)
