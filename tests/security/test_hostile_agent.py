"""An agent that is let in and lies in every word: pages, logs, tables and metrics stay what they are.

It has a certificate, so it may say anything; the real collector takes it, a real Chromium looks at every page.
Longer than other files, since the lies and the places where they could show are read side by side.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import logging
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector import logs
from collector.app import Collector
from collector.config import load
from collector.domain.access import Scope
from collector.domain.errors import InvalidInput
from collector.domain.registers import NAMES
from collector.domain.sample import Accepted, Document
from collector.domain.series import Column, Kind, Layout
from collector.edges.http.observed import SHAPES
from collector.flows.checks import DeclaredChecks
from collector.store import alerts, documents, registers
from collector.store.series.layouts import encode, identify
from protos.telemetry.v1 import telemetry_pb2 as pb
from tests.browser.chromium import PROGRAM, chromium
from tests.collector.delivery import DELIVER, Lane, Stream, now_ms
from tests.ports import free_ports
from tests.security.fortress import ADMINISTRATOR, HOST, Fortress, pretty
from tests.system.product import program

MARK = "pwned"
HTML = (
    f"<script>window.{MARK}=1;alert(1)</script>",
    f'"><img src=x onerror="window.{MARK}=1;alert(1)">',
    f"'><svg/onload=window.{MARK}=1>",
    "</title></style></textarea></script><script>alert(1)</script>",
    f"javascript:window.{MARK}=1",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href='javascript:alert(1)'>click</a>",
    "<base href='//evil.example/'><form action=//evil.example>",
    "<!--",
    "]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "{{7*7}}{% for x in ().__class__.__base__.__subclasses__() %}",
    "${7*7}#{7*7}%(x)s%s{0.__class__}",
    "'; DROP TABLE agent; --",
    "' OR '1'='1",
    "\u202egnp.exe\u2066",
    "\u200b\ufeff\u00ad",
    "𝕳𝖔𝖘𝖙 ﷽ " + "\u0300" * 40,
    "=HYPERLINK('http://evil.example')",
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "-2+3",
    "../../../../etc/passwd",
    "a" * 200,
)
STEERING = (
    "one\r\n2026-01-01 00:00:00,000 WARNING forged: two",
    "tab\tand\x1b[2J\x1b]0;title\x07",
    "null\0byte",
    "\x85next\u2028line\u2029paragraph",
)
PAYLOADS = (*HTML, *STEERING)
LONG = "<b>long</b>" * 1_000
FORMULAS = tuple("=+-@\t\r|%")
LINE = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},\d{3} [A-Z]+ \S+: ")
PAGES = ("/", "/hosts", "/services", "/alerts", "/alerts/history", "/agents", "/settings", "/registers",
         "/registers/host", "/registers/check", "/registers/service", "/registers/rule")  # fmt: skip
BEAT_MS = 10_000


def _columns() -> tuple[Column, ...]:
    plain = [each for each in HTML if each.isprintable() or "\u202e" in each][:12]
    return tuple(
        Column(name, (("device", text[:64]), ("fstype", "ext4"), ("mountpoint", text)), Kind.GAUGE, text, LONG)
        for text in plain
        for name in ("node_filesystem_avail_bytes", "node_filesystem_size_bytes")
    )


class Intruder:
    """An enrolled agent that says what the test wants."""

    def __init__(self, stream: Stream, agent_id: str) -> None:
        self.stream, self.agent_id, self.lane = stream, agent_id, Lane()

    async def say(self, payload: pb.Payload) -> None:
        """One batch, acknowledged."""
        await self.stream.send(batch=self.lane.batch(payload))
        while True:
            async with asyncio.timeout(10):
                frame = pb.CollectorFrame.FromString(await self.stream.call.read())
            if frame.WhichOneof("frame") == "ack":
                return


def _request() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    _request.key = key  # type: ignore[attr-defined]
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)


@asynccontextmanager
async def _collector(folder: Path) -> AsyncIterator[Collector]:
    web, telemetry, enrolment = (f"127.0.0.1:{port}" for port in free_ports(3))
    settings = load(
        Path("/dev/null"), {}, store__data=str(folder), web__address=web, telemetry__address=telemetry,
        enrolment__address=enrolment,
    )  # fmt: skip
    made = Collector(settings)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def _let_in(collector: Collector, name: str, /, **hello: Any) -> Intruder:
    issued = await collector.enroller.issue("siti")
    enrolled = await collector.enroller.redeem(
        issued.secret, _request(), host_name=name, version=HTML[0], caller="127.0.0.1"
    )
    key = _request.key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    credentials = grpc.ssl_channel_credentials(enrolled.authority_pem, key, enrolled.certificate_pem)
    channel = grpc.aio.secure_channel(
        collector.settings.telemetry.address, credentials, options=(("grpc.enable_http_proxy", 0),)
    )
    stream = Stream(channel, channel.stream_stream(DELIVER)())
    await stream.send(hello=pb.Hello(protocol_min=1, protocol_max=1, agent_id=enrolled.agent_id, **hello))
    await stream.hear("welcome")
    return Intruder(stream, enrolled.agent_id)


def _everything(at_ms: int) -> pb.Payload:
    """Every string that the wire has a place for."""
    layout_id = identify(encode(Layout(_columns(), BEAT_MS))) & (1 << 64) - 1
    values = np.array([value for _ in range(len(_columns()) // 2) for value in (1.0, 1e12)], "<f8").tobytes()
    checks = [
        {"id": f"local:{number}", "name": text[:128], "kind": "http", "interval_seconds": 30, "timeout_seconds": 5,
         "options": {"url": "https://shop.example/"}}
        for number, text in enumerate(HTML)
    ]  # fmt: skip
    process = {"pid": 1, "cpu_ratio": 0.5, "resident_bytes": 1, "started_ms": at_ms}
    processes = [{**process, "pid": pid, "name": text, "user": text} for pid, text in enumerate(PAYLOADS)]
    host = dict.fromkeys(("os", "kernel", "architecture", "virtualization"), LONG[:500])
    proposals = [
        {"name": text[:128], "kind": text, "options": {text: text}, "why": text, "process": text, "central": True}
        for text in PAYLOADS
    ]
    bodies: Mapping[str, Any] = {
        "checks": {"checks": checks},
        "processes": {"count": 1, "by_cpu": processes, "by_memory": processes[:3]},
        "host": {**host, "name": HTML[0], "addresses": list(PAYLOADS), "boot_time_ms": at_ms, "cpu_count": 1},
        "proposals": {"proposals": proposals, "failed_units": list(PAYLOADS)},
    }
    return pb.Payload(
        rows=[pb.Row(layout_id=layout_id, wall_ms=at_ms, values=values)],
        documents=[
            pb.Document(kind=kind, wall_ms=at_ms, body=json.dumps(body).encode()) for kind, body in bodies.items()
        ],
    )


def _results(at_ms: int) -> pb.Payload:
    return pb.Payload(
        results=[
            pb.CheckResult(
                check_id=f"local:{number}", wall_ms=at_ms, state=pb.STATE_DOWN, reason=text, interval_ms=4_294_967_295,
                timeout_ms=4_294_967_295, attempts=4_294_967_295, latency_seconds=float("nan"), since_ms=-5,
            )
            for number, text in enumerate([*PAYLOADS[: len(HTML) - 1], LONG])
        ]
    )  # fmt: skip


async def _session(collector: Collector) -> str:
    await collector.access.ensure_local_account("siti")
    return (await collector.access.open_link(await collector.access.sign_in_link("siti"))).token


@pytest.fixture
def written() -> Any:
    """What the log holds, written as the program writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.OneLine(logs.FORMAT))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.browser
