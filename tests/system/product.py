"""The product as a person starts it: real processes, ports and files; and whoever talks to it from outside."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from collector.domain.registers.kinds import slugify
from collector.remote import Remote
from tests.ports import free_ports

PROGRAMS = Path(sys.executable).parent
SIGAP, SIGAP_AGENT = str(PROGRAMS / "sigap"), str(PROGRAMS / "sigap-agent")
HOST = slugify(socket.gethostname())
"""The key under which `sigap up` knows the host that the tests run on."""

START_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05
LOG_CHARACTERS = 8_000
TRACE = "Traceback (most recent call last)"

T = TypeVar("T")


def wait_for(condition: Callable[[], T], seconds: float, what: str = "") -> T:
    """The first true answer of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or condition}"
        time.sleep(POLL_SECONDS)
    return found


def measured(what: str, value: float, unit: str = "s") -> None:
    """Print a figure that the test measured; `pytest -rP` shows it."""
    print(f"measured: {what} = {value:.3g} {unit}")


def clean_environment(**more: str) -> dict[str, str]:
    """Our own, without settings of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SIGAP_")} | more


class Answer(NamedTuple):
    """What an HTTP request came back with."""

    status: int
    headers: http.client.HTTPMessage
    text: str


class Browser:
    """A person at the web UI: keeps the session, sends forms as a browser does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cookie = ""

    def request(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request, without following redirects."""
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            sent = {"Cookie": self.cookie, **(headers or {})}
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            for value in response.headers.get_all("Set-Cookie", []):
                self.cookie = value.partition(";")[0]
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def submit(self, page: str, action: str, **fields: str) -> Answer:
        """Open `page`, fill in its form and send it to `action`."""
        found = re.search(
            r'name="csrf" value="([^"]+)"', self.request("GET", page, headers={"Accept": "text/html"}).text
        )
        assert found, f"{page} has no form"
        body = urllib.parse.urlencode({"csrf": found[1], **fields})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{self.address}"}
        return self.request("POST", action, body, headers)

    def json(self, path: str) -> Any:
        """A page's data."""
        answer = self.request("GET", path)
        assert answer.status == 200, f"{path}: {answer.status} {answer.text[:500]}"
        return json.loads(answer.text)

    def events(self, path: str, seconds: float) -> Iterator[tuple[str, Any]]:
        """What an event stream says, as name and data, until it has been silent for so long."""
        connection = http.client.HTTPConnection(self.address, timeout=seconds)
        try:
            connection.request("GET", path, headers={"Cookie": self.cookie})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            name = ""
            for line in iter(response.readline, b""):
                field, _, value = line.decode().strip().partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)
        finally:
            connection.close()


class Product:
    """`sigap up` and what belongs to it. The folder's path is short, as a Unix socket's must be.

    Args:
        folder: Data directory; kept over restarts.
        agent_text: More for the local agent's file, TOML.
        environment: Settings of both programs.
    """

    def __init__(self, folder: Path, *, agent_text: str = "", environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        web, telemetry, enrolment = free_ports(3)
        self.address = f"127.0.0.1:{web}"
        self.telemetry = f"127.0.0.1:{telemetry}"
        self.enrolment = f"127.0.0.1:{enrolment}"
        own = {
            "SIGAP_WEB__ADDRESS": self.address,
            "SIGAP_TELEMETRY__ADDRESS": self.telemetry,
            "SIGAP_ENROLMENT__ADDRESS": self.enrolment,
        }
        self.environment = clean_environment(**own | dict(environment or {}))
        agent = folder / "agent"
        folder.mkdir(mode=0o700)
        agent.mkdir(mode=0o700)
        (agent / "agent.toml").write_text(
            f'central_checks = "allow"\n[state]\ndirectory = "{agent}"\n{agent_text}', encoding="utf-8"
        )
        self.browser = Browser(self.address)
        self.process: subprocess.Popen[bytes] | None = None
        self.printed_at = 0.0

    def start(self) -> None:
        """Start it and wait for the address that it prints."""
        before = self.output()
        with self.log.open("ab") as log:
            command = [SIGAP, "up", "--data", str(self.folder)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        process = self.process
        wait_for(
            lambda: process.poll() is not None or "Ctrl+C" in self.output()[len(before) :],
            START_SECONDS,
            "sigap up prints its address",
        )
        self.printed_at = time.monotonic()
        assert process.poll() is None, self.output()

    def output(self) -> str:
        """Everything that was printed and logged so far, by collector and agent."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def sign_in(self) -> None:
        """Open the link that was printed last."""
        link = re.findall(r"/sign-in\?link=(\S+)", self.output())[-1]
        answer = self.browser.submit(f"/sign-in?link={link}", "/sign-in", link=link, next="/")
        assert answer.status == 303, answer.text[:500]

    def stop(self) -> float:
        """Stop it as a service manager does; the seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        took = time.monotonic() - began
        self.process = None
        assert code == 0, f"exit code {code}: {self.output()}"
        assert TRACE not in self.output(), self.output()
        return took

    def kill(self) -> None:
        """End whatever still runs, after a test that failed."""
        if self.process is not None and self.process.poll() is None:
            agent = self.agent_pid()
            self.process.kill()
            self.process.wait()
            if agent:
                os.kill(agent, signal.SIGKILL)

    def agent_pid(self) -> int:
        """The local agent's process; 0 when there is none."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def json(self, path: str) -> Any:
        """A page's data as the signed-in person gets it."""
        return self.browser.json(path)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask over the control socket, as the command line does."""
        return Remote(self.folder).call(method, path, body)

    def apply(self, text: str) -> None:
        """Apply records, as the command line does."""
        self.control("POST", "/apply", {"files": {"records.yaml": text}})

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """One command of `sigap` about this instance."""
        return run(SIGAP, *arguments, "--data", str(self.folder), text=text)

    def hosts(self) -> list[str]:
        """Keys of the hosts."""
        return [one["key"] for one in self.control("GET", "/host")["items"]]

    def check_state(self, key: str) -> str:
        """The state of one of this host's checks, or nothing when there is no such check."""
        found = {one["check"]["key"]: one["check"]["state"] for one in self.json(f"/hosts/{HOST}.json")["checks"]}
        return str(found.get(key, ""))


def run(*command: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    return subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(**environment),
        check=False,
    )


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="sg", dir="/tmp") as name:
        yield Path(name)


@contextmanager
def product(
    *, agent_text: str = "", environment: Mapping[str, str] | None = None, started: bool = True
) -> Iterator[Product]:
    """A product for one test: started, signed in, and stopped without a complaint."""
    with short_folder() as folder:
        made = Product(folder / "d", agent_text=agent_text, environment=environment)
        try:
            if started:
                made.start()
                made.sign_in()
            yield made
            if made.process is not None:
                made.stop()
        except BaseException:
            print(f"log of sigap up:\n{made.output()[-LOG_CHARACTERS:]}")
            raise
        finally:
            made.kill()


def program(name: str) -> str | None:
    """Where a program of somebody else is, if it is installed."""
    return shutil.which(name)
