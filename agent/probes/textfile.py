"""Numbers that other programs leave in files, in the Prometheus text format.

A cron job writes `backup.prom` beside the others and its series travel with the host's. Files are read, never run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from agent.probes.reading import gauge
from agent.sample import Kind, Moment, Observation, Sample, Series

SUFFIX = ".prom"
LIMIT_BYTES = 1 << 20  # a runaway script must not fill the agent's memory
ERROR = gauge("node_textfile_scrape_error", "1 when a file of the textfile directory could not be read or understood.")
CHANGED_HELP = "When the file was last written, in Unix time."

LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s+(\S+)")
LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
ESCAPE = re.compile(r"\\(.)")
COMMENT = re.compile(r"#\s*(HELP|TYPE)\s+(\S+)\s*(.*)")
RESERVED = "node_textfile_"


class Malformed(Exception):
    """A file is not in the text format; says where."""


class Parsed(NamedTuple):
    """What one file held when it was last written."""

    version: tuple[int, int]  # time of change in nanoseconds, size
    samples: list[Sample]
    failed: bool


class Textfile:
    """Every series of <folder>/*.prom, node_textfile_mtime_seconds and node_textfile_scrape_error."""

    name = "textfile"

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._files: dict[Path, Parsed] = {}

    def observe(self, moment: Moment) -> Observation:
        if self._folder is None:
            return Observation((Sample(ERROR, 0.0),))
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix == SUFFIX)
        except OSError:
            return Observation((Sample(ERROR, 1.0),))
        self._files = {path: self._look(path) for path in paths}
        samples = {sample.series: sample for parsed in self._files.values() for sample in parsed.samples}
        failed = any(parsed.failed for parsed in self._files.values())
        return Observation([*samples.values(), Sample(ERROR, float(failed))])

    def _look(self, path: Path) -> Parsed:
        """The file as parsed before while it is unchanged, so that its series stay the same objects."""
        try:
            status = path.stat()
            version = (status.st_mtime_ns, status.st_size)
            before = self._files.get(path)
            if before is not None and before.version == version:
                return before
            with path.open(encoding="utf-8") as file:
                samples = parse(file.read(LIMIT_BYTES))
        except (OSError, ValueError, Malformed):
            return Parsed((0, 0), [], failed=True)
        changed = gauge("node_textfile_mtime_seconds", CHANGED_HELP, unit="seconds", file=str(path))
        return Parsed(version, [*samples, Sample(changed, status.st_mtime)], failed=False)


def parse(text: str) -> list[Sample]:
    """The samples of a text in the Prometheus exposition format.

    Raises:
        Malformed: A line is no sample, or carries a time: a beat has one time only.
    """
    helps: dict[str, str] = {}
    kinds: dict[str, str] = {}
    samples = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if line.lstrip().startswith("#"):
            if comment := COMMENT.match(line.strip()):
                (helps if comment[1] == "HELP" else kinds)[comment[2]] = comment[3]
            continue
        match = LINE.fullmatch(line.strip())
        if match is None or match[1].startswith(RESERVED):
            raise Malformed(f"line {number} is no sample in the Prometheus text format")
        kind = Kind.COUNTER if kinds.get(match[1]) == "counter" else Kind.GAUGE
        series = Series(match[1], _labels(match[2] or "", number), kind, "", helps.get(match[1], ""))
        samples.append(Sample(series, float(match[3])))
    return samples


def _labels(text: str, number: int) -> tuple[tuple[str, str], ...]:
    labels = []
    position = 0
    while position < len(text.rstrip()):
        match = LABEL.match(text, position)
        if match is None:
            raise Malformed(f"line {number} has labels that cannot be read")
        value = ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], match[2])
        labels.append((match[1], value))
        position = match.end()
    return tuple(sorted(labels))
