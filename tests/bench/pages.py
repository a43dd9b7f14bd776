"""The server's time for every page and its JSON twin with 500 hosts, while all of them deliver.

Time is taken in the server around the handler, authentication, reading, rendering and encoding included; writing to the
socket is not, but for a long answer to a scraper, which is sent while it is made. One request at a time, the pages in
turn, so that nothing is warm from the request before. A page that takes longer than its limit at the 95th percentile
fails the benchmark, and so do acknowledgements at the 99th; what is made for scrapers is reported only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from tests.bench.figure import Figure
from tests.bench.instance import Address, Report

ROUNDS = 40
WARM_ROUNDS = 2
LIMIT_MS = 100.0
ACK_LIMIT_MS = 100.0
"""From a batch to its acknowledgement, the time that it waits for others included, whatever is asked for meanwhile."""
PERCENTILE = 95
COOKIE = "sigap"


class Ask(NamedTuple):
    """A request, and whether its time is limited."""

    path: str
    is_limited: bool = True


def asks(alert_id: int, agent_id: str) -> list[Ask]:
    """Every page, its twin, the charts' data, the manual, and what scrapers read."""
    pages = [
        "/", "/hosts", "/hosts?q=server-12", "/hosts?sort=-cpu", "/hosts?sort=name&page=3", "/hosts?state=down",
        "/hosts/server-001", "/hosts/server-001?range=30d", "/services", "/services/service-03",
        "/services/service-03?window=30d", "/alerts", "/alerts/history", f"/alerts/{alert_id}", "/agents",
        f"/agents/{agent_id}", "/settings", "/registers", "/registers/host", "/registers/check",
        "/registers/check?q=tcp&sort=-key", "/registers/service", "/registers/rule", "/registers/channel",
        "/registers/host/server-001", "/registers/service/service-03/edit", "/docs", "/styleguide",
    ]  # fmt: skip
    data = [f"/hosts/server-001/charts?range={name}" for name in ("1h", "24h", "30d")]
    data += ["/hosts/server-300/charts?range=1h", "/api/v1/host?limit=500", "/api/v1/check", "/api/v1/openapi.json"]
    data.append(f"/api/v1/series?match={_quoted('node_load1', 'instance', 'server-001')}&range=24h")
    scrapes = [
        "/metrics",
        f"/federate?match[]={_quoted('node_load1', 'job', 'node')}",
        f"/federate?match[]={_quoted('node_cpu_seconds_total', 'job', 'node')}",
        f"/federate?match[]={_quoted('', 'instance', 'server-001')}",
        "/federate/hosts/server-001",
        "/api/v1/sd/agents",
    ]
    twins = [_twin(path) for path in pages if not path.endswith("/edit")]
    return [*map(Ask, pages), *map(Ask, twins), *map(Ask, data), *(Ask(path, is_limited=False) for path in scrapes)]


def _quoted(name: str, label: str, value: str) -> str:
    """A selector for an address."""
    return quote(f'{name}{{{label}="{value}"}}')


def _twin(path: str) -> str:
    before, mark, query = path.partition("?")
    return f"{'/index' if before == '/' else before}.json{mark}{query}"


