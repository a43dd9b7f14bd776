"""Reasons are English to read, and template and values to translate."""

from __future__ import annotations

import pytest

from agent.beat import Result
from agent.reason import REASON_CHARACTERS, TEXT_CHARACTERS, Reason, took
from agent.sample import Outcome, State
from agent.wire import result
from protos.telemetry.v1 import telemetry_pb2 as pb


def test_reason_reads_as_english_and_keeps_its_parts() -> None:
    found = Reason("HTTP {status} after {seconds} s", status=503, seconds=0.123456)
    slow = Reason("{finding}: slower than {seconds} s", finding=found, seconds=0.1)
    assert slow == "HTTP 503 after 0.123 s: slower than 0.1 s"
    assert slow.values == {"finding": found, "seconds": 0.1}
    assert (found.template, found.values) == ("HTTP {status} after {seconds} s", {"status": 503, "seconds": 0.123})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(3.93e-05, "0.0393 ms"), (0.00195, "1.95 ms"), (0.35, "350 ms"), (0.0, "0 ms"), (1.0, "1 s"), (1.84, "1.84 s")],
)
def test_what_took_less_than_a_second_is_told_in_milliseconds(seconds: float, said: str) -> None:
    assert Reason("HTTP {status} after {took}", status=200, took=took(seconds)) == f"HTTP 200 after {said}"


def test_what_a_stranger_said_is_one_clean_bounded_line_and_never_a_template() -> None:
    banner = "a\nb\x1b[31m\u202ec {seconds}"
    reason = Reason("Got {answer} within {seconds} s", answer=banner, seconds=3.0)
    assert reason == "Got a b [31m c {seconds} within 3 s"
    assert len(Reason("{answer}", answer="x" * 9_999)) == TEXT_CHARACTERS


def test_reason_that_is_too_long_is_cut_and_english_only() -> None:
    long = Reason("{one} {two}", one="x" * TEXT_CHARACTERS, two="y" * TEXT_CHARACTERS)
    assert (len(long), long[-1], long.template) == (REASON_CHARACTERS, "…", "")


def test_wire_carries_the_text_and_what_it_is_made_of() -> None:
    asked = Reason("{record} of {name}", record="A", name="example.org")
    reason = Reason("{server} has no {asked}", server="192.0.2.53:53", asked=asked)
    sent = result(Result("local:dns", Outcome(State.DOWN, reason), 1_800_000_000_000, 30_000, 5_000))
    assert sent.reason == "192.0.2.53:53 has no A of example.org"
    assert sent.wording == pb.Reason(
        template="{server} has no {asked}",
        values={
            "server": pb.Reason(text="192.0.2.53:53"),
            "asked": pb.Reason(
                template="{record} of {name}",
                values={"record": pb.Reason(text="A"), "name": pb.Reason(text="example.org")},
            ),
        },
    )


def test_wire_leaves_out_what_is_english_only() -> None:
    cut = Reason("{one} {two}", one="x" * TEXT_CHARACTERS, two="y" * TEXT_CHARACTERS)
    sent = result(Result("local:it", Outcome(State.DOWN, cut), 1_800_000_000_000, 30_000, 5_000))
    assert sent.reason == cut
    assert not sent.HasField("wording")
