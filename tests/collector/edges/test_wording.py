"""Reasons on their way from an agent's probe to a page in Indonesian."""

from __future__ import annotations

import json

import pytest

from agent import wire
from agent.beat import Result
from agent.reason import Reason, apart, took
from agent.sample import Outcome, State
from collector.domain import sample
from collector.domain.interval import Span
from collector.domain.message import Message
from collector.domain.tree import blame
from collector.edges.http import observed
from collector.edges.wording import REASON_LENGTH, reason_of, told
from collector.languages import in_language
from collector.store import status
from collector.store.database import Database
from protos.telemetry.v1 import telemetry_pb2 as pb

AT = 1_800_000_000_000
FOUND = Reason("HTTP {status} after {took}", status=200, took=took(1.5))
SLOW = Reason("{finding}: slower than {limit}", finding=FOUND, limit=took(0.35))
REFUSED = Reason("Connection to {address} refused: nothing listens there", address="10.0.0.5:443")


def sent(reason: Reason) -> pb.CheckResult:
    """What an agent's result is after the wire."""
    result = wire.result(Result("local:web", Outcome(State.DOWN, reason), AT, 30_000, 5_000))
    return pb.CheckResult.FromString(result.SerializeToString())


@pytest.mark.parametrize(
    ("reason", "indonesian"),
    [
        (SLOW, "HTTP 200 setelah 1,5 dtk: lebih lambat dari 350 ms"),
        (REFUSED, "Koneksi ke 10.0.0.5:443 ditolak: tidak ada yang mendengarkan di sana"),
        (Reason("{path} does not exist", path="/srv/{size}"), "/srv/{size} tidak ada"),
    ],
)
def test_reason_of_an_agent_is_told_in_both_languages(reason: Reason, indonesian: str) -> None:
    found = reason_of(sent(reason))
    assert (in_language(found, "en"), in_language(found, "id")) == (reason, indonesian)


def test_agent_that_sends_text_only_is_told_in_english() -> None:
    old = pb.CheckResult(check_id="local:web", wall_ms=AT, reason="Connection to a:1 refused: nothing listens there")
    assert in_language(reason_of(old), "id") == "Connection to a:1 refused: nothing listens there"


def test_sentence_of_a_newer_agent_is_told_in_english() -> None:
    newer = reason_of(sent(Reason("The mailbox of {name} is {share} % full", name="ops", share=97)))
    assert isinstance(newer, Message)
    assert in_language(newer, "id") == "The mailbox of ops is 97 % full"


def test_wording_that_tells_another_story_than_the_text_is_left_out() -> None:
    result = sent(REFUSED)
    result.reason = "HTTP 200 after 0.1 s"
    assert not isinstance(reason_of(result), Message)


def test_wording_larger_than_any_reason_is_left_out() -> None:
    bomb = pb.Reason(template="{a}" * 100, values={"a": pb.Reason(text="x" * 100)})
    for _ in range(3):
        bomb = pb.Reason(template="{a}" * 100, values={"a": bomb})
    deep = pb.Reason(template="x")
    for _ in range(20):
        deep = pb.Reason(template="{a}", values={"a": deep})
    for wording in (bomb, deep, pb.Reason(), pb.Reason(template="{a}", values={"a": pb.Reason()})):
        result = pb.CheckResult(check_id="local:web", reason="x" * 2 * REASON_LENGTH, wording=wording)
        assert reason_of(result) == "x" * REASON_LENGTH


def test_reason_is_on_record_with_what_it_is_made_of(database: Database) -> None:
    found = sample.Result("local:web", AT, sample.State.DOWN, 0.0, reason_of(sent(REFUSED)), AT, 1, 30_000, 5_000)
    why = blame([("web", sample.State.DOWN, found.reason)], sample.State.DOWN)
    change = status.Transition("service", 1, AT, AT, sample.State.UP, sample.State.DOWN, why)
    database.write_now(lambda c: status.absorb(c, [(1, found)], known_ms=AT))
    database.write_now(lambda c: status.record(c, [change]))
    (run,) = database.read_now(lambda c: status.runs(c, [1], Span(AT, AT + 1)))[1]
    now = database.read_now(lambda c: status.present(c, "service"))[1]
    (past,) = database.read_now(lambda c: status.transitions(c))
    told = "Koneksi ke 10.0.0.5:443 ditolak: tidak ada yang mendengarkan di sana"
    assert (str(run.reason), in_language(run.reason, "id")) == (REFUSED, told)
    assert in_language(now.reason, "id") == in_language(past.reason, "id") == f"web: {told}"


def test_proposal_says_in_both_languages_why_it_is_made() -> None:
    why = Reason("{program} listens on port {port}", program="postgres", port=5432)
    one = {"name": "postgres-5432", "kind": "tcp", "options": {}, "why": why, "wording": apart(why), "central": True}
    old = {"name": "postgres-5433", "kind": "tcp", "options": {}, "why": "postgres listens", "central": True}
    found = observed.read("proposals", json.dumps({"proposals": [one, old]}).encode())
    assert found is not None
    whys = [in_language(each["why"], "id") for each in found["proposals"]]
    assert whys == ["postgres mendengarkan di port 5432", "postgres listens"]


@pytest.mark.parametrize(
    "parts",
    [
        None, 5, "text", [], ["text"], ["{a}", 5], [5, {}], ["{a}", {"a": None}], ["{a}", {"a": [["x"], {}]}],
        ["{a}" * 100, {"a": "x" * 400}], ["{a}", {"a": ["{a}", {"a": ["{a}", {"a": ["{a}", {"a": ["text", {}]}]}]}]}],
        ["other {a}", {"a": "text"}], ["{a}", dict.fromkeys("abcdefghijklmnopqrst", "text")],
    ],
)  # fmt: skip
def test_parts_that_do_not_come_to_the_text_are_left_out(parts: object) -> None:
    assert not isinstance(told("text", parts), Message)
