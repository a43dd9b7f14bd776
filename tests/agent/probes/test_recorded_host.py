"""Each host probe against one recorded tree: the values of its files, by node_exporter's names."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from agent.probes import HOST_PROBES, Host
from agent.probes.arp import ARP
from agent.probes.conntrack import Conntrack
from agent.probes.cpu import CPU
from agent.probes.diskstats import DiskStats
from agent.probes.entropy import Entropy
from agent.probes.filefd import FileDescriptors
from agent.probes.loadavg import LoadAverage
from agent.probes.meminfo import Meminfo
from agent.probes.netclass import NetClass
from agent.probes.netdev import NetDev
from agent.probes.netstat import NetStat
from agent.probes.os_release import OSRelease
from agent.probes.pressure import Pressure
from agent.probes.processes import Processes
from agent.probes.reading import NoData
from agent.probes.self_metrics import SelfMetrics
from agent.probes.sockstat import SockStat
from agent.probes.softnet import SoftNet
from agent.probes.stat import Stat
from agent.probes.timex import LAYOUT, Timex
from agent.probes.udp_queues import UDPQueues
from agent.probes.uname import Uname
from agent.probes.vmstat import VMStat
from agent.sample import Kind, Moment, Probe, Sample, Series

RECORDED = Path(__file__).parents[2] / "data" / "host"
MOMENT = Moment(1_795_561_589_500, 1_000_500_000_000)

Labels = tuple[tuple[str, str], ...]


def look(probe: Probe, moment: Moment = MOMENT) -> dict[tuple[str, Labels], float]:
    return {(series.name, series.labels): value for series, value in probe.observe(moment).samples}


def labels(**given: str) -> Labels:
    return tuple(sorted(given.items()))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the recorded host that a test may change."""
    shutil.copytree(RECORDED, tmp_path / "host")
    return tmp_path / "host"


def test_cpu_times_are_seconds_by_cpu_and_mode():
    found = look(CPU(RECORDED))
    ticks = os.sysconf("SC_CLK_TCK")
    assert found["node_cpu_seconds_total", labels(cpu="0", mode="user")] == 100 / ticks
    assert found["node_cpu_seconds_total", labels(cpu="1", mode="steal")] == 4 / ticks
    assert found["node_cpu_guest_seconds_total", labels(cpu="0", mode="nice")] == 1 / ticks
    assert len(found) == 20


def test_cpu_time_that_slips_back_a_little_stands_still(tree: Path):
    probe = CPU(tree)
    before = look(probe)
    stat = (tree / "proc/stat").read_text().replace("cpu0 100 10 120 2500 40", "cpu0 101 10 120 2500 39")
    (tree / "proc/stat").write_text(stat)
    after = look(probe)
    waiting = ("node_cpu_seconds_total", labels(cpu="0", mode="iowait"))
    assert after[waiting] == before[waiting]
    user = ("node_cpu_seconds_total", labels(cpu="0", mode="user"))
    assert after[user] > before[user]


def test_cpu_that_was_unplugged_counts_anew(tree: Path):
    probe = CPU(tree)
    look(probe)
    stat = (tree / "proc/stat").read_text().replace("cpu1 200 20 80 2500 20", "cpu1 1 2 3 4 5")
    (tree / "proc/stat").write_text(stat)
    assert look(probe)["node_cpu_seconds_total", labels(cpu="1", mode="user")] == 1 / os.sysconf("SC_CLK_TCK")


def test_every_line_of_meminfo_is_a_gauge_in_bytes_or_pages():
    found = look(Meminfo(RECORDED))
    assert found["node_memory_MemTotal_bytes", ()] == 24684092 * 1024
    assert found["node_memory_Active_anon_bytes", ()] == 1576 * 1024
    assert found["node_memory_HugePages_Total", ()] == 3
    assert len(found) == 10


def test_load_averages():
    assert list(look(LoadAverage(RECORDED)).values()) == [0.30, 0.09, 0.05]


def test_stat_counts_the_host_as_a_whole():
    found = {name: value for (name, _), value in look(Stat(RECORDED)).items()}
    assert found == {
        "node_intr_total": 123456,
        "node_context_switches_total": 475774,
        "node_boot_time_seconds": 1795560589,
        "node_forks_total": 7761,
        "node_procs_running": 2,
        "node_procs_blocked": 1,
    }


