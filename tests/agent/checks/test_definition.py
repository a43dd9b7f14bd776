from __future__ import annotations

import json
from typing import Any

import pytest

from agent.probes import CHECKS
from agent.probes.definition import CENTRAL_LIMIT, Central, Refused, central_checks, describe, read_check
from agent.probes.http import HTTPCheck
from agent.sample import State
from agent.sampler import now


def problems(**raw: Any) -> tuple[str, ...]:
    with pytest.raises(Refused) as caught:
        read_check(raw, path="checks[0]")
    return caught.value.problems


def test_unknown_kind_names_the_accepted_ones() -> None:
    accepted = ", ".join(sorted(CHECKS))
    assert problems(name="shop", kind="htp") == (f"checks[0].kind: unknown: 'htp'; accepted: {accepted}",)
    assert problems(name="shop") == (f"checks[0].kind: is missing; accepted: {accepted}",)


def test_every_unknown_key_is_named_with_what_is_accepted() -> None:
    found = problems(kind="tcp", name="db", address="db:1", adress="x", colour=1)
    assert [text.partition(";")[0] for text in found] == [
        "checks[0].adress: unknown key",
        "checks[0].colour: unknown key",
    ]
    assert "accepted: address, degraded_seconds, expect, interval_seconds, kind, name" in found[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"interval_seconds": "10 s"}, "checks[0].interval_seconds: expected a number of seconds, not '10 s'"),
        ({"interval_seconds": 0.1}, "checks[0].interval_seconds: expected a number of seconds >= 1.0, not 0.1"),
        ({"retries": 1.5}, "checks[0].retries: expected a whole number, not 1.5"),
        ({"address": 5}, "checks[0].address: expected text, not 5"),
        ({"address": "db"}, "checks[0]: 'db' has no port: write host:port"),
        ({"address": "a b:1"}, "checks[0]: 'a b' is no host name or IP address"),
    ],
)
def test_values_are_explained_with_place_unit_and_what_was_given(options: dict[str, Any], expected: str) -> None:
    assert problems(**{"kind": "tcp", "name": "db", "address": "db:1", **options}) == (expected,)


def test_missing_key_and_wrong_choice_are_explained() -> None:
    assert problems(kind="http", name="a") == ("checks[0]: url is required",)
    assert problems(kind="http", name="a", url="http://a", method="DROP") == (
        "checks[0].method: unknown: 'DROP'; accepted: GET, HEAD, OPTIONS, POST, PUT",
    )


def test_description_has_no_secret() -> None:
    settings = HTTPCheck(
        name="shop", url="https://shop.example/x?token=geheim", headers={"Authorization": "geheim"}, body="geheim"
    )
    shown = describe(settings, wire_id="local:shop")
    assert "geheim" not in json.dumps(shown)
    assert shown["options"]["url"] == "https://shop.example/x?(hidden)"
    assert (shown["id"], shown["kind"], shown["interval_seconds"]) == ("local:shop", "http", 30.0)


def central(identity: str = "7", kind: str = "tcp", **options: Any) -> Central:
    return Central(identity, kind, "db", json.dumps({"address": "db:5432", **options}).encode())


def test_central_checks_do_not_run_unless_the_agents_file_allows_them() -> None:
    checks, refusals = central_checks([central()], allowed=False)
    assert checks == []
    assert "central_checks: allow" in refusals[0].why


@pytest.mark.parametrize("identity", ["web.db", "central:web.db"])
def test_allowed_central_check_runs_under_its_own_wire_id(identity: str) -> None:
    checks, refusals = central_checks([central(identity, interval_seconds="60")], allowed=True)
    assert refusals == []
    assert checks[0].name == "central:web.db"
    assert checks[0].settings.interval_seconds == 60


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (central(kind="file", path="/etc/shadow"), "only runs from the agent's own file"),
        (central(kind="process", process="x"), "only runs from the agent's own file"),
        (central(kind="exec"), "only runs from the agent's own file"),
        (central(interval_seconds=9, timeout_seconds=1), "interval_seconds is less than 10"),
        (Central("7", "http", "x", b'{"url":"http://a","headers_from_files":{"X":"/etc/shadow"}}'), "agent's own file"),
        (Central("7", "http", "x", b'{"url":"http://a","matches":"(a+)+$"}'), "agent's own file"),
        (Central("7", "tls", "x", b'{"address":"a:1","ca_file":"/etc/shadow"}'), "agent's own file"),
        (Central("7", "tcp", "x", b"[" * 9_000), "no JSON"),
        (Central("7", "tcp", "x", b"[]"), "no object"),
        (Central("7", "tcp", "x", b" " * 20_000), "longer than"),
        (central(identity="../../x"), "name: expected text"),
        (central(colour="red"), "unknown key"),
    ],
)
def test_central_check_beyond_the_limits_is_refused_with_its_reason(definition: Central, words: str) -> None:
    checks, refusals = central_checks([definition], allowed=True)
    assert checks == []
    assert words in refusals[0].why
    told = refusals[0].observe(now()).outcome
    assert told is not None
    assert told.state is State.UNKNOWN
    assert told.reason.startswith("The agent does not run this check: ")
    assert "central:" not in told.reason


def test_one_bad_central_check_does_not_stop_the_others_and_there_are_not_too_many() -> None:
    many = [central("bad", colour=1), *(central(str(number)) for number in range(CENTRAL_LIMIT + 5))]
    checks, refusals = central_checks(many, allowed=True)
    assert len(checks) == CENTRAL_LIMIT
    assert len(refusals) == 6