def run() -> Iterator[Figure]:
    """A figure for each request, the slowest first, then the server's own.

    Raises:
        SystemExit: A page or an acknowledgement took longer than its limit.
    """
    with tempfile.TemporaryDirectory(prefix="sigap-bench-") as folder, _instance(folder) as (address, pipes):
        yield Figure("fill: 500 hosts, 2,000 checks, 60 services, a month", address["fill_seconds"], "s")
        yield Figure("start: replay of two hours of rows", address["start_seconds"], "s")
        client = _Client(address)
        wanted = asks(client.some_alert(), client.some_agent())
        client.rounds(wanted, WARM_ROUNDS)
        pipes.send()
        pipes.read()
        sizes = client.rounds(wanted, ROUNDS)
        pipes.send()
        report: Report = pipes.read()
    yield from _own(report)
    slow = []
    for ask, times_ms in _times(wanted, report):
        p50, p95 = np.percentile(times_ms, [50, PERCENTILE])
        is_slow = ask.is_limited and p95 > LIMIT_MS
        slow += [ask.path] if is_slow else []
        against = f"p50 {p50:.1f} ms, {sizes[ask.path] / 1024:.0f} KiB{', TOO SLOW' if is_slow else ''}"
        yield Figure(ask.path if ask.is_limited else f"(scrape) {ask.path}", p95, "ms p95", against)
    if slow:
        raise SystemExit(f"Slower than {LIMIT_MS:.0f} ms at the 95th percentile: {', '.join(slow)}")
    if np.percentile(report["ack_seconds"], 99) * 1000 > ACK_LIMIT_MS:
        raise SystemExit(f"Acknowledged later than {ACK_LIMIT_MS:.0f} ms at the 99th percentile.")


def _times(wanted: list[Ask], report: Report) -> list[tuple[Ask, list[float]]]:
    """The times of each request; they came in turn, so their order says which is whose."""
    requests = report["requests"]
    if len(requests) != ROUNDS * len(wanted) or any(status != "200" for _, status, _ in requests):
        raise RuntimeError(f"{len(requests)} answers to {ROUNDS * len(wanted)} requests, or some that are no success.")
    found = [
        (ask, [seconds * 1000 for _, _, seconds in requests[place :: len(wanted)]]) for place, ask in enumerate(wanted)
    ]
    return sorted(found, key=lambda one: (not one[0].is_limited, -float(np.percentile(one[1], PERCENTILE))))


def _own(report: Report) -> Iterator[Figure]:
    """What the server was like meanwhile."""
    lag, ack = np.array(report["loop_lag_seconds"]) * 1000, np.array(report["ack_seconds"]) * 1000
    rate = report["rows"] / report["wall_seconds"]
    yield Figure("rows acknowledged meanwhile", rate, "rows/s", f"150 series each, {report['wall_seconds']:.0f} s")
    against = f"p50 {np.median(ack):.1f} ms, worst {ack.max():.1f} ms"
    yield Figure("batch to acknowledgement", float(np.percentile(ack, 99)), "ms p99", against)
    yield Figure("event loop late", float(np.percentile(lag, 99)), "ms p99", f"worst {lag.max():.1f} ms")
    yield Figure("resident memory", report["rss_mib"], "MiB", "500 hosts, two hours of rows in heads")
    yield Figure("CPU", report["cpu_seconds"] / report["wall_seconds"], "cores")


class _Pipes:
    """Lines to and from the instance."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout

    def send(self) -> None:
        """Say that the next part begins."""
        print(file=self._in, flush=True)

    def read(self) -> Any:
        """The next answer."""
        line = self._out.readline()
        if not line:
            raise RuntimeError("The collector ended early.")
        return json.loads(line)


@contextlib.contextmanager
def _instance(folder: str) -> Iterator[tuple[Address, _Pipes]]:
    command = [sys.executable, "-m", "tests.bench.instance", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            pipes = _Pipes(process)
            yield pipes.read(), pipes
        finally:
            process.terminate()


class _Client:
    """A browser that asks for one thing after the other."""

    def __init__(self, address: Address) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", address["port"], timeout=60)
        self._headers = {"Cookie": f"{COOKIE}={address['cookie']}"}

    def rounds(self, wanted: list[Ask], count: int) -> dict[str, int]:
        """Everything, in turn; returns how long the last answers were."""
        return {ask.path: len(self.get(ask.path)) for _ in range(count) for ask in wanted}

    def get(self, path: str) -> bytes:
        """The body of a successful answer."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path} was answered with {answer.status}: {body[:500]!r}")
        return body

    def some_alert(self) -> int:
        """An alert with a history."""
        return int(json.loads(self.get("/alerts/history.json"))["alerts"][0]["id"])

    def some_agent(self) -> str:
        """An agent's id."""
        return str(json.loads(self.get("/agents.json"))["agents"][0]["agent"]["id"])
