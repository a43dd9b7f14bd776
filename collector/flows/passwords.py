"""Passwords: how easily they are guessed, their hashes, and whether one fits its hash.

Hashed with argon2id in a thread, two at a time, so that a burst of sign-ins neither blocks the loop nor eats the
memory. What is refused, and in which words, is `domain.password`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from collector.domain import password as rules
from collector.domain.password import Flaw

ESTIMATED_CHARACTERS = 40
"""The estimator's worst case grows fast with the length: 40 characters made for it take one second, 72 four. What is
hard to guess is hard by then."""
PATTERNS = frozenset({"repeat", "sequence", "spatial", "regex", "date"})


class Passwords:
    """Judges, hashes and verifies."""

    def __init__(self) -> None:
        # OWASP: argon2id with 46 MiB and one pass, or anything above.
        self._hasher = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
        self._slots = asyncio.Semaphore(2)
        # The estimator keeps the words it is given in a module.
        self._estimating = asyncio.Lock()
        self._unknown = self._hasher.hash(secrets.token_hex(16))

    async def accept(self, password: str, name: str) -> str:
        """The hash of a new password for the account called `name`.

        Raises:
            InvalidInput: The password is too short, too long, or easily guessed; it says why and what to do.
        """
        password = rules.normal(password)
        rules.check_length(password)
        async with self._estimating:
            score, flaw = await asyncio.to_thread(estimate, password, rules.names_of(name))
        rules.judge(score, flaw)
        return await self.hash(password)

    async def hash(self, password: str) -> str:
        """The hash of a password that was accepted before."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, rules.normal(password))

    def is_dated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)

    async def fits(self, stored: str, password: str) -> bool:
        """Whether `password` is the one behind the hash; without a hash it takes as long, and is not."""
        async with self._slots:
            try:
                await asyncio.to_thread(self._hasher.verify, stored or self._unknown, rules.normal(password))
            except (VerifyMismatchError, InvalidHashError):
                return False
        return bool(stored)


def estimate(password: str, names: Sequence[str]) -> tuple[int, Flaw]:
    """How hard a password is to guess for somebody who knows the names: 0 to 4, and what makes it easy."""
    # Its word lists take 15 MiB, which a collector that nobody sets a password on goes without.
    from zxcvbn import zxcvbn

    left = rules.without_names(password, names)[:ESTIMATED_CHARACTERS]
    if not left:
        return 0, Flaw.NAMES
    found: Any = zxcvbn(left, user_inputs=[*names, *rules.LOCAL_WORDS])
    if left != password[:ESTIMATED_CHARACTERS] and len(left) < len(password) - len(left):
        return found["score"], Flaw.NAMES
    return found["score"], _flaw(max(found["sequence"], key=lambda match: len(match["token"])), names)


def _flaw(match: Any, names: Sequence[str]) -> Flaw:
    """What to say about the longest piece that was recognised."""
    if match["pattern"] == "dictionary":
        if match["matched_word"] in names:
            return Flaw.NAMES
        return Flaw.COMMON if match["dictionary_name"] in ("passwords", "user_inputs") else Flaw.WORDS
    return Flaw.PATTERN if match["pattern"] in PATTERNS else Flaw.WORDS
