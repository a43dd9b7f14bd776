"""Name and version of the operating system, from os-release."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from agent.probes.reading import gauge
from agent.sample import Moment, Observation, Sample

PLACES = ("etc/os-release", "usr/lib/os-release")  # the order of os-release(5)
KEYS = (
    "build_id",
    "id",
    "id_like",
    "image_id",
    "image_version",
    "name",
    "pretty_name",
    "variant",
    "variant_id",
    "version",
    "version_codename",
    "version_id",
)
INFO_HELP = "Name and version of the operating system; always 1."
VERSION_HELP = "Major and minor version of the operating system, as a number."
LEADING_NUMBER = re.compile(r"\d+(\.\d+)?")


class OSRelease:
    """node_os_info and node_os_version."""

    name = "os"

    def __init__(self, root: Path = Path("/")) -> None:
        self._paths = [root / place for place in PLACES]
        self._seen: tuple[Path, int] = (Path(), 0)
        self._samples: list[Sample] = []

    def observe(self, moment: Moment) -> Observation:
        path, changed_ns = self._locate()
        if (path, changed_ns) != self._seen:
            with path.open(encoding="utf-8", errors="replace") as file:
                self._samples = _samples(parse(file.read()))
            self._seen = (path, changed_ns)
        return Observation(self._samples)

    def _locate(self) -> tuple[Path, int]:
        for path in self._paths[:-1]:
            try:
                return path, path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return self._paths[-1], self._paths[-1].stat().st_mtime_ns


def parse(text: str) -> dict[str, str]:
    """The assignments of an os-release file, keys in lower case."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            found[key.lower()] = "".join(shlex.split(value)[:1])
    return found


def _samples(release: dict[str, str]) -> list[Sample]:
    labels = {key: release.get(key, "") for key in KEYS}
    samples = [Sample(gauge("node_os_info", INFO_HELP, **labels), 1.0)]
    if number := LEADING_NUMBER.match(labels["version_id"]):
        few = {key: labels[key] for key in ("id", "id_like", "name")}
        samples.append(Sample(gauge("node_os_version", VERSION_HELP, **few), float(number[0])))
    return samples