@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
@pytest.mark.xdist_group("browser")
async def test_no_word_of_an_agent_becomes_more_than_a_word(tmp_path: Path, written: io.StringIO) -> None:
    async with _collector(tmp_path / "data") as collector:
        intruder = await _attack(collector)
        await collector.registrar.create("siti", "service", {
            "key": "hostile", "name": HTML[1], "name_id": HTML[0], "owner": HTML[11], "description": HTML[3],
            "members": [one.key for one in await _all(collector, "check")][:20],
        })  # fmt: skip
        secret = await _session(collector)
        base = f"http://{collector.settings.web.address}"
        wrong: dict[str, object] = {}
        paths = [*PAGES, f"/agents/{intruder.agent_id}"]
        for name in NAMES:
            keys = [record.key for record in await _all(collector, name)][:2]
            paths += [f"/registers/{name}/{key}{more}" for key in keys for more in ("", "/edit")]
        paths += [f"/hosts/{record.key}" for record in await _all(collector, "host")] + ["/services/hostile"]
        paths += [f"/alerts/{number}" for number in (1, 2)]
        async with chromium() as browser, browser.tab() as tab:
            await tab.call("Network.setCookie", name="sigap", value=secret, url=base)
            for path in paths:
                await tab.open(base + path)
                if problems := await _seen(tab):
                    wrong[path] = problems
        assert not wrong, pretty(wrong)
        assert await _told(collector), "an alert fired, so that its words were on the page too"
        await _check_others(collector)
    _check_log(written.getvalue())