def test_vmstat_picks_paging_swapping_faults_and_kills():
    found = {name.removeprefix("node_vmstat_"): value for (name, _), value in look(VMStat(RECORDED)).items()}
    assert found == {
        "pgpgin": 2093921,
        "pgpgout": 2305864,
        "pswpin": 0,
        "pswpout": 4,
        "pgfault": 2423332,
        "pgmajfault": 1512,
        "oom_kill": 1,
    }


def test_file_handles():
    assert list(look(FileDescriptors(RECORDED)).values()) == [593, 2466177]


def test_connection_tracking():
    found = {name.removeprefix("node_nf_conntrack_"): value for (name, _), value in look(Conntrack(RECORDED)).items()}
    assert (found["entries"], found["entries_limit"]) == (17, 262144)
    assert (found["stat_found"], found["stat_invalid"], found["stat_insert_failed"]) == (6, 12, 1)  # over both CPUs
    assert len(found) == 10


def test_connection_tracking_without_statistics_still_says_how_full_it_is(tree: Path):
    (tree / "proc/net/stat/nf_conntrack").unlink()
    assert list(look(Conntrack(tree)).values()) == [17, 262144]


def test_netstat_picks_what_node_exporter_picks():
    found = {name.removeprefix("node_netstat_"): value for (name, _), value in look(NetStat(RECORDED)).items()}
    assert found["Tcp_RetransSegs"] == 12
    assert found["TcpExt_ListenOverflows"] == 6
    assert found["IpExt_InOctets"] == 7654321
    assert found["Ip6_OutOctets"] == 6240
    assert found["Udp6_InDatagrams"] == 3
    assert {"Tcp_RtoMin", "TcpExt_TW", "Ip6_InReceives", "IcmpMsg_InType3"} & set(found) == set()


def test_only_what_goes_up_and_down_is_a_gauge_in_netstat():
    kinds = {sample.series.name: sample.series.kind for sample in NetStat(RECORDED).observe(MOMENT).samples}
    gauges = {name for name, kind in kinds.items() if kind is Kind.GAUGE}
    assert gauges == {"node_netstat_Ip_Forwarding", "node_netstat_Tcp_CurrEstab"}


def test_sockets_are_counted_and_their_memory_is_in_pages_and_bytes():
    found = {name.removeprefix("node_sockstat_"): value for (name, _), value in look(SockStat(RECORDED)).items()}
    assert (found["sockets_used"], found["TCP_tw"], found["UDP6_inuse"]) == (42, 85, 1)
    assert found["TCP_mem_bytes"] == found["TCP_mem"] * os.sysconf("SC_PAGE_SIZE")


def test_packets_are_counted_by_the_cpu_that_the_line_names():
    found = look(SoftNet(RECORDED))
    assert found["node_softnet_dropped_total", labels(cpu="3")] == 10  # the second line: CPUs 1 and 2 are offline
    assert found["node_softnet_processed_total", labels(cpu="0")] == 0x1C453E


def test_packets_are_counted_by_line_where_the_kernel_names_no_cpu(tree: Path):
    (tree / "proc/net/softnet_stat").write_text("00000001 00000002 00000003 0\n00000004 00000005 00000006 0\n")
    assert look(SoftNet(tree))["node_softnet_times_squeezed_total", labels(cpu="1")] == 6


def test_neighbours_are_counted_by_device():
    assert look(ARP(RECORDED)) == {
        ("node_arp_entries", labels(device="eth0")): 2,
        ("node_arp_entries", labels(device="docker0")): 1,
    }


def test_entropy():
    assert list(look(Entropy(RECORDED)).values()) == [256, 256]


def test_queues_of_udp_are_summed_over_its_sockets():
    found = look(UDPQueues(RECORDED))
    assert found["node_udp_queues", labels(ip="v4", queue="rx")] == 0x300
    assert found["node_udp_queues", labels(ip="v4", queue="tx")] == 0x10
    assert found["node_udp_queues", labels(ip="v6", queue="rx")] == 0


def test_kernel_without_ipv6_has_the_rest(tree: Path):
    for name in ("snmp6", "sockstat6", "udp6"):
        (tree / "proc/net" / name).unlink()
    assert all("6" not in name for name, _ in look(NetStat(tree)))
    assert len(look(SockStat(tree))) == 12
    assert len(look(UDPQueues(tree))) == 2


def test_connection_tracking_that_is_not_loaded_is_no_data(tree: Path):
    shutil.rmtree(tree / "proc/sys/net/netfilter")
    with pytest.raises(NoData, match="nf_conntrack"):
        Conntrack(tree).observe(MOMENT)


