"""An agent that is not heard: unknown, never down; what it saw meanwhile comes on record and wakes nobody."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_ports
from tests.system.product import HOST, Product, measured, product, wait_for
from tests.system.shop import SERVICE, agent_text, is_seen, is_up, shop, told
from tests.system.surroundings import Receiver, service

pytestmark = pytest.mark.system

SECONDS = 20.0
SILENT_SECONDS = 30.0
"""Without a sign of life for so long a host is unknown."""
GRACE_SECONDS = 90.0
"""After a start services are not called unknown for so long, as agents need a moment to find their way back."""
SLACK_SECONDS = 10.0
BACK_SECONDS = 30.0
RULE = """
---
register: rule
key: agent-silent
level: 35
clear_level: 35
"""


class Line:
    """A network between agent and collector that can be cut and mended."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_cut = self._is_over = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection and let none through from now on."""
        self._is_cut = True
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def close(self) -> None:
        """End for good."""
        self._is_over = True
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_over:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=_relay, args=(near, far), daemon=True).start()


def _relay(near: socket.socket, far: socket.socket) -> None:
    with near, far, selectors.DefaultSelector() as ready:
        ready.register(near, selectors.EVENT_READ, far)
        ready.register(far, selectors.EVENT_READ, near)
        with suppress(OSError):
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                    if not data:
                        return
                    key.data.sendall(data)


@contextmanager
def line(target: str) -> Iterator[Line]:
    made = Line(target)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().receiving() as made:
        yield made


def prepare(running: Product, receiver: Receiver) -> None:
    """A service with its check, a channel, and a rule about silence that need not be waited for so long."""
    is_seen(running, SECONDS)
    running.apply(SERVICE + told(receiver.url) + RULE)
    is_up(running, SECONDS)


def outages(running: Product) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop(running)["month"]["outages"]
    return found


def host_state(running: Product) -> str:
    return str(running.json(f"/hosts/{HOST}.json")["host"]["state"])


@pytest.mark.xdist_group("silence")
@pytest.mark.timeout(240)
def test_a_frozen_agent_makes_its_host_and_services_unknown_and_never_down(tmp_path: Path, receiver: Receiver) -> None:
    with (
        service(tmp_path) as watched,
        product(agent_text=agent_text(watched.port)) as running,
    ):
        prepare(running, receiver)
        agent, frozen = running.agent_pid(), time.monotonic()
        os.kill(agent, signal.SIGSTOP)
        try:
            wait_for(lambda: host_state(running) == "unknown", SILENT_SECONDS + SLACK_SECONDS, "the host is unknown")
            measured("agent frozen to its host unknown", time.monotonic() - frozen)
            (told,) = wait_for(lambda: receiver.about("firing", alertname="agent-silent"), SECONDS, "the alert")
            measured("agent frozen to the webhook about it", told.at - frozen)
            assert told.body["alerts"][0]["labels"]["instance"] == HOST
            left = GRACE_SECONDS - (time.monotonic() - running.printed_at)
            wait_for(lambda: shop(running)["service"]["state"] == "unknown", left + SLACK_SECONDS, "unknown service")
            month = shop(running)["month"]
            assert month["down_ms"] == 0
            assert month["unknown_ms"] > 0
            assert month["outages"] == []
        finally:
            os.kill(agent, signal.SIGCONT)
        back = time.monotonic()
        wait_for(lambda: host_state(running) == "up", BACK_SECONDS, "the host is up")
        wait_for(lambda: shop(running)["service"]["state"] == "up", BACK_SECONDS, "the service is up")
        measured("agent back to host and service up", time.monotonic() - back)
        wait_for(lambda: receiver.about("resolved", alertname="agent-silent"), SECONDS, "the end of the alert")
        assert receiver.about("firing", alertname="check-down") == []
        assert shop(running)["month"]["down_ms"] == 0


@pytest.mark.xdist_group("cut off")
@pytest.mark.timeout(180)
def test_what_a_host_saw_while_it_was_cut_off_is_put_on_record_and_pages_nobody(
    tmp_path: Path, receiver: Receiver
) -> None:
    telemetry = f"127.0.0.1:{free_ports(1)[0]}"
    with line(telemetry) as between, service(tmp_path) as watched:
        settings = {"SIGAP_TELEMETRY__ADDRESS": telemetry, "SIGAP_AGENT_COLLECTOR__ADDRESS": between.address}
        with product(agent_text=agent_text(watched.port), environment=settings) as running:
            prepare(running, receiver)
            assert outages(running) == []
            between.cut()
            cut_ms = int(time.time() * 1000)
            wait_for(lambda: host_state(running) == "unknown", SILENT_SECONDS + SLACK_SECONDS, "the host is unknown")
            watched.kill()
            time.sleep(5)
            watched.start()
            time.sleep(3)
            mended_ms = int(time.time() * 1000)
            between.mend()
            wait_for(
                lambda: any(one["until_ms"] < mended_ms for one in outages(running)), BACK_SECONDS * 3, "the outage"
            )
            wait_for(lambda: host_state(running) == "up", SECONDS, "the host is up")
            measured("network mended to the past on record", time.time() - mended_ms / 1000)
            wait_for(lambda: shop(running)["service"]["state"] == "up", SECONDS, "the service is up")
            wait_for(lambda: shop(running)["month"]["unknown_ms"] == 0, SECONDS, "nothing unknown is left")
            month = shop(running)["month"]
            (outage,) = month["outages"]
            assert cut_ms < outage["since_ms"] < outage["until_ms"] < mended_ms
            assert month["down_ms"] == outage["counted_ms"] == outage["until_ms"] - outage["since_ms"]
            assert receiver.about("firing", alertname="check-down") == []
            window = f"since={cut_ms}&until={mended_ms}"
            loads = running.json(f"/api/v1/series?match=node_load1&host={HOST}&{window}")["series"][0]["times"]
            assert len(loads) >= (mended_ms - cut_ms) // 10_000 - 1
