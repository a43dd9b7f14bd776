"""How well the kernel's clock is disciplined, from adjtimex(2).

Reads only; needs no privilege.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import NamedTuple

from agent.probes.reading import counter, gauge
from agent.sample import Moment, Observation, Sample

# struct timex of <sys/timex.h> as native longs; the kernel's padding at its end is added when the buffer is made.
LAYOUT = struct.Struct("@I 4l i 3l 2l 3l i 5l i")
FIELDS = (
    "modes",
    "offset",
    "freq",
    "maxerror",
    "esterror",
    "status",
    "constant",
    "precision",
    "tolerance",
    "sec",
    "usec",
    "tick",
    "ppsfreq",
    "jitter",
    "shift",
    "stabil",
    "jitcnt",
    "calcnt",
    "errcnt",
    "stbcnt",
    "tai",
)
RESERVED_BYTES = 64

CLOCK_ERROR = 5  # TIME_ERROR: not synchronised
STATUS_NANOSECONDS = 0x2000  # STA_NANO
MICROSECONDS = 1_000_000.0
NANOSECONDS = 1_000_000_000.0
FREQUENCY = 1_000_000.0 * 65536  # parts per million with a 16-bit fraction

Fields = dict[str, float]
Reader = Callable[[], tuple[int, bytes]]


class Column(NamedTuple):
    """One series and how its value follows from the kernel's fields."""

    sample_of: Callable[[Fields], float]
    metric: str
    help: str
    unit: str = ""


COLUMNS = (
    Column(lambda t: float(t["state"] != CLOCK_ERROR), "node_timex_sync_status", "1 when the clock is synchronised."),
    Column(
        lambda t: t["offset"] / t["scale"], "node_timex_offset_seconds", "Offset still being slewed away.", "seconds"
    ),
    Column(
        lambda t: 1 + t["freq"] / FREQUENCY, "node_timex_frequency_adjustment_ratio", "Rate given to the local clock."
    ),
    Column(lambda t: t["maxerror"] / MICROSECONDS, "node_timex_maxerror_seconds", "Largest possible error.", "seconds"),
    Column(lambda t: t["esterror"] / MICROSECONDS, "node_timex_estimated_error_seconds", "Estimated error.", "seconds"),
    Column(lambda t: t["status"], "node_timex_status", "The kernel's STA_ bits."),
    Column(lambda t: t["constant"], "node_timex_loop_time_constant", "Time constant of the phase-locked loop."),
    Column(lambda t: t["tick"] / MICROSECONDS, "node_timex_tick_seconds", "Time between clock ticks.", "seconds"),
    Column(
        lambda t: t["ppsfreq"] / FREQUENCY, "node_timex_pps_frequency_hertz", "Frequency of the pulse signal.", "hertz"
    ),
    Column(
        lambda t: t["jitter"] / t["scale"], "node_timex_pps_jitter_seconds", "Jitter of the pulse signal.", "seconds"
    ),
    Column(lambda t: t["shift"], "node_timex_pps_shift_seconds", "Interval of the pulse signal.", "seconds"),
    Column(
        lambda t: t["stabil"] / FREQUENCY, "node_timex_pps_stability_hertz", "Stability of the pulse signal.", "hertz"
    ),
    Column(lambda t: t["jitcnt"], "node_timex_pps_jitter_total", "Pulses beyond the jitter limit."),
    Column(lambda t: t["calcnt"], "node_timex_pps_calibration_total", "Calibration intervals of the pulse signal."),
    Column(lambda t: t["errcnt"], "node_timex_pps_error_total", "Calibration errors of the pulse signal."),
    Column(lambda t: t["stbcnt"], "node_timex_pps_stability_exceeded_total", "Times the stability limit was passed."),
    Column(lambda t: t["tai"], "node_timex_tai_offset_seconds", "International atomic time minus UTC.", "seconds"),
)
SERIES = tuple(
    (counter if column.metric.endswith("_total") else gauge)(column.metric, column.help, unit=column.unit)
    for column in COLUMNS
)


class Timex:
    """node_timex_*."""

    name = "timex"

    def __init__(self, read: Reader | None = None) -> None:
        self._read = read or _adjtimex()

    def observe(self, moment: Moment) -> Observation:
        state, buffer = self._read()
        fields: Fields = dict(zip(FIELDS, LAYOUT.unpack_from(buffer), strict=True))
        fields["state"] = state
        fields["scale"] = NANOSECONDS if int(fields["status"]) & STATUS_NANOSECONDS else MICROSECONDS
        return Observation(
            [Sample(series, column.sample_of(fields)) for series, column in zip(SERIES, COLUMNS, strict=True)]
        )


def _adjtimex() -> Reader:
    """The system call; ctypes is loaded only where this probe is in use."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(LAYOUT.size + RESERVED_BYTES)

    def read() -> tuple[int, bytes]:
        ctypes.memset(buffer, 0, len(buffer))  # modes = 0 asks; anything else would set the clock
        state = libc.adjtimex(buffer)
        if state < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"adjtimex: {os.strerror(number)}")
        return state, buffer.raw

    return read