def test_pressure_is_seconds_waiting_and_stalled():
    found = {name: value for (name, _), value in look(Pressure(RECORDED)).items()}
    assert found == {
        "node_pressure_cpu_waiting_seconds_total": 7.20971,
        "node_pressure_io_waiting_seconds_total": 4.346516,
        "node_pressure_io_stalled_seconds_total": 4.158521,
        "node_pressure_memory_waiting_seconds_total": 1.0,
        "node_pressure_memory_stalled_seconds_total": 0.5,
        "node_pressure_irq_stalled_seconds_total": 0.25,
    }


def test_pressure_the_kernel_does_not_keep_is_no_data(tree: Path):
    shutil.rmtree(tree / "proc/pressure")
    with pytest.raises(NoData, match="psi=1"):
        Pressure(tree).observe(MOMENT)


def test_disks_are_whole_disks_in_bytes_and_seconds():
    found = look(DiskStats(RECORDED))
    sda = labels(device="sda")
    assert found["node_disk_read_bytes_total", sda] == 4192882 * 512
    assert found["node_disk_write_time_seconds_total", sda] == pytest.approx(11.040)
    assert found["node_disk_io_now", sda] == 2
    assert found["node_disk_flush_requests_total", sda] == 3511
    assert {dict(key[1])["device"] for key in found} == {"sda", "nvme0n1"}


def test_disk_of_an_older_kernel_has_no_discards():
    names = {name for name, device in look(DiskStats(RECORDED)) if device == labels(device="nvme0n1")}
    assert "node_disk_io_time_weighted_seconds_total" in names
    assert "node_disk_discards_completed_total" not in names


def test_disk_that_vanishes_leaves_the_others(tree: Path):
    probe = DiskStats(tree)
    look(probe)
    lines = (tree / "proc/diskstats").read_text().splitlines(keepends=True)
    (tree / "proc/diskstats").write_text("".join(line for line in lines if " sda" not in line))
    assert {dict(key[1])["device"] for key in look(probe)} == {"nvme0n1"}


def test_network_traffic_leaves_the_loopback_out():
    found = look(NetDev(RECORDED))
    eth0 = labels(device="eth0")
    assert found["node_network_receive_bytes_total", eth0] == 493154496
    assert found["node_network_receive_multicast_total", eth0] == 6
    assert found["node_network_transmit_drop_total", eth0] == 8
    assert found["node_network_transmit_carrier_total", eth0] == 11
    assert {dict(key[1])["device"] for key in found} == {"eth0", "docker0"}


def test_network_devices_have_only_what_they_know():
    found = look(NetClass(RECORDED))
    assert found["node_network_up", labels(device="eth0")] == 1
    assert found["node_network_up", labels(device="docker0")] == 0
    assert found["node_network_up", labels(device="lo")] == 0
    assert found["node_network_speed_bytes", labels(device="eth0")] == 125_000_000
    assert found["node_network_mtu_bytes", labels(device="lo")] == 65536
    assert ("node_network_carrier", labels(device="docker0")) not in found


def test_network_device_that_vanishes_leaves_the_others(tree: Path):
    probe = NetClass(tree)
    look(probe)
    shutil.rmtree(tree / "sys/class/net/docker0")
    assert {dict(key[1])["device"] for key in look(probe)} == {"eth0", "lo"}


def test_uname_follows_a_change_of_the_host_name(tree: Path):
    probe = Uname(tree)
    ((_, before),) = look(probe)
    assert dict(before) == {
        "domainname": "(none)",
        "machine": os.uname().machine,
        "nodename": "web-1",
        "release": "6.1.0-30-amd64",
        "sysname": "Linux",
        "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.124-1",
    }
    (tree / "proc/sys/kernel/hostname").write_text("web-2\n")
    ((_, after),) = look(probe)
    assert dict(after)["nodename"] == "web-2"


def test_os_release_is_found_in_its_second_place():
    found = look(OSRelease(RECORDED))
    (info,) = [dict(given) for name, given in found if name == "node_os_info"]
    assert info["pretty_name"] == "Debian GNU/Linux 12 (bookworm)"
    assert info["variant"] == ""
    assert found["node_os_version", labels(id="debian", id_like="", name="Debian GNU/Linux")] == 12


