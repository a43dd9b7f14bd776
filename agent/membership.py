"""How a running agent comes by its identity and keeps it: found, enrolled for, renewed in time.

Tries again with growing pauses and logs on transition. What enrolment is, `enrol` knows; where it is kept, `identity`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agent import enrol, identity
from agent.config import Config
from agent.enrol import EnrolError
from agent.identity import Identity, IdentityError
from agent.version import VERSION

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0


class Membership:
    """The agent's standing with its collector. Not for several threads."""

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._state: Path = config.state_directory
        self._clock = clock
        self._token = config.file.enrolment.token
        self.attempts = 0  # enrolments tried
        self._not_before = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._trouble = ""
        self._trace: tuple[int, ...] = ()  # of the identity that was found good last

    def identity(self) -> Identity | None:
        """The identity in the state directory, enrolled for now when there is none but a token; else None."""
        if self._clock() < self._not_before:
            return None
        try:
            found = enrol.load(self._state)
            if found is None and self._token:
                found = self._enrol()
        except (EnrolError, IdentityError) as error:
            self._postpone(str(error))
            return None
        if found is None:
            self._hinder("not enrolled; measuring into the spool. Run: sigap-agent enrol TOKEN")
            return None
        self._recover()
        return self._at(found)

    def renewed(self, current: Identity, *, now_ms: int) -> Identity:
        """The identity to go on with: `current`, its successor when it was time, or one somebody enrolled for anew."""
        if self._clock() < self._not_before:
            return current
        trace = identity.trace(self._state)
        if trace == self._trace and not current.renewal_due(now_ms):
            return current
        try:
            found = enrol.load(self._state)
            if found is None:
                raise IdentityError(f"{self._state} holds no identity any more.", hint="Enrol this host again.")
            fresh = self._at(enrol.renew_when_due(found, self._state, now_ms=now_ms))
        except (EnrolError, IdentityError) as error:
            self._postpone(str(error))
            return current
        self._recover()
        self._trace = trace
        return fresh

    def _enrol(self) -> Identity:
        settings = self._config.file.enrolment
        self.attempts += 1
        try:
            return enrol.enrol(
                self._token, self._state, self._config.host_name, version=VERSION, address=settings.address
            )
        except EnrolError as error:
            if not error.retry:
                self._token = ""  # It will not become good by asking again.
            raise

    def _at(self, found: Identity) -> Identity:
        """The identity with the address that the file names, where it names one."""
        address = self._config.file.collector.address
        if not address or address == found.address:
            return found
        return replace(found, address=address)

    def _postpone(self, trouble: str) -> None:
        self._not_before = self._clock() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        self._hinder(trouble)

    def _hinder(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("no_identity reason=%r", trouble)
            self._trouble = trouble

    def _recover(self) -> None:
        if self._trouble:
            logger.info("identity_found")
        self._trouble = ""
        self._pause_seconds = FIRST_PAUSE_SECONDS
