from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.probes import facts, listening
from agent.probes.attempts import CannotProbe
from agent.probes.discovery import REPEAT_MS, Discovery, propose
from agent.probes.endpoint import Endpoint
from agent.probes.listening import Listener
from agent.probes.units import Unit
from agent.reason import Reason
from agent.sample import Moment, State
from collector.domain.registers.check_options import problems
from tests.ports import free_ports

from .running import outcome

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = HEAD + "".join(
    f"   {number}: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
    for number, (local, state, inode) in enumerate(
        [
            ("0100007F:1538", "0A", 501),  # 127.0.0.1:5432
            ("00000000:0050", "0A", 502),  # *:80
            ("0100007F:9C40", "0A", 503),  # 127.0.0.1:40000, ephemeral
            ("0100007F:1F90", "01", 504),  # 127.0.0.1:8080, established
        ]
    )
)
TCP6 = HEAD + (
    "   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 505 1 0\n"
)
UNITS = (
    Unit("ssh.service", "OpenSSH", "loaded", "active", "running"),
    Unit("backup.service", "Nightly backup", "loaded", "failed", "failed"),
    Unit("unrelated.service", "Started by hand", "loaded", "active", "running"),
    Unit("tidy.service", "Runs once while the host starts", "loaded", "active", "exited"),
    Unit("sigap-agent.service", "The agent itself", "loaded", "active", "running"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    (net / "tcp").write_text(TCP)
    (net / "tcp6").write_text(TCP6)
    process = tmp_path / "proc/77"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("postgres\n")
    (process / "fd/4").symlink_to("socket:[501]")
    (process / "fd/5").symlink_to("/dev/null")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for enabled in ("ssh", "tidy", "sigap-agent"):
        (wants / f"{enabled}.service").symlink_to(f"/lib/systemd/system/{enabled}.service")
    (tmp_path / "etc/os-release").write_text('NAME="X"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n')
    return tmp_path


def bodies(probe: Discovery, wall_ms: int) -> dict[str, Any]:
    return {document.kind: document.body for document in probe.observe(Moment(wall_ms, 0)).documents}


def discovery(root: Path, units: Sequence[Unit] = UNITS, **options: Any) -> Discovery:
    return Discovery(host={"name": "web-3.example"}, checks=[], root=root, units=lambda: units, **options)


def test_listening_sockets_are_found_with_their_owner(root: Path) -> None:
    assert listening.read(root / "proc") == [
        Listener(80, Endpoint("127.0.0.1", 80), ""),
        Listener(443, Endpoint("127.0.0.1", 443), ""),
        Listener(5432, Endpoint("127.0.0.1", 5432), "postgres"),
    ]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc/net/tcp")
def test_real_socket_of_this_process_is_found() -> None:
    for port in range(20_100, 20_200):
        try:
            server = socket.create_server(("127.0.0.1", port))
        except OSError:
            continue
        break
    with server:
        name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
        assert Listener(port, Endpoint("127.0.0.1", port), name) in listening.read(Path("/proc"))


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="no /proc/net/tcp")
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "127.0.0.2", "::1", "::", ":: for both"])
def test_accepted_proposal_is_up_wherever_the_program_listens(bound: str) -> None:
    address, _, both = bound.partition(" ")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    (port,) = free_ports(1)  # drawn at random: the other cases run beside this one
    try:
        server = socket.create_server((address, port), family=family, dualstack_ipv6=bool(both))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            pytest.skip(f"this host has no {address}")
        raise
    with server:
        (listener,) = [each for each in listening.read(Path("/proc")) if each.port == port]
        proposal = propose(listener, host_name="web-3")
        assert outcome(proposal["kind"], **proposal["options"]).state is State.UP, proposal


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
    ],
)
@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="written in little-endian order")
def test_addresses_of_the_kernel_are_read(raw: str, address: str) -> None:
    assert listening.decode(raw) == address


def test_proposals_fit_what_listens_and_what_should_run(root: Path) -> None:
    body = bodies(discovery(root), 1)["proposals"]
    proposals = {each["name"]: each for each in body["proposals"]}
    assert proposals["postgresql-5432"] == {
        "name": "postgresql-5432",
        "kind": "tcp",
        "options": {"address": "127.0.0.1:5432"},
        "why": "postgres listens on port 5432",
        "wording": ["{program} listens on port {port}", {"program": "postgres", "port": 5432}],
        "process": "postgres",
        "central": True,
    }
    assert proposals["http-80"]["options"] == {"url": "http://127.0.0.1:80/", "status": ["200-499"]}
    assert proposals["https-443"]["options"] == {"address": "127.0.0.1:443", "server_name": "web-3.example"}
    assert proposals["ssh"]["options"] == {"unit": "ssh.service"}
    assert [name for name, each in proposals.items() if not each["central"]] == []
    assert not {name: found for name, each in proposals.items() if (found := problems(each["kind"], each["options"]))}
    assert proposals["backup"]["why"] == "backup.service is failed: Nightly backup"
    assert {"unrelated", "tidy", "sigap-agent"}.isdisjoint(proposals)
    assert (body["failed_units"], body["units_visible"]) == (["backup.service"], True)


def test_short_name_is_on_no_certificate(root: Path) -> None:
    probe = Discovery(host={"name": "web-3"}, checks=[], root=root, units=lambda: UNITS)
    (proposal,) = [each for each in bodies(probe, 1)["proposals"]["proposals"] if each["name"] == "https-443"]
    assert (proposal["kind"], proposal["options"]) == ("tcp", {"address": "127.0.0.1:443"})


