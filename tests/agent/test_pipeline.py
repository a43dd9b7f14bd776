"""The parts together, on a real spool; only the far end of the wire is a stand-in."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent import config, identity, remembered, sampler
from agent.batch import Batch
from agent.config import Config, ConfigError
from agent.identity import Identity
from agent.membership import Membership
from agent.pipeline import Break, Pipeline, Receive
from agent.probes.definition import Central
from agent.sample import Sample
from agent.service_manager import ServiceManager
from agent.spool import Spool
from protos.telemetry.v1 import telemetry_pb2 as pb

DEADLINE_SECONDS = 20
IDENTITY = Identity("4f5d", b"certificate", b"key", b"authority", "collector.example:8421", 0, 10**15)


class Line:
    """A link that remembers what was asked of it."""

    def __init__(self, identity: Identity, receive: Receive, fail: Break) -> None:
        self.identity, self.receive, self.fail = identity, receive, fail
        self.started = self.stopped = False
        self.wakes = 0

    def start(self) -> None:
        self.started = True

    def wake(self) -> None:
        self.wakes += 1

    def stop(self, timeout_seconds: float) -> None:
        self.stopped = True

    def samples(self) -> Sequence[Sample]:
        return ()


class Standing:
    """A trust whose identity the test decides."""

    def __init__(self, found: Identity | None) -> None:
        self.found = found

    def identity(self) -> Identity | None:
        return self.found

    def renewed(self, current: Identity, *, now_ms: int) -> Identity:
        return self.found or current


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} within {DEADLINE_SECONDS} s"
        time.sleep(0.01)


def written(folder: Path, text: str) -> Config:
    path = folder / "agent.yaml"
    path.write_text(text)
    return config.load(path, {"STATE_DIRECTORY": str(folder / "state")})


class Work:
    """A pipeline at work in a thread, with what it left in its spool."""

    def __init__(self, folder: Path, text: str, found: Identity | None) -> None:
        self.lines: list[Line] = []
        self.standing = Standing(found)
        (folder / "state").mkdir(mode=0o700, exist_ok=True)
        self.spool = Spool.open(
            folder / "spool.db", moment=sampler.now(), boot_id="b", new_epoch=lambda: os.urandom(16)
        )
        self.pipeline = Pipeline(
            written(folder, text),
            self.spool,
            load=lambda: config.load(folder / "agent.yaml", {"STATE_DIRECTORY": str(folder / "state")}),
            trust=self.standing,
            connect=self._connect,
            manager=ServiceManager({"WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())}),
        )

    def _connect(self, _: Config, identity: Identity, receive: Receive, fail: Break) -> Line:
        self.lines.append(Line(identity, receive, fail))
        return self.lines[-1]

    def payloads(self) -> list[pb.Payload]:
        (lane,) = self.spool.lanes()
        items = self.spool.fetch(lane.epoch, 1, limit=1000)
        return [pb.Payload.FromString(item.payload) for item in items if isinstance(item, Batch)]

    def results(self) -> dict[str, pb.CheckResult]:
        return {result.check_id: result for payload in self.payloads() for result in payload.results}

    def documents(self) -> dict[str, object]:
        return {each.kind: json.loads(each.body) for payload in self.payloads() for each in payload.documents}


@contextmanager
def at_work(folder: Path, text: str, found: Identity | None = IDENTITY, *, code: int = 0) -> Iterator[Work]:
    work = Work(folder, text, found)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(work.pipeline.run()), daemon=True)
    thread.start()
    yield work
    work.pipeline.stop()
    thread.join(DEADLINE_SECONDS)
    assert codes == [code]
    assert all(line.stopped for line in work.lines)


def test_link_that_cannot_go_on_ends_the_agent_with_an_exit_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with at_work(tmp_path, "", code=1) as work:
        until(lambda: bool(work.lines), "the link is open")
        work.lines[0].fail("the disk is gone")
        until(lambda: work.lines[0].stopped, "the agent ends")
    assert "broken reason='the disk is gone'" in caplog.text


OWN = "checks: [{name: gone, kind: tcp, address: '127.0.0.1:1', retries: 0}]\n"


def central(identity: str, kind: str, **options: object) -> Central:
    return Central(identity, kind, identity, json.dumps(options).encode())


def test_rows_results_and_documents_reach_the_spool_and_the_link_is_woken(tmp_path: Path) -> None:
    with at_work(tmp_path, OWN) as work:
        until(lambda: "local:gone" in work.results(), "the check's result is on disk")
        until(lambda: {"host", "checks", "proposals"} <= work.documents().keys(), "the documents are on disk")
        assert any(payload.rows for payload in work.payloads())
        result = work.results()["local:gone"]
        assert result.state == pb.STATE_DOWN
        assert "refused" in result.reason
        assert result.interval_ms == 30_000
        assert work.documents()["checks"]["checks"][0]["id"] == "local:gone"  # type: ignore[index]
        assert work.lines[0].started
        assert work.lines[0].wakes


def test_central_checks_run_where_the_file_allows_them(tmp_path: Path) -> None:
    with at_work(tmp_path, "central_checks: allow\n" + OWN) as work, socket.create_server(("127.0.0.1", 0)) as server:
        until(lambda: bool(work.lines), "the link is open")
        address = f"127.0.0.1:{server.getsockname()[1]}"
        work.lines[0].receive([central("db", "tcp", address=address), central("x", "file", path="/etc/shadow")])
        until(lambda: {"central:db", "local:gone"} <= work.results().keys(), "both checks have run")
        assert work.results()["central:db"].state == pb.STATE_UP
        until(lambda: "central:x" in work.results(), "what is not run says so")
        assert work.results()["central:x"].state == pb.STATE_UNKNOWN
        assert "only runs from the agent's own file" in work.results()["central:x"].reason


def test_central_checks_run_again_after_a_restart_without_the_collector(tmp_path: Path) -> None:
    definition = central("db", "tcp", address="127.0.0.1:1")
    with at_work(tmp_path, "central_checks: allow\n") as work:
        until(lambda: bool(work.lines), "the link is open")
        work.lines[0].receive([definition])
        until(lambda: remembered.load(tmp_path / "state") == (definition,), "the definition is kept")
    assert (tmp_path / "state" / remembered.FILE_NAME).stat().st_mode & 0o777 == 0o600
    with at_work(tmp_path, "central_checks: allow\n", None) as work:
        until(lambda: "central:db" in work.results(), "the central check runs")


def test_damaged_memory_of_central_checks_is_no_obstacle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / remembered.FILE_NAME).write_text('[["db"')
    assert remembered.load(tmp_path) == ()
    assert "central_checks_forgotten" in caplog.text


def test_allowing_central_checks_introduces_the_agent_anew(tmp_path: Path) -> None:
    with at_work(tmp_path, "") as work:
        until(lambda: len(work.lines) == 1, "the link is open")
        (tmp_path / "agent.yaml").write_text("central_checks: allow")
        work.pipeline.reload()
        until(lambda: len(work.lines) == 2, "the link is opened anew")


def test_of_many_definitions_the_last_counts_and_the_others_are_not_kept(tmp_path: Path) -> None:
    with at_work(tmp_path, "central_checks: allow\n") as work:
        until(lambda: bool(work.lines), "the link is open")
        for number in range(1_000):
            work.lines[0].receive([central(f"db-{number}", "tcp", address="127.0.0.1:1")])
        assert work.pipeline._orders.qsize() <= 2
        until(lambda: [each.id for each in remembered.load(tmp_path / "state")] == ["db-999"], "the last is kept")


def test_central_checks_do_not_run_elsewhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with at_work(tmp_path, OWN) as work:
        until(lambda: bool(work.lines), "the link is open")
        work.lines[0].receive([central("db", "tcp", address="127.0.0.1:1")])
        until(lambda: "central_check_refused" in caplog.text, "the refusal is logged")
        until(lambda: {"local:gone", "central:db"} <= work.results().keys(), "both have said something")
        assert work.results()["central:db"].state == pb.STATE_UNKNOWN
        assert "central_checks: allow" in work.results()["central:db"].reason


def test_identity_that_comes_late_and_one_that_is_renewed_open_a_link(tmp_path: Path) -> None:
    with at_work(tmp_path, "", None) as work:
        until(lambda: bool(work.payloads()), "the agent measures without an identity")
        assert not work.lines
        work.standing.found = IDENTITY
        until(lambda: len(work.lines) == 1, "the link is open")
        work.standing.found = replace(IDENTITY, certificate_pem=b"renewed")
        until(lambda: len(work.lines) == 2, "the link is opened anew")
        assert work.lines[0].stopped
        assert work.lines[1].identity.certificate_pem == b"renewed"


def test_reload_takes_new_checks_and_keeps_going_on_a_broken_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with at_work(tmp_path, "") as work:
        (tmp_path / "agent.yaml").write_text(OWN)
        work.pipeline.reload()
        until(lambda: "local:gone" in work.results(), "the new check has run")
        (tmp_path / "agent.yaml").write_text("nonsense: true")
        work.pipeline.reload()
        until(lambda: "reload_refused" in caplog.text, "the broken file is refused")
        with pytest.raises(ConfigError):
            config.load(tmp_path / "agent.yaml", {})


def token(address: str) -> str:
    body = bytes(64) + address.encode()
    raw = body + hashlib.sha256(body).digest()[:4]
    return "sigap1." + base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_unreachable_collector_is_asked_again_with_growing_pauses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    word = token("127.0.0.1:1")
    membership = Membership(written(tmp_path, f"enrolment: {{token: {word}}}"), clock=clock)
    assert membership.identity() is None
    assert "cannot be reached" in caplog.text
    assert word not in caplog.text
    caplog.clear()
    for seconds, tries in ((4.9, 0), (5.1, 1), (14.9, 1), (15.2, 2)):
        clock.seconds = seconds
        membership.identity()
        assert membership.attempts == 1 + tries
    assert caplog.text == ""  # The same trouble is logged once.


def test_damaged_token_is_used_once_and_then_the_agent_waits_to_be_enrolled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    membership = Membership(written(tmp_path, "enrolment: {token: sigap1.AAAA}"), clock=clock)
    assert membership.identity() is None
    assert "damaged" in caplog.text
    clock.seconds = 100.0
    assert membership.identity() is None
    assert membership.attempts == 1
    assert "not enrolled" in caplog.text


def test_host_that_was_enrolled_anew_goes_on_with_the_new_identity(tmp_path: Path) -> None:
    settings = written(tmp_path, "collector: {address: 'near.example:1'}")
    membership = Membership(settings, clock=Clock())
    assert membership.identity() is None
    identity.prepare(settings.state_directory)
    identity.save(settings.state_directory, IDENTITY)
    found = membership.identity()
    assert found == replace(IDENTITY, address="near.example:1")
    assert membership.renewed(found, now_ms=1) == found
    identity.save(settings.state_directory, replace(IDENTITY, agent_id="another"))
    assert membership.renewed(found, now_ms=1).agent_id == "another"


def test_identity_that_is_taken_away_leaves_the_running_agent_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = written(tmp_path, "")
    identity.prepare(settings.state_directory)
    assert Membership(settings, clock=Clock()).renewed(IDENTITY, now_ms=1) == IDENTITY
    assert "holds no identity any more" in caplog.text