def test_clock_discipline_is_read_in_the_unit_the_kernel_says():
    fields = [0, 1500, 65536 * 100, 16_000_000, 250, 0x2001, 2, 1, 0, 0, 0, 10000, *([0] * 8), 37]
    found = {name: value for (name, _), value in look(Timex(lambda: (0, LAYOUT.pack(*fields)))).items()}
    assert found["node_timex_offset_seconds"] == pytest.approx(1.5e-6)  # STA_NANO
    assert found["node_timex_maxerror_seconds"] == 16
    assert found["node_timex_sync_status"] == 1
    assert found["node_timex_frequency_adjustment_ratio"] == pytest.approx(1.0001)
    assert found["node_timex_tick_seconds"] == 0.01
    assert found["node_timex_tai_offset_seconds"] == 37


def test_clock_that_is_not_synchronised_says_so():
    found = {name: value for (name, _), value in look(Timex(lambda: (5, bytes(LAYOUT.size)))).items()}
    assert found["node_timex_sync_status"] == 0


def test_timex_reads_this_kernel():
    found = {name: value for (name, _), value in look(Timex()).items()}
    assert 0.0009 < found["node_timex_tick_seconds"] < 0.02


def test_processes_are_ranked_and_never_show_arguments():
    (document,) = Processes(RECORDED).observe(MOMENT).documents
    assert document.kind == "processes"
    assert document.body["count"] == 2
    assert document.body["threads"] == 8
    first = document.body["by_cpu"][0]
    assert first["name"] == "post gres) 1"
    assert first["cpu_ratio"] == pytest.approx(1.0, abs=0.01)  # 100 s of CPU in the 100 s since its start
    assert first["resident_bytes"] == 9000 * os.sysconf("SC_PAGE_SIZE")
    assert first["user"] == "root"
    assert first["started_ms"] == MOMENT.wall_ms - 100_000
    assert set(first) == {
        "pid",
        "name",
        "user",
        "state",
        "threads",
        "cpu_ratio",
        "resident_bytes",
        "started_ms",
    }


def test_process_that_did_nothing_since_the_last_look_uses_no_cpu():
    probe = Processes(RECORDED)
    probe.observe(MOMENT)
    (document,) = probe.observe(Moment(MOMENT.wall_ms + 30_000, MOMENT.boottime_ns + 30_000_000_000)).documents
    assert [each["cpu_ratio"] for each in document.body["by_cpu"]] == [0.0, 0.0]


def test_self_metrics_carry_those_of_their_sources():
    depth = Series("sigap_agent_spool_batches")
    sources = []
    probe = SelfMetrics(sources, version="1.2.3")
    sources.append(lambda: [Sample(depth, 5.0)])
    found = look(probe)
    assert found["sigap_agent_spool_batches", ()] == 5
    assert found["sigap_agent_resident_bytes", ()] > 1_000_000
    assert found["sigap_agent_threads", ()] >= 1
    ((_, build),) = [key for key in found if key[0] == "node_exporter_build_info"]
    assert dict(build)["version"] == "1.2.3"


@pytest.mark.parametrize("name", sorted(set(HOST_PROBES) - {"self", "timex", "filesystem"}))
def test_probe_gives_the_same_series_objects_on_every_beat(name: str):
    probe = HOST_PROBES[name].make(Host(RECORDED))
    before = [sample.series for sample in probe.observe(MOMENT).samples]
    after = [sample.series for sample in probe.observe(MOMENT).samples]
    assert all(one is other for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("name", sorted(HOST_PROBES))
def test_registry_knows_each_probe_by_its_own_name(name: str):
    probe = HOST_PROBES[name].make(Host(RECORDED))
    assert probe.name == name


@pytest.mark.parametrize("name", sorted(set(HOST_PROBES) - {"portable", "self", "time", "timex", "textfile"}))
def test_file_that_is_missing_is_an_error_and_not_an_empty_answer(name: str, tmp_path: Path):
    with pytest.raises((FileNotFoundError, NoData)):
        HOST_PROBES[name].make(Host(tmp_path)).observe(MOMENT)


def test_every_series_has_help_and_counters_only_grow():
    for name in set(HOST_PROBES) - {"filesystem"}:
        for series, _ in HOST_PROBES[name].make(Host(RECORDED)).observe(MOMENT).samples:
            assert series.help.endswith("."), series
            assert series.labels == tuple(sorted(series.labels))
            if series.name.endswith("_total"):
                assert series.kind is Kind.COUNTER, series


def test_pressure_that_fails_for_another_reason_is_reported(tree: Path):
    (tree / "proc/pressure/cpu").unlink()
    (tree / "proc/pressure/cpu").mkdir()
    with pytest.raises(OSError) as failure:
        Pressure(tree).observe(MOMENT)
    assert failure.value.errno == errno.EISDIR
