"""The process check: as many processes of a name run as should.

Reads /proc. Counts what the agent's user can see, and says unknown where the kernel hides other users' processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from agent.probes.attempts import CannotProbe, Finding
from agent.probes.check import Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.reason import Reason
from agent.sample import State

RUNNING = Measure("probe_process_matches", "Running processes that match, without zombies")

PROC = Path("/proc")
COMM_CHARACTERS = 15
"""The kernel cuts a process's own name after this many."""

Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class ProcessCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a process check."""

    process: Line
    arguments: Line = ""  # text that the command line must contain
    minimum: Count = 1
    maximum: Count | None = None

    KIND: ClassVar[str] = "process"
    MEASURES: ClassVar[tuple[Measure, ...]] = (RUNNING,)

    def __post_init__(self) -> None:
        if not self.process:
            raise ValueError("process is empty: name the program")
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is less than minimum {self.minimum}")
        super().__post_init__()

    @property
    def target(self) -> str:
        """The program's name."""
        return self.process

    def look(self, deadline: Deadline) -> Finding:
        """Count and compare."""
        running = count(PROC, self.process, arguments=self.arguments)
        deadline.left()  # A count that took too long may have missed what started and ended meanwhile.
        values = {RUNNING.key: float(running)}
        if running == 1:
            found = Reason("1 process named {name}", name=self.process)
        else:
            found = Reason("{count} processes named {name}", count=running, name=self.process)
        if running < self.minimum:
            few = Reason("{found} instead of at least {count}", found=found, count=self.minimum)
            return Finding(State.DOWN, few, values=values)
        if self.maximum is not None and running > self.maximum:
            many = Reason("{found} instead of at most {count}", found=found, count=self.maximum)
            return Finding(State.DOWN, many, values=values)
        return Finding(State.UP, found, values=values)


def count(proc: Path, name: str, *, arguments: str = "") -> int:
    """How many processes have the name as their own or as their program's, and the text in their command line.

    Raises:
        CannotProbe: The process table is hidden from this user.
    """
    try:
        (proc / "1" / "comm").read_bytes()
    except OSError:
        raise CannotProbe(
            Reason("Other users' processes are hidden from the agent ({path} is mounted with hidepid)", path=str(proc))
        ) from None
    wanted = name.encode()
    matching = 0
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            matching += _matches(entry, wanted, arguments.encode())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # It ended between the listing and the look.
    return matching


def _matches(entry: Path, wanted: bytes, arguments: bytes) -> bool:
    comm = (entry / "comm").read_bytes().rstrip(b"\n")
    words = (entry / "cmdline").read_bytes().split(b"\0")
    by_program = wanted in (words[0], words[0].rpartition(b"/")[2])
    # A cut name is evidence only where the process has no command line to tell it apart by.
    by_name = comm == wanted or (comm == wanted[:COMM_CHARACTERS] and not words[0])
    if not (by_program or by_name) or arguments not in b" ".join(words):
        return False
    state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
    return state not in (b"Z", b"X")
