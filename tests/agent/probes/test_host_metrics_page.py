"""The manual's page of host metrics, in both languages, against what the probes really give."""

from __future__ import annotations

import fnmatch
import random
import re
from pathlib import Path

import pytest

from agent import sampler
from agent.probes import HOST_PROBES, Host

PAGES = Path(__file__).parents[3] / "web" / "docs"
CODE = re.compile(r"`([a-z0-9_*]+)`")
RECORDED = Path(__file__).parents[2] / "data" / "host"


@pytest.fixture(params=["en", "id"])
def words(request: pytest.FixtureRequest) -> list[str]:
    return CODE.findall((PAGES / request.param / "host-metrics.md").read_text(encoding="utf-8"))


def test_every_host_probe_is_in_the_manual(words: list[str]):
    assert set(HOST_PROBES) <= set(words)


def test_every_family_is_in_the_manual(words: list[str]):
    samples = sampler.once(sampler.host(Host(RECORDED)))
    families = {sample.series.name for sample in samples}
    patterns = [word for word in words if word.startswith(("node_", "sigap_"))]
    assert {name for name in families if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)} == set()


def test_every_series_the_manual_names_exists(words: list[str]):
    samples = sampler.once(sampler.host(Host(RECORDED)))
    sampled = sampler.Sampler([], list, rng=random.Random(1)).samples()
    families = {sample.series.name for sample in (*samples, *sampled)} | {"node_textfile_mtime_seconds"}
    named = [word for word in words if word.startswith(("node_", "sigap_")) and not word.endswith("systemd_unit_state")]
    assert [word for word in named if not any(fnmatch.fnmatch(name, word) for name in families)] == []
