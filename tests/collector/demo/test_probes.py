"""The series of the demo's checks are those that agents have, with values that fit what was found."""

from __future__ import annotations

import numpy as np
import pytest

from agent.probes import CHECKS
from agent.probes.check import DURATION, SUCCESS
from collector.demo.fleet import LOCAL_CHECKS, MACHINES
from collector.demo.organisation import documents, watches
from collector.demo.probes import NUMBERS, layout_of, rows
from collector.demo.results import Look, Watch, looks
from collector.demo.story import DAY_MS, tell
from collector.domain.interval import Span
from collector.domain.sample import State
from collector.domain.series import Kind, is_absent

START_MS = 1_790_000_000_000
RECORDS = documents([one.name for one in MACHINES])
WATCHES = sorted(one for some in watches(RECORDS).values() for one in some)
OPTIONS = {one["key"]: one["options"] for one in RECORDS if one["register"] == "check"} | {
    one.key: one.options for one in LOCAL_CHECKS
}


def values(watch: Watch, *found: Look) -> dict[str, list[float | None]]:
    """By name, and the distinguishing label where there is one: the value of each look; None where there was none."""
    columns = layout_of(watch, 30_000).columns
    table = np.array([np.frombuffer(one, "<f8") for one in rows(watch, found)])
    names = [
        one.name + "".join(f" {value}" for name, value in one.labels if name in ("phase", "state")) for one in columns
    ]
    gone = is_absent(table)
    return {
        name: [None if gone[at, place] else float(table[at, place]) for at in range(len(found))]
        for place, name in enumerate(names)
    }


def a_watch(kind: str) -> Watch:
    return next(one for one in WATCHES if one.kind == kind)


@pytest.mark.parametrize("watch", WATCHES, ids=lambda one: one.key)
def test_a_check_has_the_series_that_its_agent_would_send(watch: Watch) -> None:
    settings = CHECKS[watch.kind](name=watch.name, **OPTIONS[watch.key])
    assert watch.target == settings.target
    common = {"check": watch.name, "kind": watch.kind, "target": watch.target}
    wanted = [
        (one.name, tuple(sorted({**common, **dict(one.labels)}.items())), one.unit, Kind.GAUGE)
        for one in (SUCCESS, DURATION, *settings.MEASURES)
    ]
    found = layout_of(watch, watch.interval_ms)
    assert [(one.name, one.labels, one.unit, one.kind) for one in found.columns] == wanted


def test_every_kind_of_the_organisation_is_there_and_no_other() -> None:
    assert {one.kind for one in WATCHES} == set(NUMBERS)


def test_a_month_of_looks_has_a_row_each_with_the_result_and_how_long_it_took() -> None:
    watch = next(one for one in WATCHES if one.key == "shop.page")
    story = tell(START_MS, START_MS + 29 * DAY_MS)
    found = looks(watch, story, Span(START_MS, story.now_ms), interval_ms=600_000)
    told = values(watch, *found)
    assert told["probe_duration_seconds"] == [one.latency_seconds for one in found]
    assert told["probe_success"] == [float(one.state is not State.DOWN) for one in found]
    phases = [row for name, row in told.items() if name.startswith("probe_http_duration_seconds")]
    answered = [at for at, status in enumerate(told["probe_http_status_code"]) if status]
    assert {told["probe_http_status_code"][at] for at in answered} == {200, 502}
    assert len(answered) < len(found)  # once nothing answered
    for at in answered:
        assert sum(row[at] or 0 for row in phases) == pytest.approx(found[at].latency_seconds, abs=1e-5)


def test_a_certificate_is_renewed_before_it_ends() -> None:
    days = [Look(START_MS + day * DAY_MS, State.UP, 0.03, None) for day in range(200)]
    ends = values(a_watch("tls"), *days)["probe_ssl_earliest_cert_expiry"]
    left = [(end or 0) - look.wall_ms / 1000 for end, look in zip(ends, days, strict=True)]
    assert min(left) >= 29 * 86_400
    assert max(left) <= 90 * 86_400
    assert 3 <= len({round(end or 0) for end in ends}) <= 5


def test_what_did_not_answer_has_no_more_numbers_and_what_is_on_the_host_has() -> None:
    down = Look(START_MS, State.DOWN, 5.0, None)
    assert values(a_watch("tcp"), down) == {
        "probe_success": [0.0],
        "probe_duration_seconds": [5.0],
        "probe_dns_lookup_time_seconds": [None],
        "probe_ip_protocol": [None],
    }
    assert values(a_watch("systemd"), down)["probe_systemd_unit_state failed"] == [1.0]
    assert values(a_watch("process"), down)["probe_process_matches"] == [0.0]
    assert (values(a_watch("file"), down)["probe_file_age_seconds"][0] or 0) > 86_400
