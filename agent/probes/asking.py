"""Asks the kernel about many paths without ever being held up by one that does not answer.

Knows nothing of what is asked. A path that did not answer in time is left alone until its first question returns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Asker(Generic[Answer]):
    """Calls `ask(path)` in a helper thread; one asker at a time."""

    def __init__(self, ask: Callable[[str], Answer], *, timeout_seconds: float) -> None:
        self._ask = ask
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._stuck: set[str] = set()
        self._helper: SimpleQueue[_Walk[Answer] | None] | None = None

    @property
    def stuck(self) -> frozenset[str]:
        """Paths whose question has not returned."""
        with self._lock:
            return frozenset(self._stuck)

    def answers(self, paths: Sequence[str]) -> dict[str, Answer | OSError]:
        """What each path answered; stuck paths are missing."""
        stuck = self.stuck
        found: dict[str, Answer | OSError] = {}
        todo = [path for path in paths if path not in stuck]
        while todo:
            walk: _Walk[Answer] = _Walk(todo)
            self._hand_over(walk)
            todo = self._await(walk)
            found.update(walk.found)
        return found

    def _hand_over(self, walk: _Walk[Answer]) -> None:
        if self._helper is None:
            inbox: SimpleQueue[_Walk[Answer] | None] = SimpleQueue()
            threading.Thread(target=self._help, args=(inbox,), name="asker", daemon=True).start()
            self._helper = inbox
        self._helper.put(walk)

    def _await(self, walk: _Walk[Answer]) -> list[str]:
        """Wait until the walk is over or stands still; returns what it did not get to."""
        seen = -1
        while not walk.over.acquire(timeout=self._timeout_seconds):
            with self._lock:
                if walk.position == seen < len(walk.paths):
                    self._stuck.add(walk.paths[seen])
                    walk.abandoned = True
                    self._helper = None
                    return walk.paths[seen + 1 :]
                seen = walk.position
        return []

    def _help(self, inbox: SimpleQueue[_Walk[Answer] | None]) -> None:
        while (walk := inbox.get()) is not None:
            for path in walk.paths:
                try:
                    answer: Answer | OSError = self._ask(path)
                except OSError as error:
                    answer = error
                with self._lock:
                    if walk.abandoned:
                        self._stuck.discard(path)
                        return
                    walk.found[path] = answer
                    walk.position += 1
            walk.over.release()

    def __del__(self) -> None:
        if self._helper is not None:
            self._helper.put(None)


class _Walk(Generic[Answer]):
    """One pass over the paths, shared by the asker and one helper."""

    __slots__ = ("abandoned", "found", "over", "paths", "position")

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self.found: dict[str, Answer | OSError] = {}
        self.position = 0
        self.abandoned = False
        self.over = threading.Lock()
        self.over.acquire()
