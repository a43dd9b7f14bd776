"""Files other programs leave for us."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.probes.textfile import Malformed, Textfile, parse
from agent.sample import Kind, Moment

MOMENT = Moment(0, 0)


def look(probe: Textfile) -> dict[str, float]:
    return {series.name: value for series, value in probe.observe(MOMENT).samples}


def test_file_becomes_series_with_its_time_of_change(tmp_path: Path):
    (tmp_path / "backup.prom").write_text("# TYPE backup_runs_total counter\nbackup_runs_total 7\n")
    (tmp_path / "ignored.txt").write_text("no 1\n")
    os.utime(tmp_path / "backup.prom", (100, 100))
    assert look(Textfile(tmp_path)) == {
        "backup_runs_total": 7,
        "node_textfile_mtime_seconds": 100,
        "node_textfile_scrape_error": 0,
    }


def test_nothing_configured_is_no_error():
    assert look(Textfile()) == {"node_textfile_scrape_error": 0}


def test_broken_file_is_an_error_and_the_others_are_read(tmp_path: Path):
    (tmp_path / "broken.prom").write_text("half a line\n")
    (tmp_path / "good.prom").write_text("good 1\n")
    found = look(Textfile(tmp_path))
    assert found["node_textfile_scrape_error"] == 1
    assert found["good"] == 1


def test_folder_that_is_missing_is_an_error(tmp_path: Path):
    assert look(Textfile(tmp_path / "nowhere")) == {"node_textfile_scrape_error": 1}


def test_unchanged_file_keeps_its_series_and_a_changed_one_is_read_anew(tmp_path: Path):
    file = tmp_path / "a.prom"
    file.write_text("value 1\n")
    os.utime(file, (100, 100))
    probe = Textfile(tmp_path)
    first, second = probe.observe(MOMENT).samples, probe.observe(MOMENT).samples
    assert first[0].series is second[0].series
    file.write_text("value 2\n")
    os.utime(file, (200, 200))
    assert look(probe)["value"] == 2


def test_labels_help_and_kind_are_understood():
    (sample,) = parse('# HELP jobs Jobs done.\n# TYPE jobs counter\njobs{queue="a,\\"b\\"",host="x"} 1.5e3\n')
    assert sample.value == 1500
    assert sample.series.labels == (("host", "x"), ("queue", 'a,"b"'))
    assert sample.series.help == "Jobs done."
    assert sample.series.kind is Kind.COUNTER


@pytest.mark.parametrize("line", ["a 1 1700000000000", "a{b=c} 1", "9a 1", "a", "node_textfile_scrape_error 0"])
def test_line_that_is_no_plain_sample_is_refused(line: str):
    with pytest.raises(Malformed, match="line 1"):
        parse(line)
