"""`make run` in its first minute, its end, and the next start."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.system.product import HOST, Product, measured, product, wait_for

pytestmark = pytest.mark.system

LIVE_SECONDS = 15.0
"""From the printed address to this host's numbers on the page."""
MEMORY_TOLERANCE = 0.15
DISK_TOLERANCE = 0.02
LOAD_TOLERANCE = 4.0
CPU_TOLERANCE = 0.1
BEATS = 2
CHARTS = ("cpu", "memory", "load", "filesystems", "disk", "network")
CPU, MEMORY, FILESYSTEM = 1, 2, 4
"""Positions of the vital numbers."""


def drawn(product: Product) -> dict[str, dict[str, list[float]]]:
    """Chart → line → its points; only charts and lines that have any."""
    charts: dict[str, Any] = product.json(f"/hosts/{HOST}/charts?range=15m")["charts"]
    found = {
        name: {one["label"]: [v for v in one["values"] if v is not None] for one in chart["series"]}
        for name, chart in charts.items()
    }
    return {name: {label: v for label, v in lines.items() if v} for name, lines in found.items()}


def shows_this_host(product: Product) -> dict[str, Any] | None:
    """The host's page, once processor, memory and filesystems are there as numbers and as charts."""
    if HOST not in product.hosts():
        return None
    page, charts = product.json(f"/hosts/{HOST}.json"), drawn(product)
    vitals = page["vitals"]
    is_there = vitals is not None and None not in (vitals[CPU], vitals[MEMORY], vitals[FILESYSTEM])
    return {**page, "charts": charts} if is_there and all(charts.get(name) for name in CHARTS) else None


def heard_after(product: Product, moment_ms: int) -> bool:
    """Whether the local agent has delivered since."""
    agents = product.control("GET", "/agents")["agents"]
    return bool(agents) and (agents[0]["last_seen_ms"] or 0) > moment_ms


def test_this_hosts_real_numbers_are_shown_within_15_seconds_of_the_printed_address() -> None:
    with product() as running:
        page = wait_for(lambda: shows_this_host(running), 4 * LIVE_SECONDS, "this host's numbers")
        took = time.monotonic() - running.printed_at
        measured("printed address to this host's CPU, memory and filesystems", took)
        memory, charts, vitals = psutil.virtual_memory(), page["charts"], page["vitals"]
        total = sum(charts["memory"][part][-1] for part in ("used", "cache", "free"))
        assert total == pytest.approx(memory.total, rel=1e-5)
        assert charts["memory"]["free"][-1] == pytest.approx(memory.free, abs=MEMORY_TOLERANCE * memory.total)
        assert vitals[MEMORY] == pytest.approx(1 - memory.available / memory.total, abs=MEMORY_TOLERANCE)
        root = os.statvfs("/")
        used = (root.f_blocks - root.f_bavail) / root.f_blocks
        assert charts["filesystems"]["/"][-1] == pytest.approx(used, abs=DISK_TOLERANCE)
        assert charts["load"]["1 min"][-1] == pytest.approx(psutil.getloadavg()[0], abs=LOAD_TOLERANCE)
        assert 0 < vitals[CPU] <= 1
        assert 0 < sum(values[-1] for values in charts["cpu"].values()) <= 1.02
        assert page["facts"]["body"]["cpu_count"] == psutil.cpu_count()
        assert page["facts"]["body"]["memory_bytes"] == memory.total
        assert took <= LIVE_SECONDS


def test_the_readme_shows_what_is_printed() -> None:
    with product() as running:
        printed = running.output().replace(running.address, "ADDRESS").replace(str(running.folder), "FOLDER")
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("```text\n")[2].partition("```")[0]
    shown = shown.replace("127.0.0.1:8420", "ADDRESS").replace("/home/sari/sigap/var", "FOLDER")
    lines = re.sub(r"link=\S+", "link=…", printed).splitlines()
    assert lines[: len(shown.splitlines())] == shown.splitlines()


def test_the_open_page_gets_each_beat_and_the_charts_agree_with_the_kernel() -> None:
    with product() as running:
        wait_for(lambda: HOST in running.hosts(), LIVE_SECONDS, "the host")
        ticks = (data["charts"] for name, data in running.browser.events(f"/live/hosts/{HOST}", 30) if name == "tick")
        first = next(one for one in ticks if "cpu" in one)
        measured("printed address to the first live point of the CPU chart", time.monotonic() - running.printed_at)
        before, began = psutil.cpu_times(), time.monotonic()
        beats = [next(one for one in ticks if "cpu" in one) for _ in range(BEATS)]
        after, took = psutil.cpu_times(), time.monotonic() - began
        user = (after.user - before.user) / took / (psutil.cpu_count() or 1)
        assert sum(one["cpu"]["user"] for one in beats) / BEATS == pytest.approx(user, abs=CPU_TOLERANCE)
        assert 0 < sum(first["cpu"].values()) <= 1.02
        user_line = drawn(running)["cpu"]["user"]
        assert max(user_line) <= 1.02
        assert min(user_line) > 0


def test_it_stops_within_10_seconds_and_the_next_start_goes_on_with_the_same_agent_and_data() -> None:
    with product() as running:
        wait_for(lambda: drawn(running).get("memory") if HOST in running.hosts() else None, 30, "memory")
        before = running.control("GET", "/agents")["agents"]
        agent = running.agent_pid()
        since_ms = int(time.time() * 1000)
        measured("SIGTERM to the end of collector and agent", running.stop())
        assert not psutil.pid_exists(agent)
        running.start()
        running.sign_in()
        window = f"since={since_ms - 900_000}&until={since_ms}"
        old = running.json(f"/api/v1/series?match=node_memory_MemTotal_bytes&host={HOST}&{window}")["series"]
        assert old[0]["values"][0] == psutil.virtual_memory().total
        wait_for(
            lambda: running.json(f"/api/v1/series?match=node_memory_MemTotal_bytes&since={since_ms + 1}")["series"],
            30,
            "numbers of the second start",
        )
        after = running.control("GET", "/agents")["agents"]
        assert [one["id"] for one in after] == [one["id"] for one in before]
        assert after[0]["status"] == "active"


def test_its_agent_ends_with_it_even_when_it_is_killed_and_the_next_start_has_the_spool_for_itself() -> None:
    with product() as running:
        wait_for(lambda: heard_after(running, 0), LIVE_SECONDS, "the agent to deliver")
        agent = running.agent_pid()
        assert running.process is not None
        running.process.kill()
        running.process.wait()
        wait_for(lambda: not psutil.pid_exists(agent), 15, "the agent to end")
        before, killed_ms = len(running.output()), int(time.time() * 1000)
        running.start()
        running.sign_in()
        wait_for(lambda: heard_after(running, killed_ms), LIVE_SECONDS, "another agent to deliver")
        assert "in use by another agent" not in running.output()[before:]
