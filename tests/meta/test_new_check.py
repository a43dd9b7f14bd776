"""A new kind of check is one file and one line: everything else follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from agent import config, sampler, schedule
from agent.probes import CHECKS
from agent.probes.attempts import Failed, Finding
from agent.probes.check import Measure, Settings
from agent.probes.endpoint import Deadline
from agent.reason import Reason
from agent.sample import State

LINES = Measure("probe_lines", "Lines in the file")


class LinesCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a lines check."""

    path: str
    minimum: int = 1

    KIND: ClassVar[str] = "lines"
    MEASURES: ClassVar[tuple[Measure, ...]] = (LINES,)

    @property
    def target(self) -> str:
        return self.path

    def look(self, deadline: Deadline) -> Finding:
        lines = len(Path(self.path).read_text().splitlines())
        if lines < self.minimum:
            raise Failed(
                Reason("{path} has {count} lines instead of {least}", path=self.path, count=lines, least=self.minimum)
            )
        return Finding(
            State.UP,
            Reason("{path} has {count} lines", path=self.path, count=lines),
            values={LINES.key: float(lines)},
        )


@pytest.fixture
def registered() -> Iterator[None]:
    CHECKS["lines"] = LinesCheck
    yield
    del CHECKS["lines"]


@pytest.mark.usefixtures("registered")
def test_new_kind_is_configured_scheduled_measured_and_shown(tmp_path: Path) -> None:
    list_of_hosts = tmp_path / "hosts"
    list_of_hosts.write_text("one\ntwo\n")
    file = tmp_path / "agent.toml"
    file.write_text(f'[[checks]]\nname = "hosts"\nkind = "lines"\npath = "{list_of_hosts}"\nminimum = 2\n')
    found = config.load(file, {})
    samples = {sample.series.name: sample for sample in sampler.once(schedule.own_checks(found))}
    assert samples["probe_lines"].value == 2
    assert samples["probe_success"].value == 1
    assert dict(samples["probe_lines"].series.labels) == {
        "check": "hosts", "kind": "lines", "target": str(list_of_hosts),
    }  # fmt: skip
    assert found.shown()["checks"][0]["options"] == {"path": str(list_of_hosts), "minimum": 2}
