"""What cannot go on says so once, clearly and with what to do next; and nothing is lost by it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.ports import free_ports
from tests.system.product import (
    SIGAP,
    SIGAP_AGENT,
    TRACE,
    Product,
    clean_environment,
    product,
    run,
    short_folder,
    wait_for,
)

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("refusals")]

FAILED, USAGE = 1, 2
SECONDS = 15.0
GUEST = "guest"


@pytest.fixture(scope="module")
def running() -> Iterator[Product]:
    with product() as started:
        yield started


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def told_once(done: CompletedProcess[str], *, code: int, words: str, hint: str) -> None:
    """One error: a first line that names the program and what failed, then indented lines that help."""
    first, *rest = done.stderr.strip().splitlines()
    assert done.returncode == code, done
    assert TRACE not in done.stderr
    assert first.startswith(("sigap: ", "sigap-agent: ")), done.stderr
    assert words in done.stderr
    assert hint in done.stderr
    assert all(line.startswith("  ") for line in rest), done.stderr


@pytest.mark.parametrize("setting", ["web", "telemetry", "enrolment"])
def test_a_busy_port_is_named_with_its_setting(folder: Path, setting: str) -> None:
    ports = dict(zip(("web", "telemetry", "enrolment"), free_ports(3), strict=True))
    environment = {f"SIGAP_{name.upper()}__ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[setting]))
        taken.listen()
        done = run(SIGAP, "up", "--data", str(folder / "d"), **environment)
    told_once(done, code=USAGE, words=f"Cannot listen on 127.0.0.1:{ports[setting]}", hint=f"Set {setting}.address")
    free = ports[setting] + (1_000 if ports[setting] + 1_000 < 65_536 else -1_000)
    assert f"SIGAP_{setting.upper()}__ADDRESS=127.0.0.1:{free}." in done.stderr
    assert done.stdout == ""


def test_a_second_collector_on_the_same_data_is_refused_and_the_first_goes_on(running: Product) -> None:
    ports = dict(zip(("web", "telemetry", "enrolment"), free_ports(3), strict=True))
    environment = {f"SIGAP_{name.upper()}__ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
    done = run(SIGAP, "up", "--data", str(running.folder), **environment)
    told_once(done, code=FAILED, words="Another collector uses the data directory", hint="--data")
    assert running.browser.request("GET", "/-/ready").status == 200
    assert running.control("GET", "/agents")["agents"][0]["status"] == "active"


def test_a_data_directory_that_cannot_be_written_to_is_named(folder: Path) -> None:
    data = folder / "d"
    data.mkdir(mode=0o700)
    (data / "lock").mkdir()  # holds also for root, whom no mode keeps out
    done = run(SIGAP, "serve", "--data", str(data))
    told_once(done, code=USAGE, words=f"The data directory {data} cannot be written to", hint="--data")


@pytest.mark.parametrize(
    ("text", "words"),
    [("[web]\nadress = 'x'", "web.adress is no setting"), ("[web", "cannot be read"), ("web = 3", "must be a section")],
)
def test_a_malformed_settings_file_starts_nothing(folder: Path, text: str, words: str) -> None:
    file = folder / "sigap.toml"
    file.write_text(text)
    done = run(SIGAP, "up", "--config", str(file), "--data", str(folder / "d"))
    told_once(done, code=USAGE, words=words, hint="[web" if "section" in words else "sigap check --settings")
    assert not (folder / "d").exists()


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("chekcs: []", "chekcs: unknown key", "accepted: central_checks, checks"),
        ("checks: [{name: a, kind: htp}]", "htp", "accepted: "),
        ("checks: [", "no YAML: line 1", "agent.yaml"),
    ],
)
def test_a_malformed_agent_file_starts_nothing(folder: Path, text: str, words: str, hint: str) -> None:
    file, state = folder / "agent.yaml", folder / "state"
    file.write_text(text)
    done = run(SIGAP_AGENT, "run", "--config", str(file), SIGAP_AGENT_STATE__DIRECTORY=str(state))
    told_once(done, code=USAGE, words=words, hint=hint)
    assert not state.exists()


@pytest.mark.parametrize("program", [SIGAP, SIGAP_AGENT])
def test_an_unknown_command_is_refused_with_the_way_to_help(program: str) -> None:
    done = run(program, "frobnicate")
    assert done.returncode == USAGE
    assert "frobnicate" in done.stderr
    assert "help" in done.stderr or "-h" in done.stderr
    assert TRACE not in done.stderr


def test_apply_without_a_collector_says_where_it_looked(folder: Path) -> None:
    file = folder / "records.yaml"
    file.write_text("register: host\nkey: web-1\nname: Web 1\n")
    for where in (("--data", str(folder)), ("--url", f"http://127.0.0.1:{free_ports(1)[0]}")):
        done = run(SIGAP, "apply", *where, str(file))
        told_once(done, code=FAILED, words=f"No collector answers at {where[1]}", hint="Start it, or name")


def test_a_used_token_is_refused_and_the_agent_it_made_stays(running: Product, folder: Path) -> None:
    token = running.control("POST", "/enrolment-tokens", {"host_name": ""})["secret"]
    settings = {"SIGAP_AGENT_HOST__NAME": "twice"}
    assert run(SIGAP_AGENT, "enrol", token, SIGAP_AGENT_STATE__DIRECTORY=str(folder / "a"), **settings).returncode == 0
    done = run(SIGAP_AGENT, "enrol", token, SIGAP_AGENT_STATE__DIRECTORY=str(folder / "b"), **settings)
    told_once(done, code=FAILED, words="This token is not valid (any more).", hint="Ask for a new one.")
    assert token not in done.stderr
    found = [one for one in running.control("GET", "/agents")["agents"] if one["host_name"] == "twice"]
    assert [one["status"] for one in found] == ["active"]


def enrolled(running: Product, state: Path) -> Mapping[str, str]:
    """The settings of a second agent on this host, enrolled under a name of its own."""
    settings = {"SIGAP_AGENT_STATE__DIRECTORY": str(state), "SIGAP_AGENT_HOST__NAME": GUEST}
    token = running.control("POST", "/enrolment-tokens", {"host_name": GUEST})["secret"]
    done = run(SIGAP_AGENT, "enrol", token, **settings)
    assert done.returncode == 0, done
    return settings


@contextmanager
def agent(log: Path, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A running agent; it must end well when it is told to."""
    with log.open("ab") as stream:
        process = subprocess.Popen([SIGAP_AGENT, "run"], stderr=stream, env=clean_environment(**settings))
    try:
        yield process
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert TRACE not in log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def complaints(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if " INFO " not in line]


