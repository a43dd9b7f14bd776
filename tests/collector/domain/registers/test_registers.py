"""Every register as described: complete in both languages, consistent, and each rule and gate does what it says."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from collector.domain.measure import MEASURES
from collector.domain.registers import REGISTERS, check, named, rule, service, validate
from collector.domain.registers.base import Record, Register
from collector.domain.registers.fields import CREATE
from collector.domain.registers.kinds import Enum

EVERY = pytest.mark.parametrize("register", REGISTERS.values(), ids=REGISTERS)


def record(register: Register[Any], state: str = "", **values: Any) -> Any:
    given = {"key": "x", "name": "X", "host": 1, "kind": "http", "url": "https://a.example/", "measure": "load_per_cpu"}
    known = {name: value for name, value in (given | values).items() if register.field(name)}
    state = state or register.life.initial
    whole = validate.complete(register, known, state)
    return register.entity(id=1, version=1, state=state, created_ms=0, changed_ms=0, **whole)


@EVERY
def test_every_word_of_a_register_is_there_in_both_languages(register: Register[Any]) -> None:
    words = [register.title, register.titles, register.about]
    words += [field.label for field in register.fields]
    words += [state.label for state in register.life.states] + [each.label for each in register.life.transitions]
    words += [option.label for each in register.fields if isinstance(each.kind, Enum) for option in each.kind.options]
    assert all(str(each) and each.to("id") for each in words)
    assert all(bool(str(each.help)) == bool(each.help.to("id")) for each in register.fields)


@EVERY
def test_every_default_is_a_value_of_its_kind(register: Register[Any]) -> None:
    for each in register.fields:
        if each.need != CREATE and each.default not in (None, (), {}):
            assert each.kind.parse(each.default) == each.default, each.name


@EVERY
def test_every_reference_points_to_a_register(register: Register[Any]) -> None:
    assert all(target in REGISTERS for _, target in register.references)


@EVERY
def test_every_state_can_be_reached(register: Register[Any]) -> None:
    assert all(register.life.path(register.life.initial, state.name) is not None for state in register.life.states)


@EVERY
def test_every_example_is_a_valid_record(register: Register[Any]) -> None:
    data = {
        name: value
        for name, value in register.example.items()
        if name not in dict.fromkeys(f.name for f, _ in register.references)
    }
    values, problems = validate.parse(register, data)
    assert problems == {}
    assert validate.judge(register, record(register, **values)) == {}


def test_records_are_frozen_and_found_by_class_or_name() -> None:
    assert named(service.Service) is named("service")
    host = record(REGISTERS["host"])
    assert isinstance(host, Record)
    with pytest.raises(dataclasses.FrozenInstanceError):
        host.name = "other"  # type: ignore[misc]


def test_all_that_is_wrong_is_told_at_once_and_unknown_fields_are_named() -> None:
    _, problems = validate.parse(
        REGISTERS["check"], {"kind": "telepathy", "interval_seconds": 0, "colour": "red", "origin": "agent"}
    )
    assert set(problems) == {"kind", "interval_seconds", "colour", "origin"}
    assert "interval_seconds" in problems["colour"]
    assert problems["origin"].to("id") == "diisi oleh sistem"
    _, as_system = validate.parse(REGISTERS["check"], {"origin": "agent"}, system=True)
    assert as_system == {}


def test_a_check_that_cannot_finish_within_its_interval_is_refused() -> None:
    fits = record(
        REGISTERS["check"], interval_seconds=11.0, timeout_seconds=5.0, retries=1, options={"url": "https://a.example/"}
    )
    assert check.attempts_fit_the_interval(fits) == {}
    short = dataclasses.replace(fits, interval_seconds=10.9)
    assert "11 s" in check.attempts_fit_the_interval(short)["interval_seconds"]
    assert check.attempts_fit_the_interval(dataclasses.replace(short, origin="agent")) == {}


def test_a_check_whose_numbers_do_not_fit_together_is_told_what_would() -> None:
    options = {"url": "https://a.example/"}
    thrice = record(REGISTERS["check"], interval_seconds=30, timeout_seconds=10, retries=2, options=options)
    words = check.attempts_fit_the_interval(thrice)["interval_seconds"]
    assert words.startswith("must be at least 32 s: 3 attempts of up to 10 s, 1 s apart, have to fit into it")
    assert words.to("id").startswith("paling sedikit 32 d: 3 percobaan")
    once = check.attempts_fit_the_interval(dataclasses.replace(thrice, retries=0, timeout_seconds=60))
    assert once["interval_seconds"] == "must be at least 60 s, the timeout; or lower the timeout"


def test_a_check_defined_here_is_one_that_agents_take() -> None:
    def wrong(**values: Any) -> set[str]:
        return set(check.an_agent_would_take_it(record(REGISTERS["check"], **values)))

    assert wrong(kind="tcp", options={"address": "db:5432"}) == set()
    assert wrong(kind="tcp") == {"options.address"}
    assert wrong(kind="tcp", options={"address": "db:5432", "colour": "red"}) == {"options.colour"}
    assert wrong(kind="tcp", options={"address": "db:5432"}, interval_seconds=5.0, key="k" * 65) == {
        "interval_seconds",
        "key",
    }
    assert wrong(kind="file", options={"path": "/etc/passwd"}) == {"kind"}
    assert wrong(kind="file", options={"path": "/etc/passwd"}, origin="agent") == set()


def test_every_measure_that_a_rule_can_watch_has_a_name() -> None:
    assert [option.value for option in rule.OPTIONS] == list(MEASURES)
    assert {option.value for option in rule.LABELS} == set(MEASURES)


@pytest.mark.parametrize(
    ("comparison", "level", "clear", "fine"),
    [
        (">", 0.9, 0.85, True),
        (">", 0.9, 0.95, False),
        ("<", 7.0, 8.0, True),
        ("<=", 7.0, 6.0, False),
        (">", 0.9, None, True),
    ],
)
def test_a_rule_ends_on_the_good_side_of_its_level(
    comparison: str, level: float, clear: float | None, fine: bool
) -> None:
    given = record(REGISTERS["rule"], comparison=comparison, level=level, clear_level=clear)
    assert (rule.clears_on_the_good_side(given) == {}) is fine


@pytest.mark.parametrize(
    ("measure", "comparison", "level", "wrong"),
    [
        ("filesystem_used_ratio", ">", 95.0, "must be between 0 and 1 (0 to 1; 95 % is 0.95)"),
        ("filesystem_used_ratio", ">", 1.0, "is never reached: no value is > 1"),
        ("filesystem_used_ratio", ">=", 1.0, ""),
        ("cpu_busy_ratio", "<", 0.0, "is never reached: no value is < 0"),
        ("check_state", ">", 3.0, "is never reached: no value is > 3"),
        ("check_state", ">=", 4.0, "must be between 0 and 3 (1 up, 2 degraded, 3 down)"),
        ("certificate_days_left", "<", -3.0, ""),
        ("agent_silent_seconds", ">", -1.0, "must be between 0 and 31622400 (seconds)"),
        ("load_per_cpu", ">", 40.0, ""),
    ],
)
def test_a_rule_whose_level_no_value_reaches_is_refused(
    measure: str, comparison: str, level: float, wrong: str
) -> None:
    given = record(REGISTERS["rule"], measure=measure, comparison=comparison, level=level)
    assert rule.its_level_can_be_reached(given) == ({"level": wrong} if wrong else {})


def test_where_a_rule_ends_is_a_value_of_its_measure_too() -> None:
    given = record(REGISTERS["rule"], measure="swap_used_ratio", level=0.9, clear_level=70.0)
    words = rule.its_level_can_be_reached(given)["clear_level"]
    assert words.to("id") == "harus antara 0 dan 1 (0 sampai 1; 95 % adalah 0.95)"


def test_a_service_cannot_need_more_checks_than_it_has() -> None:
    assert service.k_is_possible(record(REGISTERS["service"], roll_up="k_of_n", k=3, members=(1, 2)))
    assert service.k_is_possible(record(REGISTERS["service"], roll_up="k_of_n", k=2, members=(1, 2))) == {}


@pytest.mark.parametrize(
    ("state", "part"),
    [
        ("idea", "pipeline"),
        ("on_hold", "pipeline"),
        ("live", "catalogue"),
        ("retiring", "catalogue"),
        ("retired", "retired"),
        ("rejected", "retired"),
    ],
)
def test_the_portfolio_part_follows_from_the_state(state: str, part: str) -> None:
    assert record(REGISTERS["service"], state).portfolio_part == part


def test_the_gates_follow_the_portfolio_process() -> None:
    life = REGISTERS["service"].life
    way = life.path("defined", "live")
    assert way is not None
    assert [each.name for each in way] == ["analyse", "approve", "charter", "design", "hand_over", "go_live"]
    adopted = life.path("idea", "live")
    assert adopted is not None
    assert [each.name for each in adopted] == ["adopt"]


def test_a_gate_names_the_fields_and_conditions_that_it_misses() -> None:
    register = REGISTERS["service"]
    adopt = register.life.transition("adopt")
    charter = register.life.transition("charter")
    assert adopt is not None
    assert charter is not None
    assert set(validate.unmet(register, record(register), adopt)) == {"is_measured", "has_objective"}
    ready = record(register, members=(1,), availability_objective=Decimal("99.9"))
    assert validate.unmet(register, ready, adopt) == {}
    assert (
        validate.unmet(register, record(register, "approved"), charter)["owner"].to("id")
        == "wajib diisi untuk: Tugaskan"
    )


def test_a_field_cannot_be_emptied_after_the_gate_that_asked_for_it() -> None:
    register = REGISTERS["service"]
    before = record(register, "live", owner="Sari", members=(1,), availability_objective=Decimal("99.9"))
    problems = validate.judge(register, dataclasses.replace(before, owner="", members=()), before=before)
    assert set(problems) == {"owner", "members"}
    approved = dataclasses.replace(before, state="approved", description="Sells.")
    assert set(validate.judge(register, dataclasses.replace(approved, description=""), before=approved)) == {
        "description"
    }
    early = dataclasses.replace(before, state="defined")
    assert validate.judge(register, dataclasses.replace(early, owner=""), before=early) == {}