async def _attack(collector: Collector) -> Intruder:
    intruder = await _let_in(
        collector, "hostile", host_name=HTML[0], agent_version=HTML[1], boot_id="boot",
        clock=pb.Clock(wall_ms=now_ms(), ntp_state=HTML[0]), accepts_checks=True,
    )  # fmt: skip
    rule = {"key": "full", "name": HTML[1], "measure": "filesystem_used_ratio", "level": 0.5, "for_seconds": 0,
            "summary": "{mountpoint} on {instance}", "advice": HTML[0]}  # fmt: skip
    await collector.registrar.create("siti", "rule", rule)
    await collector.evaluator.reload()
    layout = encode(Layout(_columns(), BEAT_MS))
    await intruder.stream.send(layout=pb.LayoutDeclaration(id=identify(layout) & (1 << 64) - 1, layout=layout))
    for number in range(3):
        await intruder.say(_everything(now_ms() - 30_000 + number * BEAT_MS))
    await intruder.say(_results(now_ms() - 500))
    for kind in ("checks", "host", "processes", HTML[0][:32], "\r\nkind"):
        await intruder.say(pb.Payload(documents=[pb.Document(kind=kind, wall_ms=now_ms(), body=b'["<script>"]')]))
    await intruder.say(_everything(now_ms()))
    async with asyncio.timeout(10):
        while not await _told(collector):
            await asyncio.sleep(0.05)
    await intruder.stream.send(goodbye=pb.Goodbye())
    return intruder


async def _all(collector: Collector, register: str) -> list[Any]:
    return list(await collector.db.read(lambda connection: registers.all_of(connection, register)))


async def _told(collector: Collector) -> list[Any]:
    found = await collector.db.read(alerts.active)
    return [one for one in found if one.labels.get("alertname") == "full"]


async def _seen(tab: Any) -> list[object]:
    """What is wrong with the page that is open."""
    if await tab.value("!!document.querySelector('[data-chart]')"):
        await tab.until("!document.querySelector('.plot[aria-busy]')")
    foreign = "iframe,base,object,embed,[onerror],[onload],[srcdoc],a[href^=javascript],form[action*=evil]"
    problems: list[object] = [*tab.complaints]
    if tab.dialogs:
        problems.append("a dialog")
    if await tab.value(f"window.{MARK} || document.querySelectorAll({json.dumps(foreign)}).length"):
        problems.append("markup of the agent")
    if await tab.value("document.body.textContent.includes('49') && document.body.textContent.includes('<class')"):
        problems.append("a template was run")
    if (wide := await tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")) > 0:
        problems.append(f"scrolls sideways by {wide}")
    if not await tab.value("!!document.querySelector('nav, header')"):
        problems.append("no page")
    tab.complaints.clear()
    return problems


async def _check_others(collector: Collector) -> None:
    """Tables and metrics are read by programs."""
    await collector.access.ensure_local_account("reader")
    session = await collector.access.open_link(await collector.access.sign_in_link("reader"))
    token = await collector.access.new_token(session.account, "reader", Scope.READ)
    base = f"http://{collector.settings.web.address}"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token.secret}"}) as client:
        for name in NAMES:
            async with client.get(f"{base}/api/v1/{name}.csv") as answer:
                text = await answer.text()
            for row in csv.DictReader(io.StringIO(text)):
                bad = {column: cell for column, cell in row.items() if cell and cell.startswith(FORMULAS)}
                assert not [column for column, cell in bad.items() if not re.fullmatch(r"-?\d+(\.\d+)?", cell)], bad
        for path in ("/metrics", '/federate?match[]={job="node"}', "/federate/hosts/hostile"):
            async with client.get(base + path) as answer:
                assert answer.status == 200, path
                _check_exposition(await answer.text())


def _check_exposition(text: str) -> None:
    promtool = program("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    # Opinions about names are not what is asked here; whether it can be parsed is.
    assert "error while linting: " not in done.stderr, done.stderr[:500]
    assert "expected" not in done.stderr, done.stderr[:500]


def _check_log(text: str) -> None:
    assert text
    inside_trace = False
    for line in text.splitlines():
        if LINE.match(line):
            inside_trace = False
        elif line.startswith("Traceback"):
            inside_trace = True
        assert LINE.match(line) or inside_trace, line
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029\u202e]", line), ascii(line)
    assert "WARNING forged" not in text.replace("\\r\\n2026-01-01 00:00:00,000 WARNING forged", "")


