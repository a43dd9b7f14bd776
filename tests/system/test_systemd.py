"""The systemd check, the proposals and the shipped units against a real systemd as process 1."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.probes import systemd, units
from agent.probes.attempts import CannotProbe
from agent.probes.discovery import Discovery
from agent.probes.endpoint import Deadline
from agent.sample import Moment, State
from tests.system.machine import SECONDS, Machine, machine
from tests.system.product import SIGAP, SIGAP_AGENT, wait_for

SHIPPED = Path(__file__).parents[2] / "deploy" / "systemd"
ACCOUNT = SHIPPED / "sysusers.d" / "sigap-agent.conf"
EXPOSURE_MOST = 2.0
"""What `systemd-analyze security` may find at most; its word for anything below is OK."""

STAYS = "/bin/sleep infinity"
SERVICES = {
    "runs": f"ExecStart={STAYS}",
    "finished": "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true",
    "broke": "ExecStart=/bin/false",
    "crashes": "ExecStart=/bin/false\nRestart=always\nRestartSec=1000\nStartLimitBurst=1000",
    "starts": f"Type=notify\nTimeoutStartSec=infinity\nExecStart={STAYS}",
    "prepares": f"TimeoutStartSec=infinity\nExecStartPre={STAYS}\nExecStart={STAYS}",
    "reloads": f"TimeoutStartSec=infinity\nExecStart={STAYS}\nExecReload={STAYS}",
    "stops": f"TimeoutStopSec=infinity\nExecStart={STAYS}\nExecStop={STAYS}",
    "rests": f"ExecStart={STAYS}",
    "refused": "Type=nonsense",
    "removed": f"ExecStart={STAYS}",
    "instance@": f"ExecStart={STAYS}",
}
AGENT_TEXT = """
[[checks]]
name = "runs"
kind = "systemd"
unit = "runs"
"""

pytestmark = [pytest.mark.system, pytest.mark.counterpart, pytest.mark.xdist_group("systemd")]


@pytest.fixture(scope="module")
def host() -> Iterator[Machine]:
    """A host with a unit in every state."""
    with machine() as made:
        for name, text in SERVICES.items():
            made.unit(
                f"{name}.service",
                f"[Unit]\nDescription=It {name}\n[Service]\n{text}\n[Install]\nWantedBy=multi-user.target",
            )
        made.unit("daily.timer", "[Timer]\nOnCalendar=daily\nUnit=rests.service\n")
        (made.root / "units/masked.service").symlink_to("/dev/null")
        made.reload()
        made.run("systemctl", "enable", "--quiet", "runs", "finished", "broke", "rests", "removed")
        made.run(
            "systemctl", "start", "runs", "finished", "broke", "crashes", "reloads", "stops", "removed", fails=True
        )
        made.run("systemctl", "start", "instance@a", "daily.timer")
        made.run("systemctl", "start", "--no-block", "starts", "prepares")
        made.run("systemctl", "reload", "--no-block", "reloads")
        made.run("systemctl", "stop", "--no-block", "stops")
        (made.root / "units/removed.service").unlink()
        made.reload()
        yield made


@pytest.mark.parametrize(
    ("unit", "state", "words"),
    [
        ("runs", State.UP, "runs.service is active (running)"),
        ("finished", State.UP, "finished.service is active (exited)"),
        ("instance@a", State.UP, "instance@a.service is active (running)"),
        ("daily.timer", State.UP, "daily.timer is active (waiting)"),
        ("dbus.socket", State.UP, "dbus.socket is active (running)"),
        ("-.mount", State.UP, "-.mount is active (mounted)"),
        ("reloads", State.UP, "reloads.service is reloading (reload)"),
        ("removed", State.UP, "removed.service is active (running)"),
        ("starts", State.DEGRADED, "starts.service is activating (start)"),
        ("prepares", State.DEGRADED, "prepares.service is activating (start-pre)"),
        ("crashes", State.DOWN, "crashes.service is activating (auto-restart)"),
        ("broke", State.DOWN, "broke.service is failed (failed)"),
        ("stops", State.DOWN, "stops.service is deactivating (stop)"),
        ("rests", State.DOWN, "rests.service is inactive (dead)"),
        ("instance@b", State.DOWN, "instance@b.service is inactive (dead)"),
        ("refused", State.DOWN, "refused.service has a unit file that systemd refuses"),
        ("masked", State.DOWN, "masked.service is masked"),
        ("nowhere", State.DOWN, "nowhere.service does not exist"),
    ],
)
def test_a_unit_is_judged_as_systemd_sees_it(host: Machine, unit: str, state: State, words: str) -> None:
    check = systemd.SystemdCheck(name="x", unit=unit)

    def look() -> bool:
        found = systemd.judge(check.target, *units.unit_state(host.bus, check.target, Deadline(SECONDS)))
        return (found.state, str(found.reason)) == (state, words)

    wait_for(look, SECONDS, f"{unit}: {words}")  # What was only asked to start or to stop takes its moment.
    works = host.run("systemctl", "is-active", "--", check.target, fails=True) in ("active", "reloading")
    assert works == (state is State.UP), "and systemctl is-active agrees"


def test_names_that_systemd_refuses_are_refused_by_the_file_already(host: Machine) -> None:
    for unit in ("instance@.service", "x y.service", "über.service", ".service", "a" * 300 + ".service"):
        with pytest.raises(CannotProbe, match="did not answer for"):
            units.unit_state(host.bus, unit, Deadline(SECONDS))
        with pytest.raises(ValueError, match="no unit name"):
            systemd.SystemdCheck(name="x", unit=unit)


def test_systemd_that_hangs_is_unknown(host: Machine) -> None:
    first = int(host.root.parts[2])
    os.kill(first, signal.SIGSTOP)
    try:
        with pytest.raises(CannotProbe, match="did not answer on D-Bus within"):
            units.unit_state(host.bus, "runs.service", Deadline(0.3))
    finally:
        os.kill(first, signal.SIGCONT)
    assert units.unit_state(host.bus, "runs.service", Deadline(SECONDS))[1] == "active"


def test_what_should_run_is_proposed_and_nothing_that_would_be_down_at_once(host: Machine) -> None:
    found = Discovery(
        host={"name": "web-3"},
        checks=[],
        root=host.root,
        units=lambda: units.list_units(host.bus, Deadline(SECONDS)),
    ).observe(Moment(1, 0))
    (body,) = [one.body for one in found.documents if one.kind == "proposals"]
    assert body["units_visible"]
    assert body["failed_units"] == ["broke.service"]
    proposed = {one["name"]: one for one in body["proposals"] if one["kind"] == "systemd"}
    assert set(proposed) == {"runs", "broke"}
    assert proposed["runs"]["why"] == "runs.service is enabled: It runs"


# ── the shipped units ───────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def installed(host: Machine, name: str, program: str, *more: str, restarts: int = 0) -> Iterator[None]:
    """A shipped unit, as a person installs it; only its log is elsewhere."""
    (host.root / f"usr/bin/{Path(program).name}").symlink_to(program)
    shutil.copy(SHIPPED / f"{name}.service", host.root / "units")
    folder = host.root / f"etc/systemd/system/{name}.service.d"
    folder.mkdir()
    log = f"StandardOutput=append:/run/{name}.log\nStandardError=append:/run/{name}.log"
    (folder / "test.conf").write_text("\n".join(["[Service]", log, *more]))
    host.reload()
    try:
        yield
        assert host.shows(name, "NRestarts") == str(restarts), host.log()
    finally:
        host.run("systemctl", "stop", name, fails=True)
        shutil.rmtree(folder)
        (host.root / f"usr/bin/{Path(program).name}").unlink()


@pytest.fixture(scope="module")
def account(host: Machine) -> Machine:
    """The host with the agent's account and a file for the agent."""
    folder = host.root / "etc/sysusers.d"
    folder.mkdir(exist_ok=True)
    shutil.copy(ACCOUNT, folder)
    host.run("systemd-sysusers", f"/etc/sysusers.d/{ACCOUNT.name}")
    (host.root / "etc/sigap/agent.toml").write_text(AGENT_TEXT)
    return host


