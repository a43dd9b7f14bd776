"""The way in for everybody who changes a record: one transaction per call, then those who asked are told.

What may change and how is `record`'s; YAML documents are `manifest`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from collector.domain.registers.base import Record, Who
from collector.flows import manifest
from collector.flows.manifest import Plan
from collector.flows.record import Changed, Guard, NoSeal, OnWrite, Recorder, Review, Sealing
from collector.store.database import Connection, Database

log = logging.getLogger(__name__)

OnChange = Callable[[str, Record | None, Record | None], None]
"""(register, record or None when deleted, before or None when created), on the event loop after the commit."""


class Registrar:
    """Every register's records, changed.

    Args:
        db: Where they are kept.
        clock: Unix milliseconds, UTC.
        sealing: How secrets are kept, `store.seal.Seal`; without it secrets are refused.
    """

    def __init__(self, db: Database, *, clock: Callable[[], int], sealing: Sealing | None = None) -> None:
        self.db = db
        self.recorder = Recorder(clock, sealing or NoSeal())
        self._listeners: list[OnChange] = []

    def on_change(self, callback: OnChange) -> None:
        """Call `callback` after each committed change."""
        self._listeners.append(callback)

    def on_write(self, callback: OnWrite) -> None:
        """Call `callback` inside the transaction of each change; what it raises undoes the change."""
        self.recorder.hooks.append(callback)

    def on_review(self, register: str, callback: Review) -> None:
        """Ask `callback` what else is wrong with a record of `register` before it is saved."""
        self.recorder.reviews[register] = callback

    def on_step(self, register: str, callback: Guard) -> None:
        """Ask `callback` what keeps a person from taking a step with a record of `register`."""
        self.recorder.guards[register] = callback

    def unseal(self, sealed: str) -> str:
        """The text of a secret field, for the flow that uses it."""
        return self.recorder.sealing.unseal(sealed)

    async def create(self, who: Who, register: str, data: Mapping[str, Any], *, why: str = "") -> Any:
        """Create a record and return it; see `Recorder.create`."""
        return (await self._do(lambda c: self.recorder.create(c, who, register, data, why=why))).record

    async def edit(
        self,
        who: Who,
        register: str,
        key: str,
        data: Mapping[str, Any],
        *,
        version: int | None = None,
        why: str = "",
    ) -> Any:
        """Change fields of a record and return it; see `Recorder.edit`."""
        return (
            await self._do(lambda c: self.recorder.edit(c, who, register, key, data, version=version, why=why))
        ).record

    async def transition(
        self, who: Who, register: str, key: str, transition: str, *, version: int | None = None, why: str = ""
    ) -> Any:
        """Move a record in its life cycle and return it; see `Recorder.transition`."""
        return (
            await self._do(
                lambda c: self.recorder.transition(c, who, register, key, transition, version=version, why=why)
            )
        ).record

    async def delete(self, who: Who, register: str, key: str, *, version: int | None = None, why: str = "") -> None:
        """Delete a record; see `Recorder.delete`."""
        await self._do(lambda c: self.recorder.delete(c, who, register, key, version=version, why=why))

    async def judge(self, who: Who, register: str, data: Mapping[str, Any], *, key: str = "") -> None:
        """Raise what creating (or with `key`, editing) would raise, and change nothing."""

        def work(connection: Connection) -> None:
            with connection.begin_nested() as nested:
                if key:
                    self.recorder.edit(connection, who, register, key, data)
                else:
                    self.recorder.create(connection, who, register, data)
                nested.rollback()

        await self.db.write(work)

    async def apply(
        self, who: Who, documents: Sequence[Mapping[str, Any]], *, dry_run: bool = False, why: str = ""
    ) -> Plan:
        """Make the records what `documents` say, all of them or none; see `manifest.apply`."""

        def work(connection: Connection) -> tuple[Plan, list[Changed]]:
            with connection.begin_nested() as nested:
                result = manifest.apply(connection, self.recorder, who, documents, why=why)
                if dry_run:
                    nested.rollback()
            return result

        plan, changed = await self.db.write(work)
        if not dry_run:
            self.announce(*changed)
        return plan

    async def export(self, registers: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Every record as a document; see `manifest.export`."""
        return await self.db.read(lambda connection: manifest.export(connection, registers))

    def announce(self, *changes: Changed) -> None:
        """Tell the listeners; for flows that recorded in a transaction of their own, after its commit."""
        for changed in changes:
            if not changed.is_change:
                continue
            for listener in self._listeners:
                try:
                    listener(changed.register, changed.record, changed.before)
                except Exception:
                    # The change is committed whatever a listener makes of it; the others must hear of it.
                    log.exception("listener failed register=%s action=%s", changed.register, changed.action)

    async def _do(self, work: Callable[[Connection], Changed]) -> Changed:
        changed = await self.db.write(work)
        self.announce(changed)
        return changed