def test_our_own_ports_are_not_proposed(root: Path) -> None:
    rows = ((f"0100007F:{port:04X}", inode) for port, inode in [(8420, 0), (18420, 601), (8421, 602), (8422, 603)])
    lines = [f"   0: {local} 00000000:0000 0A 0:0 0:0 0 0 0 {inode} 1 0\n" for local, inode in rows]
    (root / "proc/net/tcp").write_text(HEAD + "".join(lines))
    (root / "proc/net/tcp6").unlink()
    for pid, name, inode in (("81", "sigap", 601), ("82", "nginx", 602)):
        (root / "proc" / pid / "fd").mkdir(parents=True)
        (root / "proc" / pid / "comm").write_text(f"{name}\n")
        (root / "proc" / pid / "fd/3").symlink_to(f"socket:[{inode}]")
    assert listening.read(root / "proc") == [Listener(8421, Endpoint("127.0.0.1", 8421), "nginx")]


def test_long_name_of_a_program_is_whole(root: Path) -> None:
    (root / "proc/77/comm").write_text("prometheus-node\n")
    (root / "proc/77/cmdline").write_bytes(b"/usr/bin/prometheus-node-exporter\0--web.listen-address=:5432\0")
    assert Listener(5432, Endpoint("127.0.0.1", 5432), "prometheus-node-exporter") in listening.read(root / "proc")
    (root / "proc/77/cmdline").write_bytes(b"prometheus-node --password=hush")
    assert Listener(5432, Endpoint("127.0.0.1", 5432), "prometheus-node") in listening.read(root / "proc")


def test_wildcard_of_ipv6_is_reached_over_ipv6_where_there_is_one(root: Path) -> None:
    (root / "proc/net/if_inet6").write_text("00000000000000000000000000000001 01 80 10 80       lo\n")
    assert Listener(443, Endpoint("::1", 443), "") in listening.read(root / "proc")


def test_what_is_checked_already_is_not_proposed(root: Path) -> None:
    checks = [
        {"options": {"url": "http://localhost:80/health"}},
        {"options": {"unit": "ssh.service"}},
        {"options": {"path": "/var/backups/*"}},
    ]
    probe = Discovery(host={"name": "web-3"}, checks=checks, root=root, units=lambda: UNITS)
    names = [each["name"] for each in bodies(probe, 1)["proposals"]["proposals"]]
    assert names == ["https-443", "postgresql-5432", "backup"]


def test_host_without_systemd_still_proposes_its_ports(root: Path) -> None:
    def no_systemd() -> Sequence[Unit]:
        raise CannotProbe(Reason("no D-Bus here"))

    probe = Discovery(host={"name": "web-3"}, checks=[], root=root, units=no_systemd)
    body = bodies(probe, 1)["proposals"]
    assert body["units_visible"] is False
    assert len(body["proposals"]) == 3


def test_documents_are_sent_once_then_when_they_change_and_after_hours(root: Path) -> None:
    probe = discovery(root)
    assert set(bodies(probe, 1)) == {"host", "checks", "proposals"}
    assert bodies(probe, 2) == {}
    (root / "proc/net/tcp").write_text(HEAD)
    assert set(bodies(probe, 3)) == {"proposals"}
    assert set(bodies(probe, 2 + REPEAT_MS)) == {"host", "checks"}


def test_proposing_can_be_switched_off(root: Path) -> None:
    assert "proposals" not in bodies(discovery(root, propose=False), 1)


def test_facts_are_read_below_the_root_and_missing_ones_are_empty(root: Path) -> None:
    (root / "proc/meminfo").write_text("MemTotal:        8135420 kB\nMemFree: 1 kB\n")
    (root / "proc/stat").write_text("cpu 1 2\nbtime 1790000000\n")
    local, network = "     /32 host LOCAL\n", "     /24 link UNICAST\n"
    routes = f"  |-- 192.0.2.2\n{local}  |-- 192.0.2.0\n{network}  |-- 127.0.0.1\n{local}"
    (root / "proc/net/fib_trie").write_text(routes)
    (root / "proc/net/if_inet6").write_text(
        "fd000000000000000000000000000002 04 40 00 80 eth0\nfe80000000000000000000fffe000001 04 40 20 80 eth0\n"
    )
    found = facts.read(root)
    assert found["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["memory_bytes"] == 8135420 * 1024
    assert found["boot_time_ms"] == 1_790_000_000_000
    assert found["addresses"] == ["192.0.2.2", "fd00::2"]
    assert found["virtualization"] == ""
    empty = facts.read(root / "nowhere")
    assert (empty["os"], empty["memory_bytes"], empty["addresses"]) == ("", 0, [])


def test_virtualization_is_named_in_systemds_words(root: Path) -> None:
    dmi = root / "sys/class/dmi/id"
    dmi.mkdir(parents=True)
    (dmi / "sys_vendor").write_text("VMware, Inc.\n")
    assert facts.virtualization(root) == "vmware"
    (root / "run/systemd").mkdir(parents=True)
    (root / "run/systemd/container").write_text("lxc")
    assert facts.virtualization(root) == "lxc"


def test_every_listener_is_found_before_the_many_connections(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    rows = [f"{n:4d}: 0100007F:{1000 + n:04X} 00000000:0000 0A 0:0 0:0 0 0 0 {n}" for n in range(200)]
    rows += [f"{n:4d}: 0100007F:{9000 + n:04X} 0100007F:0050 01 0:0 0:0 0 0 0 {n}" for n in range(2_000)]
    lines = ["  sl  local_address rem_address   st tx_queue", *rows]
    (tmp_path / "net/tcp").write_text("".join(line.ljust(149) + "\n" for line in lines))
    assert [listener.port for listener in listening.read(tmp_path)] == list(range(1000, 1200))
