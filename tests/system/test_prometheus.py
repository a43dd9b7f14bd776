"""A real Prometheus beside the product: it finds the hosts, scrapes what they measured, and asks us how we are."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_ports
from tests.system.product import HOST, Product, measured, product, program, wait_for
from tests.system.shop import SERVICE, agent_text, is_seen
from tests.system.surroundings import Service, service

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus" / "prometheus.yml"
MANUAL = Path(__file__).parents[2] / "web" / "docs"
SECONDS = 40.0

pytestmark = [
    pytest.mark.system,
    pytest.mark.counterpart,
    pytest.mark.xdist_group("prometheus"),
]
needs_prometheus = pytest.mark.skipif(program("prometheus") is None, reason="needs Debian's prometheus")
needs_promtool = pytest.mark.skipif(program("promtool") is None, reason="needs promtool of Debian's prometheus")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("watched")) as made:
        yield made


@pytest.fixture(scope="module")
def running(watched: Service) -> Iterator[Product]:
    with product(agent_text=agent_text(watched.port)) as started:
        is_seen(started, SECONDS)
        started.apply(SERVICE)
        wait_for(lambda: "node_load1{" in started.browser.request("GET", f"/federate/hosts/{HOST}").text, SECONDS)
        yield started


class Prometheus:
    """The program of Debian 12 with our shipped configuration, on ports and files of the test."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **query: str) -> Any:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
            answer = connection.getresponse()
            # While it starts it answers 503.
            return json.loads(answer.read())["data"] if answer.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def value(self, expression: str) -> float | None:
        """The only value of an instant query; None when it has none yet."""
        found = self.get("query", query=expression)
        results = found["result"] if found else []
        assert len(results) <= 1, results
        return float(results[0]["value"][1]) if results else None


@contextmanager
def prometheus(running: Product, folder: Path) -> Iterator[Prometheus]:
    token = folder / "token"
    token.write_text(running.run("token", "prometheus").stdout.strip())
    text = SHIPPED.read_text()
    text = text.replace("127.0.0.1:8420", running.address).replace("/etc/prometheus/sigap-token", str(token))
    text = re.sub(r"(scrape_interval|refresh_interval): \d+s", r"\1: 2s", text)
    file, address = folder / "prometheus.yml", f"127.0.0.1:{free_ports(1)[0]}"
    file.write_text(text)
    command = [program("prometheus") or "", f"--config.file={file}", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            yield Prometheus(address)
        finally:
            process.terminate()
            process.wait()


@needs_prometheus
def test_prometheus_finds_every_host_and_scrapes_samples_states_and_our_health(
    running: Product, tmp_path: Path
) -> None:
    with prometheus(running, tmp_path) as beside:

        def healthy() -> dict[str, Any] | None:
            found = beside.get("targets", state="active")
            targets = {one["labels"]["job"]: one for one in found["activeTargets"]} if found else {}
            both = {"sigap", "node"} == targets.keys()
            return targets if both and all(one["health"] == "up" for one in targets.values()) else None

        targets = wait_for(healthy, SECONDS, "both targets are up")
        assert targets["node"]["labels"]["instance"] == HOST
        assert targets["node"]["scrapeUrl"] == f"http://{running.address}/federate/hosts/{HOST}"
        load = wait_for(lambda: beside.value(f'node_load1{{instance="{HOST}",job="node"}}'), SECONDS, "the load")
        assert load >= 0
        state = 'sigap_service_state{service="web-shop",state="up"}'
        assert wait_for(lambda: beside.value(state), SECONDS, "the service's state") == 1
        objective = beside.value('sigap_service_availability_objective_ratio{service="web-shop"}')
        assert objective == pytest.approx(0.999)
        joined = f'node_uname_info{{instance="{HOST}"}} * on(instance) group_left node_load1{{instance="{HOST}"}}'
        assert beside.value(joined) is not None
        assert beside.value('rate(node_cpu_seconds_total{instance="' + HOST + '",cpu="0",mode="idle"}[5m])') != 0
        measured("samples of one host in a scrape", beside.value('scrape_samples_scraped{job="node"}') or 0, "samples")


@needs_prometheus
def test_a_whole_federation_by_match_carries_labels_and_times(running: Product) -> None:
    asked = urllib.parse.urlencode({"match[]": '{job="node",__name__=~"node_load.+"}'})
    text = running.browser.request("GET", f"/federate?{asked}").text
    found = re.findall(r'^(node_load\d+)\{instance="([^"]+)",job="node"\} (\S+) (\d{13})$', text, re.MULTILINE)
    assert {name for name, *_ in found} == {"node_load1", "node_load5", "node_load15"}
    assert {host for _, host, *_ in found} == {HOST}


def scraped(running: Product) -> str:
    answer = running.browser.request("GET", "/metrics")
    assert answer.status == 200
    return answer.text


@needs_promtool
def test_promtool_finds_nothing_wrong_with_our_metrics(running: Product) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=scraped(running), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_the_shipped_configuration(tmp_path: Path) -> None:
    token, file = tmp_path / "token", tmp_path / "prometheus.yml"
    token.write_text("sigap_x")
    file.write_text(SHIPPED.read_text().replace("/etc/prometheus/sigap-token", str(token)))
    done = subprocess.run(["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("language", ["en", "id"])
def test_the_manual_lists_every_metric_about_ourselves_and_about_agents(running: Product, language: str) -> None:
    page = (MANUAL / language / "metrics.md").read_text()
    named = set(re.findall(r"^# TYPE (sigap_\w+)", scraped(running), re.MULTILINE))
    agent = running.browser.request("GET", f"/federate/hosts/{HOST}").text
    named |= set(re.findall(r"^# TYPE (sigap_\w+)", agent, re.MULTILINE))
    assert len(named) > 50
    assert sorted(name for name in named if f"`{name}`" not in page) == []
