"""A clock for tests that stands until it is turned."""

from __future__ import annotations


class Clock:
    """Unix milliseconds; set `now_ms` to turn it."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms
