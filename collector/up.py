"""`sigap up`: the collector and an agent on this host, together, for the first minutes and for small places.

The agent runs as a process of its own, enrolled without questions by a one-time token in a private file. Loopback only,
unless the settings say otherwise: what needs no password here is said when it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import Any

from collector.app import Collector
from collector.config import PREFIX, default_data
from collector.service_manager import ServiceManager
from collector.store import agents

log = logging.getLogger(__name__)

LOCAL_ACCOUNT = "local"
AGENT_FILE = """\
# The agent that `sigap up` runs on this host. Add checks here, or accept proposals on the host's page.
central_checks = "allow"

[log]
level = "warning"  # The person who starts both wants to read the link above all.
"""
IDENTITY_FILE = "identity.json"
"""Where an agent keeps who it is."""
FRUGAL = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TOP_PAD_": "16384",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "PYTHONNODEBUGRANGES": "1",
}
"""So that the C library holds no memory for each thread and little of what is free, and Python keeps no columns for
marks below the lines of traces; as in the unit of systemd."""
RESTART_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
CALM_SECONDS = 60.0
"""An agent that ran for so long is restarted at once, whatever was before."""
STOP_SECONDS = 10.0
TURN_SECONDS = 0.001
OURS, AGENTS = "SIGAP_", "SIGAP_AGENT_"
"""How the names of our settings and of the agent's begin in the environment."""


class LocalAgent:
    """The agent process: enrolled once, restarted when it ends, stopped with us."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "agent.toml"
        self._token = folder / "token"
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, collector: Collector) -> None:
        """Enrol when there is no valid identity yet, and run until `stop`."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._config.exists():
            self._config.write_text(AGENT_FILE, encoding="utf-8")
        if not await self._is_enrolled(collector):
            # An agent prefers the identity it has; one that the collector does not know any more is of no use.
            (self._folder / IDENTITY_FILE).unlink(missing_ok=True)
            issued = await collector.enroller.issue("sigap up", socket.gethostname())
            _write_private(self._token, issued.secret)
        self._task = asyncio.create_task(self._keep_running(), name="local agent")

    async def stop(self) -> None:
        """Let it say goodbye, and wait."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _is_enrolled(self, collector: Collector) -> bool:
        """Whether this directory's identity is one that the collector still takes."""
        if not (self._folder / IDENTITY_FILE).exists():
            return False
        known = await collector.db.read(agents.list_agents)
        return any(one.host_name == socket.gethostname() and one.status == agents.ACTIVE for one in known)

    async def _keep_running(self) -> None:
        # The directory may be copied elsewhere, so that its own file must not name it.
        environment = {
            **FRUGAL,
            # Its settings, and none of the collector's: they may hold the database's password.
            **{
                name: value
                for name, value in os.environ.items()
                if name.startswith(AGENTS) or not name.startswith(OURS)
            },
            "SIGAP_AGENT_STATE__DIRECTORY": str(self._folder.absolute()),
        }
        if self._token.exists():
            environment["SIGAP_AGENT_ENROLMENT__TOKEN_FILE"] = str(self._token)
        if not (self._folder / IDENTITY_FILE).exists():
            # In a process of its own, so that the one that stays does not carry the library that makes keys (3 MiB).
            # Should it fail, the other one says why and tries again.
            await self._spawn("enrol", environment, output=subprocess.DEVNULL)
        attempts = 0
        while True:
            began = time.monotonic()
            code = await self._spawn("run", environment, "--while-stdin")
            attempts = 0 if time.monotonic() - began > CALM_SECONDS else attempts + 1
            pause = RESTART_SECONDS[min(attempts, len(RESTART_SECONDS) - 1)]
            log.warning("local agent ended code=%d restart_seconds=%g", code, pause)
            await asyncio.sleep(pause)

    async def _spawn(self, command: str, environment: dict[str, str], *more: str, output: int | None = None) -> int:
        """Run one command of the agent to its end; the exit code. Its standard input closes when we end in any way."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agent",
            command,
            "--config",
            str(self._config),
            *more,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
        return await self._process.wait()


async def up(collector: Collector, *, browser: bool, quiet: bool = False) -> None:
    """Run collector and agent until SIGINT or SIGTERM, or until the database fails.

    Raises:
        CollectorError: A port is taken, the database failed, or the agent cannot be started.
    """
    stopping = stopped_by_signals()
    agent = LocalAgent(collector.settings.data / "agent")
    await collector.start()
    try:
        await agent.start(collector)
        await _greet(collector, browser=browser, quiet=quiet)
        await _until(stopping, collector)
    finally:
        await agent.stop()
        await collector.stop()


def stopped_by_signals(stopping: asyncio.Event | None = None) -> asyncio.Event:
    """What SIGINT and SIGTERM set from now on."""
    stopping = stopping or asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def serve(collector: Collector, *, stopping: asyncio.Event | None = None) -> None:
    """Run the collector alone until SIGINT or SIGTERM, or until the database fails."""
    stopping = stopped_by_signals(stopping)
    manager = ServiceManager(os.environ)
    await collector.start()
    watchdog = asyncio.create_task(manager.feed_watchdog(collector.is_alive), name="watchdog")
    try:
        print(f"Sigap serves {collector.settings.url}", flush=True)
        if not await collector.access.is_set_up():
            link = await collector.access.setup_link()
            print(f"Set it up within 15 minutes: {collector.settings.url}/setup?link={link}", flush=True)
        manager.tell("READY=1")
        await _until(stopping, collector)
    finally:
        manager.tell("STOPPING=1")
        watchdog.cancel()
        await collector.stop()


async def _greet(collector: Collector, *, browser: bool, quiet: bool) -> None:
    url = collector.settings.url
    await collector.access.ensure_local_account(LOCAL_ACCOUNT)
    link = f"{url}/sign-in?link={await collector.access.sign_in_link(LOCAL_ACCOUNT)}"
    lines = [f"Sigap serves {url}", f"Open it, signed in (once, 15 minutes): {link}"]
    if collector.settings.web.open_on_loopback:
        lines.append("On this host /metrics, /federate and service discovery need no token; everything else does.")
    data = collector.settings.data.absolute()
    if str(data) != default_data():
        # Where commands look by themselves is elsewhere.
        lines.append(f"For commands in another terminal: export {PREFIX}STORE__DATA={shlex.quote(str(data))}")
    lines.append(f"Ctrl+C stops it; what was measured stays in {data}")
    print("\n".join(lines), flush=True)
    if browser and not quiet:
        with contextlib.suppress(webbrowser.Error):
            await asyncio.to_thread(webbrowser.open, link)


def settle() -> None:
    """Take what is loaded by now out of garbage collection, and let threads take turns more often.

    What is loaded stays anyway, and looking through it stops everything. Measured: 128,000 objects, 70 ms in which
    nobody is answered, as often as a few large pages are asked for.

    A commit gives the interpreter away at each of its statements, and behind a thread that renders a page waits a turn
    to get it back: by default 5 ms, thirty times. Measured with 500 hosts while large pages are asked for: 6 ms of work
    took 150 ms.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(TURN_SECONDS)


async def _until(stopping: asyncio.Event, collector: Collector) -> None:
    settle()
    waiting = asyncio.create_task(stopping.wait())
    both: tuple[asyncio.Future[Any], ...] = (waiting, collector.broken)
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if collector.broken.done():
        raise collector.broken.result()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
