"""How long the fault tests go on: for `make chaos` long, else just long enough to show that they work."""

from __future__ import annotations

import os

VARIABLE = "SIGAP_CHAOS"


def times(short: int, *, long: int) -> int:
    """`long` when asked for by the environment; a number there is how often."""
    asked = os.environ.get(VARIABLE, "")
    return int(asked) if asked.isdecimal() else long if asked == "long" else short
