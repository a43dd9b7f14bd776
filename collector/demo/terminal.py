"""What is shown while an instance is being filled: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from collector.demo.flow import Summary

WORDS = "Filling the instance with a simulated month"
LINE_EVERY_PERCENT = 25


class Terminal:
    """A context; `advance` is the progress that `fill` tells."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._shown_percent = 0

    def __enter__(self) -> Terminal:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console)
            self._bar.start()
            self._bar.add_task(WORDS, total=None)
        else:
            self._say(f"{WORDS} …")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, error, trace
        if self._bar is not None:
            self._bar.stop()

    def advance(self, done: int, total: int) -> None:
        """`done` of `total` are delivered."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)
            return
        percent = 100 * done // max(total, 1)
        if percent >= self._shown_percent + LINE_EVERY_PERCENT:
            self._shown_percent = percent - percent % LINE_EVERY_PERCENT
            self._say(f"{self._shown_percent} %")

    def summary(self, summary: Summary, link: str) -> None:
        """What the instance was filled with, and where to look at it."""
        self._say(
            f"{summary.hosts} simulated hosts, {summary.checks} checks, {summary.services} services, "
            f"{summary.days} days of history in {summary.seconds:.1f} s. Every number is made up."
        )
        self._say(f"Open it, signed in (once, 15 minutes): {link}")
        self._say("Ctrl+C stops it.")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