def delivered(host: Machine) -> int:
    """How many batches the agent's status says are waiting."""
    found = re.search(r"(\d+) batches waiting", host.shows("sigap-agent", "StatusText"))
    return int(found[1]) if found else 0


def test_agent_runs_under_its_unit_reloads_and_stops(account: Machine) -> None:
    host = account
    with installed(host, "sigap-agent", SIGAP_AGENT, "WatchdogSec=2"):
        host.run("systemctl", "start", "sigap-agent")
        pid = host.shows("sigap-agent", "MainPID")
        before = host.shows("sigap-agent", "WatchdogTimestampMonotonic")
        wait_for(lambda: host.shows("sigap-agent", "WatchdogTimestampMonotonic") != before, SECONDS, "the watchdog")
        wait_for(lambda: delivered(host) >= 2, SECONDS, "it measures")
        host.run("systemctl", "reload", "sigap-agent")
        wait_for(lambda: "reloaded checks=1" in host.log(), SECONDS, "it read its file again")
        assert "probe_failed" not in host.log()
        assert (host.shows("sigap-agent", "MainPID"), host.shows("sigap-agent", "ActiveState")) == (pid, "active")
        host.run("systemctl", "stop", "sigap-agent")
        assert host.shows("sigap-agent", "Result") == "success"
        assert list((host.root / "var/lib/private/sigap-agent").glob("spool.db*"))


