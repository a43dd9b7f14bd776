"""Who may sign in: roles and scopes, throttling, lifetimes of sessions and links. Pure; told the time.

Which passwords are taken is `domain.password`; hashing and storing are `flows.passwords` and `store.accounts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

FAILURE_WINDOW_MS = 15 * 60_000
FREE_FAILURES = 4
"""So many wrong passwords are only mistakes; each further one doubles the wait."""
LONGEST_WAIT_MS = 5 * 60_000

LINK_MINUTES = 15
"""A sign-in link is followed where it was printed."""
RESET_MINUTES = 24 * 60
"""A link to choose a password travels by chat or mail, to somebody who may be asleep."""


class Role(StrEnum):
    """What a person may do: look, operate, or everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Standing(StrEnum):
    """Where an account is: in use, made but never signed in to, or shut."""

    ACTIVE = "active"
    INVITED = "invited"
    DISABLED = "disabled"


class Scope(StrEnum):
    """What an API token may do, never more than its owner."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


SCOPE_ROLE = {Scope.READ: Role.VIEWER, Scope.WRITE: Role.OPERATOR, Scope.ADMIN: Role.ADMIN}
_ORDER = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Account:
    """A person who can sign in. Times are Unix milliseconds, UTC; `version` grows by one per change."""

    id: int
    name: str
    role: Role
    language: str
    active: bool
    password_hash: str = field(repr=False)
    theme: str = "auto"
    created_ms: int = 0
    signed_in_ms: int | None = field(default=None, compare=False)
    version: int = field(default=1, compare=False)

    @property
    def key(self) -> str:
        """What history calls it."""
        return self.name

    @property
    def standing(self) -> Standing:
        """Whether it is in use, waits for its first sign-in, or is shut."""
        if not self.active:
            return Standing.DISABLED
        return Standing.ACTIVE if self.password_hash or self.signed_in_ms is not None else Standing.INVITED


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lives, in milliseconds: without a request, and in any case."""

    idle_ms: int
    absolute_ms: int

    def is_over(self, *, created_ms: int, used_ms: int, now_ms: int) -> bool:
        """Whether a session created and last used at these Unix times has ended."""
        return now_ms - used_ms >= self.idle_ms or now_ms - created_ms >= self.absolute_ms


def lesser(one: Role, other: Role) -> Role:
    """The role with fewer rights."""
    return _ORDER[min(_ORDER.index(one), _ORDER.index(other))]


def wait_ms(failures_ms: list[int], now_ms: int) -> int:
    """How long the next try must wait, in milliseconds, after the failures at these Unix times.

    Nobody is locked out for good: a lockout would let anybody lock out everybody.
    """
    recent = [at for at in failures_ms if now_ms - at < FAILURE_WINDOW_MS]
    excess = len(recent) - FREE_FAILURES
    if excess <= 0:
        return 0
    pause = min(1_000 << (excess - 1), LONGEST_WAIT_MS)
    return max(0, max(recent) + pause - now_ms)
