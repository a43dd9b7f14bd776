"""What an agent saw, in its own words, in a file that outlives it: numbers assigned, handed out, acknowledged.

Written by a spool that tells of itself; read by the checker. A line counts only with its full stop, as a process may be
killed inside a write.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.batch import Batch, Entry, Item
from agent.sample import Moment
from agent.spool import Spool

END = "."


class Notes:
    """Lines at the end of a file. An acknowledgement is on disk before anybody acts on it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self._handle, b"\n")  # whatever the one before left half-written ends here

    def write(self, *lines: str, durable: bool = False) -> None:
        """Add lines in one write."""
        os.write(self._handle, "".join(f"{line} {END}\n" for line in lines).encode())
        if durable:
            os.fdatasync(self._handle)


class WatchedSpool(Spool):
    """The real spool; notes what passes through its doors."""

    notes: Notes

    def watch(self, notes: Notes) -> None:
        """Begin: the numbers that the process before this one assigned, perhaps without noting them, come first."""
        self.notes = notes
        notes.write(*(f"numbered {lane.epoch.hex()} {lane.last_seq}" for lane in self.lanes()))

    def append(
        self, entries: Sequence[Entry], moment: Moment, *, layouts: Mapping[int, bytes] | None = None
    ) -> list[tuple[bytes, int]]:
        """As the spool's; the numbers are noted once they are on disk."""
        numbers = super().append(entries, moment, layouts=layouts)
        if not numbers:
            self.notes.write(f"unsaved {moment.wall_ms}")
            return numbers
        epoch, last_seq = self.newest()
        self.notes.write(
            *(f"batch {of.hex()} {seq} {moment.wall_ms}" for of, seq in numbers), f"numbered {epoch.hex()} {last_seq}"
        )
        return numbers

    def fetch(self, epoch: bytes, from_seq: int, *, limit: int) -> list[Item]:
        """As the spool's; what is handed out is noted before it can be sent."""
        items = super().fetch(epoch, from_seq, limit=limit)
        self.notes.write(
            *(
                f"batch {epoch.hex()} {item.seq} {item.wall_ms}"
                if isinstance(item, Batch)
                else f"hole {epoch.hex()} {item.seq} {item.last_seq}"
                for item in items
            )
        )
        return items

    def acknowledge(self, epoch: bytes, seq: int) -> None:
        """As the spool's; noted durably before the spool may delete anything."""
        self.notes.write(f"acked {epoch.hex()} {seq}", durable=True)
        super().acknowledge(epoch, seq)


@dataclass
class Lane:
    """What the notes say of one epoch."""

    last_seq: int = 0
    acked_seq: int = 0
    wall_ms: dict[int, int] = field(default_factory=dict)  # by number
    holes: set[int] = field(default_factory=set)


def read(path: Path) -> dict[bytes, Lane]:
    """Every lane that an agent ever had.

    Raises:
        AssertionError: One number was given to two batches.
    """
    lanes: dict[bytes, Lane] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        kind, *words = line.split() or [""]
        if not words or words.pop() != END:
            continue
        if kind == "unsaved":
            continue
        epoch, first, last = bytes.fromhex(words[0]), int(words[1]), int(words[-1])
        lane = lanes.setdefault(epoch, Lane())
        if kind == "batch":
            assert lane.wall_ms.setdefault(first, last) == last, f"{path}: {epoch.hex()} {first} was given twice"
            last = first
        elif kind == "hole":
            lane.holes.update(range(first, last + 1))
        elif kind == "acked":
            lane.acked_seq = max(lane.acked_seq, last)
        lane.last_seq = max(lane.last_seq, last)
    return lanes


def unsaved(path: Path) -> list[int]:
    """The times of the beats that found no room on the disk."""
    lines = [
        line.split() for line in path.read_text().splitlines() if line.startswith("unsaved") and line.endswith(END)
    ]
    return [int(wall_ms) for _, wall_ms, _ in lines]