def first_load_ms(running: Product, since_ms: int) -> int | None:
    """When the guest's oldest measurement after `since_ms` was made."""
    query = f"match=node_load1&host={GUEST}&since={since_ms}&points=2000"
    found = running.json(f"/api/v1/series?{query}")["series"]
    return int(found[0]["times"][0]) if found and found[0]["times"] else None


def test_a_strange_collector_gets_nothing_and_what_was_measured_meanwhile_reaches_the_right_one(
    running: Product, folder: Path
) -> None:
    settings, began_ms = enrolled(running, folder / "s"), int(time.time() * 1000)
    with product() as strange:
        with agent(folder / "log", {**settings, "SIGAP_AGENT_COLLECTOR__ADDRESS": strange.telemetry}):
            wait_for(lambda: complaints(folder / "log"), SECONDS, "the agent complains")
            time.sleep(3)
        (told,) = complaints(folder / "log")
        assert "certificate" in told.lower()
        assert "batches are kept" in told
        assert GUEST not in strange.hosts()
    parted_ms = int(time.time() * 1000)
    with agent(folder / "log", settings):
        first_ms = wait_for(lambda: first_load_ms(running, began_ms), SECONDS, "the guest's measurements")
    assert first_ms < parted_ms


def test_a_revoked_agent_is_told_once_and_keeps_what_it_measures_until_it_may_deliver_again(
    running: Product, folder: Path
) -> None:
    settings = enrolled(running, folder / "s")
    log = folder / "log"
    with agent(log, settings):
        wait_for(lambda: "uplink open" in log.read_text(), SECONDS, "the agent delivers")
        ids = {one["id"] for one in running.control("GET", "/agents")["agents"] if one["host_name"] == GUEST}
        mine = next(one for one in ids if one in (folder / "s/identity.json").read_text())
        done = running.run("revoke", "--why", "lost laptop", mine)
        assert done.returncode == 0, done
        wait_for(lambda: complaints(log), SECONDS, "the agent is told")
        revoked_ms = int(time.time() * 1000)
        time.sleep(12)
    assert len(complaints(log)) == 1, log.read_text()
    (told,) = complaints(log)
    assert "revoked" in told
    assert "batches are kept" in told
    assert first_load_ms(running, revoked_ms) is None
    again_ms = int(time.time() * 1000)
    with agent(log, enrolled(running, folder / "s")):
        first_ms = wait_for(lambda: first_load_ms(running, revoked_ms), SECONDS, "what it measured while revoked")
    assert first_ms < again_ms
