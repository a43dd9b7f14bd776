"""Life cycles as data: states, the transitions between them, who decides and what must hold.

Decides nothing by itself but whether a transition may happen; the register flow asks and records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from collector.domain.registers.words import Words

Permission = Literal["operate", "admin"]
Condition = Callable[[Any], Words | None]
"""A named function of the record: None when it holds, else what is missing, in words."""


@dataclass(frozen=True, slots=True)
class State:
    """One state. A `closed` record is kept as it is and cannot be edited."""

    name: str
    label: Words
    closed: bool = False
    tone: str = "neutral"  # how a badge looks: neutral, progress, good, warn, muted


@dataclass(frozen=True, slots=True)
class Transition:
    """A way from some states to another.

    Fields whose `need` is this transition's name must be filled, every condition must hold, the person must have
    `permission`, and with `asks_why` must say why. A `detour` leads off the usual way or back onto it.
    """

    name: str
    label: Words
    sources: tuple[str, ...]
    target: str
    permission: Permission = "operate"
    asks_why: bool = False
    detour: bool = False
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """States in order, the first being where a record begins; transitions in the order in which they are offered."""

    states: tuple[State, ...]
    transitions: tuple[Transition, ...] = ()
    _by_name: dict[str, State] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({state.name: state for state in self.states})
        for transition in self.transitions:
            unknown = {transition.target, *transition.sources} - self._by_name.keys()
            if unknown:
                raise ValueError(f"Transition {transition.name!r} names unknown states: {sorted(unknown)}")

    @property
    def initial(self) -> str:
        """The state in which a record begins."""
        return self.states[0].name

    def state(self, name: str) -> State:
        """The state of that name."""
        return self._by_name[name]

    def transition(self, name: str) -> Transition | None:
        """The transition of that name."""
        return next((each for each in self.transitions if each.name == name), None)

    def leaving(self, state: str) -> tuple[Transition, ...]:
        """Transitions that are possible from `state`."""
        return tuple(each for each in self.transitions if state in each.sources)

    def path(self, source: str, target: str, *, detours: bool = True) -> tuple[Transition, ...] | None:
        """The shortest way from `source` to `target`, or None; of equally short ones the first declared.

        With `detours`, a way that uses them is taken only where there is no other.
        """
        straight = self._search(source, target, [each for each in self.transitions if not each.detour])
        return straight if straight is not None or not detours else self._search(source, target, self.transitions)

    @staticmethod
    def _search(source: str, target: str, transitions: Sequence[Transition]) -> tuple[Transition, ...] | None:
        ways: deque[tuple[str, tuple[Transition, ...]]] = deque([(source, ())])
        seen = {source}
        while ways:
            state, way = ways.popleft()
            if state == target:
                return way
            for each in transitions:
                if state in each.sources and each.target not in seen:
                    seen.add(each.target)
                    ways.append((each.target, (*way, each)))
        return None


ACTIVE = State("active", Words("Active", "Aktif"), tone="good")
RETIRED = State("retired", Words("Retired", "Pensiun"), closed=True, tone="muted")
RETIRE = Transition("retire", Words("Retire", "Pensiunkan"), ("active",), "retired", asks_why=True)
REACTIVATE = Transition("reactivate", Words("Reactivate", "Aktifkan kembali"), ("retired",), "active")

IN_USE_OR_RETIRED = LifeCycle((ACTIVE, RETIRED), (RETIRE, REACTIVATE))
"""The plain life cycle: in use, or kept only as a record."""
