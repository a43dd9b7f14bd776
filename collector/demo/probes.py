"""The series of simulated checks: the names, labels and order of `agent.probes`, and values that fit each look.

Pure, and computed for many looks at once. What a check finds, and when, is `results`'s.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collector.demo.results import Look, Watch
from collector.domain.sample import State
from collector.domain.series import ABSENT_BITS, Column, Kind, Layout

Numbers = NDArray[np.float64]

DAY_SECONDS = 86_400
RENEWED_EVERY_SECONDS, VALID_SECONDS = 60 * DAY_SECONDS, 90 * DAY_SECONDS
"""A certificate is renewed well before it ends, as automatic ones are."""
BODY_BYTES, FILE_BYTES = 8_192, 1 << 30
"""About what a page has, and a backup."""
WRITTEN_SECONDS = 3 * 3600
"""When backups are made, after midnight UTC."""
PHASES = {"resolve": 0.06, "connect": 0.14, "tls": 0.2, "processing": 0.5, "transfer": 0.1}
"""How the time of a request divides."""
OK = 200
NO_ANSWER = 0
INSIDE = ("file", "process", "systemd")
"""Kinds that look into the host, and see something also where it is not as it should be."""


class Seen(NamedTuple):
    """Looks of one check, a value each."""

    watch: Watch
    seconds: Numbers  # when, Unix time
    took: Numbers
    is_down: NDArray[np.bool_]
    status: Numbers  # what a server said; NO_ANSWER where it said nothing

    @property
    def seed(self) -> int:
        """A number of its own for each check."""
        return zlib.crc32(self.watch.key.encode())

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is spoken."""
        return self.watch.kind == "tls" or self.watch.target.startswith("https:")


class Number(NamedTuple):
    """One series of a kind of check; NaN where there is no value."""

    name: str
    value: Callable[[Seen], Numbers | float]
    unit: str = ""
    labels: tuple[tuple[str, str], ...] = ()


def _phase(name: str, share: float) -> Number:
    def value(seen: Seen) -> Numbers | float:
        return 0.0 if name == "tls" and not seen.is_encrypted else (share * seen.took).round(6)

    return Number("probe_http_duration_seconds", value, "seconds", (("phase", name),))


def _unit_state(name: str) -> Number:
    def value(seen: Seen) -> Numbers:
        return np.where(seen.is_down, name == "failed", name == "active")

    return Number("probe_systemd_unit_state", value, "", (("state", name),))


def _expiry(seen: Seen) -> Numbers | float:
    if not seen.is_encrypted:
        return np.nan
    phase = seen.seed % RENEWED_EVERY_SECONDS
    return seen.seconds - (seen.seconds - phase) % RENEWED_EVERY_SECONDS + VALID_SECONDS


def _age(seen: Seen) -> Numbers:
    """Since last night; a night longer where that is what is wrong."""
    return (seen.seconds - WRITTEN_SECONDS) % DAY_SECONDS + DAY_SECONDS * seen.is_down


COMMON = (
    Number("probe_success", lambda seen: np.where(seen.is_down, 0.0, 1.0)),
    Number("probe_duration_seconds", lambda seen: seen.took, "seconds"),
)
LOOKUP = Number("probe_dns_lookup_time_seconds", lambda seen: (PHASES["resolve"] * seen.took).round(6), "seconds")
PROTOCOL = Number("probe_ip_protocol", lambda _: 4.0)
EXPIRY = Number("probe_ssl_earliest_cert_expiry", _expiry, "seconds")
NUMBERS: Mapping[str, tuple[Number, ...]] = {
    "http": (
        *(_phase(name, share) for name, share in PHASES.items()),
        Number("probe_http_status_code", lambda seen: seen.status),
        Number("probe_http_redirects", lambda _: 0.0),
        Number("probe_http_ssl", lambda seen: float(seen.is_encrypted)),
        Number("probe_http_version", lambda _: 1.1),
        Number("probe_http_uncompressed_body_length", lambda seen: BODY_BYTES + seen.seed % BODY_BYTES, "bytes"),
        Number("probe_failed_due_to_regex", lambda seen: np.where(seen.status == OK, 0.0, np.nan)),
        EXPIRY,
        LOOKUP,
        PROTOCOL,
    ),
    "tcp": (LOOKUP, PROTOCOL),
    "dns": (
        Number("probe_dns_lookup_time_seconds", lambda seen: seen.took, "seconds"),
        Number("probe_dns_answer_rrs", lambda _: 1.0),
        Number("probe_dns_query_succeeded", lambda _: 1.0),
    ),
    "tls": (
        LOOKUP,
        Number("probe_tls_handshake_seconds", lambda seen: (0.6 * seen.took).round(6), "seconds"),
        EXPIRY,
    ),
    "process": (Number("probe_process_matches", lambda seen: np.where(seen.is_down, 0.0, 1.0)),),
    "systemd": tuple(map(_unit_state, ("activating", "active", "deactivating", "failed", "inactive", "reloading"))),
    "file": (
        Number("probe_file_age_seconds", _age, "seconds"),
        Number("probe_file_size_bytes", lambda seen: FILE_BYTES + seen.seed % FILE_BYTES, "bytes"),
        Number("probe_file_matches", lambda _: 1.0),
    ),
}
"""Those that the simulated organisation has, by kind."""


@cache
def layout_of(watch: Watch, interval_ms: int) -> Layout:
    """What the columns of `rows` are, for looks that are this far apart."""
    common = (("check", watch.name), ("kind", watch.kind), ("target", watch.target))
    columns = tuple(
        Column(one.name, tuple(sorted((*common, *one.labels))), Kind.GAUGE, one.unit)
        for one in (*COMMON, *NUMBERS[watch.kind])
    )
    return Layout(columns, interval_ms)


def rows(watch: Watch, looks: Sequence[Look]) -> list[bytes]:
    """The values of each look, as a row carries them."""
    is_down = np.array([one.state is State.DOWN for one in looks])
    status = np.where(is_down, [_status(one) for one in looks], float(OK))
    seconds = np.array([one.wall_ms for one in looks]) / 1000
    seen = Seen(watch, seconds, np.array([one.latency_seconds for one in looks]), is_down, status)
    values = np.empty((len(looks), len(COMMON) + len(NUMBERS[watch.kind])), "<f8")
    for place, number in enumerate((*COMMON, *NUMBERS[watch.kind])):
        values[:, place] = number.value(seen)
    if watch.kind not in INSIDE:
        values[is_down & (status == NO_ANSWER), len(COMMON) :] = np.nan
    values.view("<u8")[np.isnan(values)] = ABSENT_BITS
    return [one.tobytes() for one in values]


def _status(look: Look) -> int:
    value = look.reason.values.get("status") if look.reason is not None else None
    return value if isinstance(value, int) else NO_ANSWER
