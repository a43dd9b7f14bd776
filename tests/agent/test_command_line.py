"""The program as people start it: real processes, real files, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.version import VERSION

PROGRAM = [sys.executable, "-m", "agent"]
DEADLINE_SECONDS = 20


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept, "CONFIGURATION_DIRECTORY": str(folder), "STATE_DIRECTORY": str(folder / "state"),
        "PYTHONWARNINGS": "error", **more,
    }  # fmt: skip


def agent(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {DEADLINE_SECONDS} s"
        time.sleep(0.02)


def test_help_shows_examples_and_version_is_the_packages(tmp_path: Path) -> None:
    shown = agent(tmp_path, "--help")
    assert shown.returncode == 0
    assert "sigap-agent once" in shown.stdout
    assert agent(tmp_path, "--version").stdout == f"sigap-agent {VERSION}\n"


def test_unknown_command_is_a_usage_error(tmp_path: Path) -> None:
    assert agent(tmp_path, "explode").returncode == 2


def test_check_config_shows_effective_values_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text(
        "checks: [{name: api, kind: http, url: 'http://a/?k=geheim', headers: {X-Key: geheim}}]"
    )
    found = agent(tmp_path, "check-config", "--json", SIGAP_AGENT_ENROLMENT__TOKEN="geheim")
    assert found.returncode == 0, found.stderr
    shown = json.loads(found.stdout)
    assert shown["checks"][0]["id"] == "local:api"
    assert shown["state"]["directory"] == str(tmp_path / "state")
    assert "geheim" not in found.stdout + found.stderr
    plain = agent(tmp_path, "check-config")
    assert 'checks[0].kind = "http"' in plain.stdout
    assert plain.stdout.startswith(f"# {tmp_path}/agent.yaml")


@pytest.mark.parametrize("command", ["check-config", "once", "run", "enrol"])
def test_malformed_configuration_is_one_clear_error_and_exit_code_2(tmp_path: Path, command: str) -> None:
    (tmp_path / "agent.yaml").write_text("checks: [{name: db, kind: tcp, address: 'db:5432', interval_seconds: 10s}]")
    found = agent(tmp_path, command)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr == (
        f"sigap-agent: {tmp_path}/agent.yaml cannot be used:\n"
        "  checks[0].interval_seconds: expected a number of seconds, not '10s'\n"
    )


def test_once_prints_prometheus_text_with_host_and_checks(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "agent.toml").write_text(
            f'[[checks]]\nname = "here"\nkind = "tcp"\naddress = "127.0.0.1:{port}"\n'
            '[[checks]]\nname = "gone"\nkind = "tcp"\naddress = "127.0.0.1:1"\nretries = 0\n'
        )
        found = agent(tmp_path, "once")
    assert found.returncode == 0, found.stderr
    assert "node_memory_MemTotal_bytes " in found.stdout
    assert f'probe_success{{check="here",kind="tcp",target="127.0.0.1:{port}"}} 1' in found.stdout
    assert 'probe_success{check="gone",kind="tcp",target="127.0.0.1:1"} 0' in found.stdout
    assert "local:gone down: Connection to 127.0.0.1:1 refused: nothing listens there\n" in found.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.counterpart
def test_once_is_what_promtool_calls_metrics(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        check = f"{{name: here, kind: tcp, address: '127.0.0.1:{server.getsockname()[1]}'}}"
        (tmp_path / "agent.yaml").write_text(f"checks: [{check}]")
        text = agent(tmp_path, "once").stdout
    probes = "".join(line + "\n" for line in text.splitlines() if "probe_" in line)
    judged = subprocess.run([promtool, "check", "metrics"], input=probes, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_enrol_without_or_with_a_damaged_token_is_one_clear_error(tmp_path: Path) -> None:
    found = agent(tmp_path, "enrol")
    assert (found.returncode, found.stdout) == (1, "")
    assert "sigap-agent enrol TOKEN" in found.stderr
    damaged = agent(tmp_path, "enrol", "sigap1.AAAA")
    assert damaged.returncode == 1
    assert "damaged" in damaged.stderr
    assert "Traceback" not in damaged.stderr


@contextmanager
def running(folder: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The agent at work, and its log."""
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen([*PROGRAM, "run"], env=environment(folder, **more), stderr=stream, text=True)
        try:
            yield process, log
        finally:
            process.kill()
            process.wait(5)


def spooled(folder: Path) -> int:
    """Batches on disk, seen in a copy: the agent holds the spool for itself alone. Zero while there is none."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    try:
        shutil.copytree(folder / "state", copy)
        connection = sqlite3.connect(copy / "spool.db")
    except (OSError, shutil.Error, sqlite3.Error):
        return 0
    try:
        return int(connection.execute("SELECT count(*) FROM batch").fetchone()[0])
    except sqlite3.DatabaseError:
        return 0
    finally:
        connection.close()


@pytest.mark.system
def test_agent_that_is_not_enrolled_measures_into_its_spool_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as (process, log):
        until(lambda: spooled(tmp_path) > 0, "a batch is on disk")
        until(lambda: "not enrolled" in log.read_text(), "the log says what is missing")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
    assert "Traceback" not in log.read_text()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


@pytest.mark.system
def test_agent_opens_no_listening_port(tmp_path: Path) -> None:
    with running(tmp_path) as (process, _):
        until(lambda: spooled(tmp_path) > 0, "a batch is on disk")
        own = {str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.is_symlink()}
        listening = []
        for table in ("tcp", "tcp6"):
            rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
            listening += [f"socket:[{row[9]}]" for row in rows if row[3] == "0A"]
        assert own.isdisjoint(listening)


@pytest.mark.system
def test_hangup_reads_the_file_again_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    with running(tmp_path) as (process, log):
        until(lambda: spooled(tmp_path) > 0, "the agent measures")
        file.write_text("checks: [{name: gone, kind: tcp, address: '127.0.0.1:1', retries: 0}]")
        process.send_signal(signal.SIGHUP)
        until(lambda: "reloaded checks=1" in log.read_text(), "the file is read again")
        file.write_text("checks: 5")
        process.send_signal(signal.SIGHUP)
        until(lambda: "reload_refused" in log.read_text(), "the broken file is refused")
        before = spooled(tmp_path)
        until(lambda: spooled(tmp_path) > before, "the agent goes on")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0


@pytest.mark.system
def test_service_manager_hears_ready_alive_and_stopping(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_SECONDS)
        told: list[str] = []

        def heard(line: str) -> None:
            while line not in told:
                told.extend(manager.recv(4096).decode().splitlines())

        with running(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="1000000") as (process, _):
            heard("READY=1")
            heard("WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            heard("STOPPING=1")
            assert process.wait(DEADLINE_SECONDS) == 0
    assert any(line.startswith("STATUS=not enrolled") for line in told)


@pytest.mark.system
def test_second_agent_on_the_same_state_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with running(tmp_path):
        until(lambda: spooled(tmp_path) > 0, "the first one measures")
        second = agent(tmp_path, "run")
    assert second.returncode == 1
    assert "Traceback" not in second.stderr
    assert str(tmp_path / "state") in second.stderr


@pytest.mark.system
def test_state_that_others_can_reach_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    found = agent(tmp_path, "run")
    assert found.returncode == 1
    assert "chmod 700" in found.stderr
    assert not (tmp_path / "state/spool.db").exists()