def test_agent_that_hangs_is_killed_by_the_watchdog_and_started_anew(account: Machine) -> None:
    host = account
    with installed(host, "sigap-agent", SIGAP_AGENT, "WatchdogSec=1", "RestartSec=0", restarts=1):
        host.run("systemctl", "start", "sigap-agent")
        pid = host.shows("sigap-agent", "MainPID")
        host.run("kill", "-STOP", pid)
        wait_for(lambda: host.shows("sigap-agent", "NRestarts") == "1", SECONDS, "it was started anew")
        wait_for(lambda: host.shows("sigap-agent", "ActiveState") == "active", SECONDS, "and runs")
        assert host.shows("sigap-agent", "MainPID") != pid


def once(host: Machine, *more: str) -> tuple[set[str], str]:
    """The series that `sigap-agent once` sees under the shipped unit's restrictions, and what it says of checks."""
    text = (SHIPPED / "sigap-agent.service").read_text()
    changed = {
        "Type=notify": "Type=oneshot\nUser=sigap-agent",
        "Restart=on-failure": "StandardOutput=truncate:/run/once\nStandardError=truncate:/run/said",
        "ExecStart=sigap-agent run": f"ExecStart={SIGAP_AGENT} once",
        "\n[Install]": "\n".join(["", *more, "[Install]"]),
    }
    for before, after in changed.items():
        assert before in text
        text = text.replace(before, after)
    host.unit("once.service", text)
    host.reload()
    host.run("systemctl", "start", "once")
    return series((host.root / "run/once").read_text()), (host.root / "run/said").read_text()


def series(text: str) -> set[str]:
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def test_restrictions_of_the_unit_hide_nothing_that_is_measured(account: Machine) -> None:
    seen, said = once(account)
    assert said == "local:runs up: runs.service is active (running)\n"
    unrestricted = series(account.run(SIGAP_AGENT, "once"))
    assert sorted(unrestricted - seen) == []


def test_ping_needs_one_capability_as_the_manual_says(account: Machine) -> None:
    file = account.root / "etc/sigap/agent.toml"
    file.write_text('[[checks]]\nname = "self"\nkind = "ping"\nhost = "127.0.0.1"\n')
    try:
        _, refused = once(account)
        _, granted = once(account, "CapabilityBoundingSet=CAP_NET_RAW", "AmbientCapabilities=CAP_NET_RAW")
    finally:
        file.write_text(AGENT_TEXT)
    assert "local:self unknown: Ping is not permitted" in refused
    assert "local:self up" in granted


