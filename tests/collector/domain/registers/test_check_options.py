"""What may be saved as a central check, held to what the agents' own code takes."""

from __future__ import annotations

import json
from typing import Annotated, Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probes import CHECKS, definition
from agent.probes.check import COMMON_OPTIONS, Settings
from collector.domain.registers import REGISTERS, check, check_options
from collector.domain.registers.kinds import Integer, Number

GOOD: dict[str, dict[str, Any]] = {
    "http": {
        "url": "https://[2001:db8::1]:8443/a?b=1",
        "method": "HEAD",
        "headers": {"Authorization": "Bearer x"},
        "body": "a\r\nb",
        "status": "200-299, 301",
        "contains": "ok",
        "lacks": "error",
        "redirects": "3",
        "certificate_degraded_days": "14.5",
        "certificate_down_days": 1,
        "address_family": "ipv6",
        "retry_interval_seconds": 0.5,
    },
    "tcp": {"address": "[::1]:25", "send": "PING\r\n", "expect": "PONG"},
    "dns": {
        "query": "toko-kopi.example.",
        "record": "MX",
        "server": "9.9.9.9",
        "expect": ["a", "b"],
        "code": "NOERROR",
    },
    "tls": {"address": "shop.example", "server_name": "www.shop.example", "certificate_degraded_days": 0},
    "systemd": {"unit": "getty@tty1"},
}
BAD = [
    ("http", "url", "ftp://x"),
    ("http", "url", "https://ana:hush@shop.example/"),
    ("http", "url", "https://shop.example:99999/"),
    ("http", "url", "https://sh op.example/"),
    ("http", "url", "http://[::1"),
    ("http", "status", "banana"),
    ("http", "status", []),
    ("http", "status", [True]),
    ("http", "redirects", 11),
    ("http", "redirects", "many"),
    ("http", "certificate_down_days", -1),
    ("http", "certificate_down_days", float("nan")),
    ("http", "method", "DELETE"),
    ("http", "headers", {"Host": "x"}),
    ("http", "headers", "X: y"),
    ("http", "matches", "(a+)+$"),
    ("http", "ca_file", "/etc/shadow"),
    ("tcp", "address", "127.0.0.1:99999"),
    ("tcp", "address", "127.0.0.1"),
    ("tcp", "address", "::1:::"),
    ("tcp", "send", 5),
    ("dns", "query", ".."),
    ("dns", "query", "a" * 64),
    ("dns", "record", "AXFR"),
    ("dns", "server", "one two"),
    ("tls", "server_name", "-x"),
    ("tls", "address", ""),
    ("systemd", "unit", "-rm -rf"),
    ("systemd", "unit", "getty@"),
    ("systemd", "unit", ".service"),
]


def taken(kind: str, options: Any) -> bool:
    """Whether an agent that allows central checks runs it."""
    given_options = json.dumps({**options, "interval_seconds": 86_400}).encode()
    checks, _ = definition.central_checks([definition.Central("k", kind, "k", given_options)], allowed=True)
    return bool(checks)


def test_kinds_and_options_are_those_of_the_agents_code() -> None:
    assert sorted(check_options.KNOWN) == sorted(definition.CENTRAL_KINDS)
    assert definition.CENTRAL_INTERVAL_SECONDS == check.CENTRAL_INTERVAL_SECONDS
    assert {option.value for option in check.KINDS} == set(CHECKS)
    for kind, known in check_options.KNOWN.items():
        settings = CHECKS[kind]
        hidden = {"name", *COMMON_OPTIONS, *settings.LOCAL_ONLY} - {"retry_interval_seconds"}
        assert {setting.name for setting in known} == set(settings.__struct_fields__) - hidden
        fields = {field.name: field for field in msgspec.structs.fields(settings)}
        assert [setting.name for setting in known if setting.required] == [known[0].name]
        assert [name for name, field in fields.items() if field.required and name != "name"] == [known[0].name]
        for setting in known:
            default = fields[setting.name].default
            meant = default[0] if default and isinstance(default, tuple) else default
            said = f"{meant:g}" if isinstance(meant, float) else str(meant)
            assert setting.default == (said if default not in (msgspec.NODEFAULT, "", ()) and setting.default else "")


def test_what_an_agents_own_file_may_say_fits_into_a_record() -> None:
    register = REGISTERS["check"]
    for field in msgspec.structs.fields(Settings):
        spec = register.field(field.name)
        if spec is None or not isinstance(spec.kind, Number | Integer):
            continue
        numbers = [one for one in get_args(field.type) if get_origin(one) is Annotated] or [field.type]
        (bounds,) = get_args(numbers[0])[1:]
        assert (bounds.ge, bounds.le) == (spec.kind.least, spec.kind.most), field.name


@pytest.mark.parametrize("kind", GOOD)
def test_every_option_can_be_used(kind: str) -> None:
    assert check_options.problems(kind, GOOD[kind]) == {}
    assert taken(kind, GOOD[kind])


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_a_value_that_no_agent_would_take_is_told_at_its_option(kind: str, name: str, value: Any) -> None:
    found = check_options.problems(kind, GOOD[kind] | {name: value})
    assert set(found) == {f"options.{name}"}
    (words,) = found.values()
    assert words.to("id") != words
    assert not taken(kind, GOOD[kind] | {name: value}) or value == []


VALUES = st.one_of(
    st.sampled_from([value for options in GOOD.values() for value in options.values()]),
    st.sampled_from([value for _, _, value in BAD if value == value]),
    st.text(max_size=30),
    st.text("0123456789.:-[]%abcx@/", max_size=20),
    st.text("0123456789.-+e_ ", max_size=4),
    st.integers(-5, 5_000),
    st.floats(-5, 5_000, allow_nan=False),
    st.booleans(),
    st.lists(st.one_of(st.text(max_size=5), st.integers(0, 700)), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@given(st.data())
def test_whatever_is_saved_is_run_by_agents(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(GOOD)))
    name = data.draw(st.sampled_from([setting.name for setting in check_options.KNOWN[kind]]))
    first = check_options.KNOWN[kind][0].name
    options = {first: GOOD[kind][first], name: data.draw(VALUES)}
    if not check_options.problems(kind, options):
        assert taken(kind, options), options
