"""Who may sign in: password rules, throttling, session and token lifetimes. Pure; told the time.

Hashing and storing are `flows.access` and `store.accounts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from collector.domain.errors import InvalidInput

PASSWORD_MINIMUM = 12
PASSWORD_MAXIMUM = 256
"""OWASP ASVS 5.0 6.2: at least 8, better 12 characters; at least 64 must be allowed; no composition rules."""

COMMON_PASSWORDS = frozenset(
    {
        "passwordpassword",
        "password1234",
        "password12345",
        "123456789012",
        "1234567890123",
        "qwertyuiopas",
        "qwerty123456",
        "iloveyou1234",
        "administrator",
        "adminadminadmin",
        "letmeinletmein",
        "changemechangeme",
        "correcthorsebatterystaple",
        "kataSandi1234".lower(),
        "bismillah123",
        "indonesia123",
        "indonesia1945",
    }
)

FAILURE_WINDOW_MS = 15 * 60_000
FREE_FAILURES = 4
"""So many wrong passwords are only mistakes; each further one doubles the wait."""
LONGEST_WAIT_MS = 5 * 60_000

LINK_MINUTES = 15


class Role(StrEnum):
    """What a person may do: look, operate, or everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Scope(StrEnum):
    """What an API token may do, never more than its owner."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


SCOPE_ROLE = {Scope.READ: Role.VIEWER, Scope.WRITE: Role.OPERATOR, Scope.ADMIN: Role.ADMIN}
_ORDER = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Account:
    """A person who can sign in."""

    id: int
    name: str
    role: Role
    language: str
    active: bool
    password_hash: str = field(repr=False)


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


def check_password(password: str, name: str) -> None:
    """Accept a new password or say what is wrong with it.

    Raises:
        InvalidInput: Too short, too long, among the most used, or the account's own name.

    Source:
        OWASP ASVS 5.0.0, 6.2.
    """
    if len(password) < PASSWORD_MINIMUM:
        raise _refused(f"Use at least {PASSWORD_MINIMUM} characters.")
    if len(password) > PASSWORD_MAXIMUM:
        raise _refused(f"Use at most {PASSWORD_MAXIMUM} characters.")
    folded = password.casefold()
    if folded in COMMON_PASSWORDS or len(set(folded)) <= 2 or (name and folded == name.casefold()):
        raise _refused("This password is easily guessed; choose another.")


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


def _refused(text: str) -> InvalidInput:
    return InvalidInput("The password was not accepted.", fields={"password": text})