SET_UP = """
import sys
from tests.system.product import Browser
link, password = sys.argv[1:]
fields = {"link": link, "name": "sari", "password": password, "repeated": password}
answer = Browser("127.0.0.1:8420").submit(f"/setup?link={link}", "/setup", **fields)
assert answer.status == 303, answer.text
"""


def test_collector_and_agent_run_under_their_units_and_find_each_other(account: Machine) -> None:
    host = account
    (host.root / "etc/sigap/sigap.toml").touch()
    host.run("rm", "-rf", "/var/lib/sigap-agent", "/var/lib/private/sigap-agent")
    (host.root / "usr/bin/sigap-agent").symlink_to(SIGAP_AGENT)
    with installed(host, "sigap", SIGAP, *_home()):
        host.run("systemctl", "start", "sigap")
        assert host.run("curl", "--silent", "http://127.0.0.1:8420/-/ready") == "Sigap is ready."
        link = re.findall(r"/setup\?link=(\S+)", host.log())[-1]
        host.run(sys.executable, "-c", SET_UP, link, secrets.token_hex())
        pasted, lines = re.subn("sigap-agent enrol .*", host.run("sigap", "enrol"), _manual())
        assert lines == 1
        try:
            host.run("sh", "-ec", f"cd {SHIPPED}\n{pasted}")
            wait_for(lambda: '"connected"' in host.run("sigap", "agents", "--json"), SECONDS, "the agent delivers")
            assert host.shows("sigap-agent", "NRestarts") == "0"
        finally:
            host.run("systemctl", "disable", "--now", "sigap-agent", fails=True)
            for left in ("usr/bin/sigap-agent", "etc/systemd/system/sigap-agent.service"):
                (host.root / left).unlink(missing_ok=True)
        host.run("systemctl", "stop", "sigap")
        assert host.shows("sigap", "Result") == "success", host.log()


def test_a_collector_that_hangs_is_killed_by_the_watchdog_and_started_anew(account: Machine) -> None:
    host = account
    (host.root / "etc/sigap/sigap.toml").touch()
    with installed(host, "sigap", SIGAP, *_home(), "WatchdogSec=3", "RestartSec=0", restarts=1):
        host.run("systemctl", "start", "sigap")
        before = host.shows("sigap", "WatchdogTimestampMonotonic")
        wait_for(lambda: host.shows("sigap", "WatchdogTimestampMonotonic") != before, SECONDS, "the watchdog is fed")
        host.run("kill", "-STOP", host.shows("sigap", "MainPID"))
        wait_for(lambda: host.shows("sigap", "NRestarts") == "1", SECONDS, "it was started anew")
        wait_for(lambda: host.shows("sigap", "ActiveState") == "active", SECONDS, "and runs")


def _home() -> list[str]:
    """The interpreter of the tests may be in somebody's home."""
    return ["ProtectHome=read-only"] if sys.base_prefix.startswith(("/root", "/home")) else []


def _manual() -> str:
    """What the manual has one paste to run the agent as a service."""
    page = (SHIPPED.parents[1] / "web" / "docs" / "en" / "agent-configuration.md").read_text()
    found = re.search(r"## As a systemd service.*?```sh\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1]


def test_systemd_finds_nothing_wrong_with_the_shipped_units(host: Machine) -> None:
    for name, program in (("sigap-agent", SIGAP_AGENT), ("sigap", SIGAP)):
        with installed(host, name, program):
            shown = host.run("systemd-analyze", "verify", f"/units/{name}.service")
            assert shown == ""
        offline = [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE_MOST * 10:.0f}",
            "--no-pager",
        ]
        done = subprocess.run([*offline, str(SHIPPED / f"{name}.service")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