async def test_a_host_comes_in_under_no_such_name(made: Fortress) -> None:
    enroller, db = made.collector.enroller, made.collector.db
    bad = [text for text in PAYLOADS if not re.fullmatch(r"[a-zA-Z0-9._-]*", text)]
    before = len(await db.read(lambda connection: registers.all_of(connection, "host")))
    for number, text in enumerate([*bad, LONG, "", ".", "a b", "ä", "host\0", "[::1]"]):
        issued = await enroller.issue("siti")
        with pytest.raises(InvalidInput):
            await enroller.redeem(issued.secret, _request(), host_name=text, version="1", caller=f"192.0.2.{number}")
    assert len(await db.read(lambda connection: registers.all_of(connection, "host"))) == before


MISSHAPEN: tuple[Any, ...] = (
    [], "text", 7, None, {}, {"items": 1}, {"count": -1}, {"count": "many"}, {"count": 1, "by_cpu": {}},
    {"count": 1, "by_cpu": [{}]}, {"count": 1, "by_cpu": [{"pid": {}}]}, {"count": 1, "by_cpu": [[1]]},
    {"count": 1, "by_cpu": [{"pid": 1, "name": 1, "user": 1, "cpu_ratio": "1", "resident_bytes": [], "started_ms": 1}]},
    {"count": 1, "by_cpu": [
        {"pid": 1, "name": "", "user": "", "cpu_ratio": 1e308, "resident_bytes": 1e308, "started_ms": 10**18}
    ]},
    {"proposals": {}}, {"proposals": [7]}, {"proposals": [{"name": []}]}, {"proposals": "x"}, {"proposals": [{}]},
    {"proposals": [{"name": "x", "kind": "tcp", "options": [], "why": "", "central": 1}]},
    {"addresses": 1}, {"addresses": [1, {}]}, {"boot_time_ms": 10**30}, {"boot_time_ms": "x"}, {"boot_time_ms": -1},
    {"memory_bytes": {}}, {"memory_bytes": -1}, {"memory_bytes": "<b>"}, {"os": {"<b>": 1}}, {"cpu_count": []},
)  # fmt: skip
RAW = (
    b'{"count": 1e999}',
    b'{"memory_bytes": NaN}',
    b'{"os": "\\ud800"}',
    b"[" * 5_000 + b"]" * 5_000,
    b'{"os": 1, "os": 2}',
)


async def test_a_document_of_another_shape_spoils_no_page(made: Fortress) -> None:
    wrong: dict[str, object] = {}
    db = made.collector.db
    host = await db.read(lambda connection: registers.by_key(connection, "host", HOST))
    at_ms = made.collector.clock()
    for body in [*(json.dumps(each).encode() for each in MISSHAPEN), *RAW]:
        for number, kind in enumerate(SHAPES):
            document = Document(kind, at_ms + number, body)
            await db.write(lambda connection, one=document: documents.put(connection, host.id, one))  # type: ignore[misc]
        at_ms += 10
        for path in (f"/hosts/{HOST}", f"/hosts/{HOST}.json"):
            reply = await made.ask(ADMINISTRATOR, "GET", path)
            if reply.status != 200:
                wrong[f"{body[:80]!r} {path}"] = reply.status
    assert not wrong, pretty(wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "shell"},
        {"interval_seconds": -1},
        {"options": {"url": "javascript:alert(1)"}},
        {"name": "\r\n"},
        {"id": "x"},
    ],
)
async def test_checks_that_are_refused_take_nothing_from_other_agents(
    made: Fortress, change: dict[str, object]
) -> None:
    sound = {"id": "local:sound", "name": "sound", "kind": "tcp", "interval_seconds": 30, "timeout_seconds": 5,
             "options": {"address": "127.0.0.1:5432"}}  # fmt: skip
    hosts = await made.collector.db.read(lambda connection: registers.all_of(connection, "host"))
    bad, good = [
        Accepted(f"00000000-0000-4000-8000-{number:012d}", host.id, 1, True, documents=(_declared(check),))
        for number, (host, check) in enumerate(zip(hosts, ({**sound, **change}, sound), strict=True))
    ]
    sink = DeclaredChecks(made.collector.registrar)
    (await made.collector.db.write(lambda connection: sink.absorb(connection, [bad, good])))()
    found = await made.collector.db.read(lambda connection: registers.all_of(connection, "check"))
    assert hosts[1].id in {one.host for one in found if one.origin == "agent"}


def _declared(check: Mapping[str, object]) -> Document:
    return Document("checks", 1, json.dumps({"checks": [check]}).encode())
