"""Filesystems: which count, what they say, and what happens when one never answers."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.probes.filesystem import Filesystem
from agent.sample import Moment, Sample

RECORDED = Path(__file__).parents[2] / "data" / "host"
MOMENT = Moment(1_795_561_589_500, 1_000_500_000_000)
DEADLINE_SECONDS = 10
SHORT_SECONDS = 0.05
FULL = os.statvfs_result((4096, 4096, 1000, 300, 200, 50, 40, 30, 0, 255))


class Mounts:
    """A kernel whose mounts hang until they are let go."""

    def __init__(self, *dead: str) -> None:
        self.dead = set(dead)
        self.asked: list[str] = []
        self.alive = threading.Event()

    def statfs(self, path: str) -> os.statvfs_result:
        self.asked.append(path)
        if path in self.dead:
            assert self.alive.wait(DEADLINE_SECONDS)
        return FULL


def by_mount(samples: list[Sample], name: str) -> dict[str, float]:
    return {dict(series.labels)["mountpoint"]: value for series, value in samples if series.name == name}


def observe(probe: Filesystem) -> list[Sample]:
    return list(probe.observe(MOMENT).samples)


def eventually(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not claim():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


def test_mounts_that_count_each_appear_once():
    samples = observe(Filesystem(RECORDED, statfs=Mounts().statfs))
    assert by_mount(samples, "node_filesystem_device_error") == {
        "/": 0,
        "/srv/dua kata": 0,
        "/srv/share": 0,
        "/srv/frozen": 0,
    }
    (size,) = [s for s, _ in samples if s.name == "node_filesystem_size_bytes" and ("mountpoint", "/") in s.labels]
    assert size.labels == (("device", "/dev/sda1"), ("fstype", "ext4"), ("mountpoint", "/"))


def test_values_are_bytes_and_inodes():
    samples = observe(Filesystem(RECORDED, statfs=Mounts().statfs))
    values = {s.name: v for s, v in samples if ("mountpoint", "/") in s.labels}
    assert values == {
        "node_filesystem_device_error": 0,
        "node_filesystem_size_bytes": 4096000,
        "node_filesystem_free_bytes": 300 * 4096,
        "node_filesystem_avail_bytes": 200 * 4096,
        "node_filesystem_files": 50,
        "node_filesystem_files_free": 40,
        "node_filesystem_readonly": 0,
    }


def test_readonly_mount_and_readonly_filesystem_both_count():
    samples = observe(Filesystem(RECORDED, statfs=Mounts().statfs))
    assert by_mount(samples, "node_filesystem_readonly") == {
        "/": 0,
        "/srv/dua kata": 1,
        "/srv/share": 0,
        "/srv/frozen": 1,
    }


def test_dead_mount_is_an_error_and_the_rest_is_seen():
    kernel = Mounts("/srv/share")
    probe = Filesystem(RECORDED, statfs=kernel.statfs, timeout_seconds=SHORT_SECONDS)
    errors = by_mount(observe(probe), "node_filesystem_device_error")
    assert errors == {"/": 0, "/srv/dua kata": 0, "/srv/share": 1, "/srv/frozen": 0}
    kernel.alive.set()


def test_dead_mount_is_asked_once_and_costs_nothing_afterwards():
    kernel = Mounts("/srv/share", "/")
    probe = Filesystem(RECORDED, statfs=kernel.statfs, timeout_seconds=SHORT_SECONDS)
    for _ in range(3):
        errors = by_mount(observe(probe), "node_filesystem_device_error")
        assert errors == {"/": 1, "/srv/dua kata": 0, "/srv/share": 1, "/srv/frozen": 0}
    assert kernel.asked.count("/srv/share") == 1
    assert kernel.asked.count("/srv/frozen") == 3
    kernel.alive.set()


def test_mount_that_answers_at_last_is_asked_again():
    kernel = Mounts("/srv/share")
    probe = Filesystem(RECORDED, statfs=kernel.statfs, timeout_seconds=SHORT_SECONDS)
    observe(probe)
    kernel.alive.set()
    eventually(lambda: by_mount(observe(probe), "node_filesystem_device_error")["/srv/share"] == 0)


def test_mount_the_kernel_refuses_is_an_error():
    def refuse(path: str) -> os.statvfs_result:
        if path == "/":
            raise PermissionError(13, "denied")
        return FULL

    errors = by_mount(observe(Filesystem(RECORDED, statfs=refuse)), "node_filesystem_device_error")
    assert errors["/"] == 1
    assert errors["/srv/share"] == 0


def test_mounts_of_this_process_stand_in_where_those_of_process_1_are_hidden(tmp_path: Path):
    shutil.copytree(RECORDED / "proc/1", tmp_path / "proc/self")
    assert by_mount(observe(Filesystem(tmp_path, statfs=Mounts().statfs)), "node_filesystem_size_bytes")


def test_mount_that_is_gone_disappears(tmp_path: Path):
    shutil.copytree(RECORDED / "proc/1", tmp_path / "proc/1")
    probe = Filesystem(tmp_path, statfs=Mounts().statfs)
    observe(probe)
    table = tmp_path / "proc/1/mountinfo"
    table.write_text("".join(line for line in table.read_text().splitlines(keepends=True) if "nfs4" not in line))
    assert "/srv/share" not in by_mount(observe(probe), "node_filesystem_size_bytes")


def test_series_are_the_same_objects_while_the_mounts_are_the_same():
    probe = Filesystem(RECORDED, statfs=Mounts().statfs)
    first, second = observe(probe), observe(probe)
    assert all(one.series is other.series for one, other in zip(first, second, strict=True))


def test_root_of_this_host_is_measured():
    sizes = by_mount(observe(Filesystem()), "node_filesystem_size_bytes")
    if "/" not in sizes:
        pytest.skip("the root filesystem here is of an excluded type (a container's overlay)")
    assert sizes["/"] > 0
