"""The one way in which a record changes: permission, life cycle, values, history, version; in the caller's transaction.

Sync and inside a transaction, so that other flows can record as part of their own work; `register.Registrar` is the
way in for everybody else. Tells nobody: what to announce after the commit is in the `Changed` that each call returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from collector.domain.errors import Conflict, Forbidden, InUse, InvalidInput, NotFound, Stale, StoreError
from collector.domain.message import Message
from collector.domain.registers import named
from collector.domain.registers import validate as check
from collector.domain.registers.base import Record, Register, Who, may
from collector.domain.registers.compound import Ref, Refs, Secret
from collector.domain.registers.document import difference
from collector.domain.registers.lifecycle import Permission, Transition
from collector.domain.registers.validate import Problems
from collector.domain.registers.words import Words
from collector.store import audit
from collector.store import registers as store
from collector.store.database import Connection

NO_SUCH = Words("there is no {0} '{1}'", "tidak ada {0} '{1}'")
FIXED = Words("cannot be changed: history and metrics carry it", "tidak dapat diubah: riwayat dan metrik memakainya")
WHY = Words("is required: say why", "wajib diisi: jelaskan alasannya")

OnWrite = Callable[[Connection, str, Record | None, Record | None, int], None]
"""(connection, register, record or None when deleted, before or None when created, now_ms), inside the transaction."""
Review = Callable[[Connection, Any, Any], Mapping[str, Words]]
"""(connection, record as it would be, before or None) → what keeps it from working, by field."""
Guard = Callable[[Connection, Any, Transition], Mapping[str, Words]]
"""(connection, record, step) → what keeps a person from taking the step: what else would be left behind by it."""


class Sealing(Protocol):
    """How secrets are kept: `store.seal.Seal`."""

    def seal(self, plain: str) -> str: ...
    def unseal(self, sealed: str) -> str: ...


class NoSeal:
    """Refuses to keep secrets, for a collector that was given no key."""

    def seal(self, plain: str) -> str:
        """Seal nothing but nothing."""
        if plain:
            raise StoreError("Secrets cannot be kept: this process has no key.", hint="Start it with a data folder.")
        return ""

    def unseal(self, sealed: str) -> str:
        """Open nothing but nothing."""
        return self.seal(sealed)


@dataclass(frozen=True, slots=True)
class Changed:
    """What one call did. `record` is None after a deletion, `before` None after a creation; equal: nothing changed."""

    register: str
    record: Any
    before: Any
    action: str

    @property
    def is_change(self) -> bool:
        """Whether anything is different now."""
        return bool(self.record != self.before)


def name_of(who: Who) -> str:
    """How history calls `who`."""
    return who if isinstance(who, str) else who.name


@dataclass(slots=True)
class Recorder:
    """Creates, edits, moves and deletes records on a connection."""

    clock: Callable[[], int]
    sealing: Sealing = field(default_factory=NoSeal)
    hooks: list[OnWrite] = field(default_factory=list)
    reviews: dict[str, Review] = field(default_factory=dict)  # register → who is asked
    guards: dict[str, Guard] = field(default_factory=dict)  # the same for steps of the life cycle

    def create(
        self, connection: Connection, who: Who, register: str, data: Mapping[str, Any], *, why: str = ""
    ) -> Changed:
        """Create a record from `data`: field name → value, references by key.

        Raises:
            Forbidden: `who` may not.
            InvalidInput: All that is wrong, by field.
            Conflict: The key is taken.
        """
        spec = named(register)
        _allow(who, spec.permission, Message("create a {register}", register=spec.noun))
        values = self._values(connection, who, spec, data, None)
        now_ms = self.clock()
        state = spec.life.initial
        whole = check.complete(spec, values, state) | {"state": state, "created_ms": now_ms, "changed_ms": now_ms}
        check.refuse(spec, self._judge(connection, spec, spec.entity(id=0, version=0, **whole), None))
        record = store.add(connection, spec.name, whole)
        return self._keep(connection, who, Changed(spec.name, record, None, "create"), why)

    def edit(
        self,
        connection: Connection,
        who: Who,
        register: str,
        key: str,
        data: Mapping[str, Any],
        *,
        version: int | None = None,
        why: str = "",
    ) -> Changed:
        """Change the fields in `data`, leaving the others; nothing is written when nothing differs.

        Args:
            connection: In a transaction.
            who: Who wants it.
            register: The register's name.
            key: Which record.
            data: Field name → value; None for the field's default.
            version: What the record was at when `who` read it; None to change it whatever it is at.
            why: The reason, for the history.

        Raises:
            NotFound: There is no such record.
            Forbidden: `who` may not.
            Conflict: It is at another version, or its state does not allow edits.
            InvalidInput: All that is wrong, by field.
        """
        spec = named(register)
        before = store.by_key(connection, register, key)
        _allow(who, spec.permission, Message("edit a {register}", register=spec.noun))
        _same_version(spec, before, version)
        values = self._values(connection, who, spec, data, before)
        after = check.complete(spec, spec.values(before) | values, before.state)
        if after == spec.values(before):
            return Changed(spec.name, before, before, "edit")
        _not_closed(spec, before)
        _not_kept(who, spec, before)
        return self._replace(connection, who, spec, before, after, state=before.state, action="edit", why=why)

    def transition(
        self,
        connection: Connection,
        who: Who,
        register: str,
        key: str,
        transition: str,
        *,
        version: int | None = None,
        why: str = "",
    ) -> Changed:
        """Move a record to another state of its life cycle.

        Raises:
            NotFound: There is no such record or transition.
            Forbidden: `who` may not decide this.
            Conflict: Not possible from the record's state, or it is at another version.
            InvalidInput: What the gate still misses, by field or condition.
        """
        spec = named(register)
        before = store.by_key(connection, register, key)
        way = _way(spec, transition)
        _allow(who, way.permission, Message("{act} a {register}", act=way.label.lowered(), register=spec.noun))
        _same_version(spec, before, version)
        _leads_from(spec, before, way)
        missing = check.unmet(spec, before, way)
        if way.asks_why and not why.strip():
            missing["why"] = WHY
        if not isinstance(who, str) and (guard := self.guards.get(spec.name)):
            missing |= guard(connection, before, way)
        if missing:
            text = Message(
                "'{transition}' is not possible yet for {register} '{key}': {problems}.",
                transition=way.label,
                register=spec.noun,
                key=key,
                problems=check.summary(missing),
            )
            raise InvalidInput(text, fields=missing)
        after = check.complete(spec, spec.values(before), way.target)
        return self._replace(connection, who, spec, before, after, state=way.target, action=way.name, why=why)

    def delete(
        self,
        connection: Connection,
        who: Who,
        register: str,
        key: str,
        *,
        version: int | None = None,
        why: str = "",
    ) -> Changed:
        """Delete a record that nothing refers to and that its life cycle does not keep.

        Raises:
            NotFound: There is no such record.
            Forbidden: `who` may not.
            Conflict: Something refers to it, its state keeps it, or it is at another version.
        """
        spec = named(register)
        before = store.by_key(connection, register, key)
        _allow(who, spec.permission, Message("delete a {register}", register=spec.noun))
        _same_version(spec, before, version)
        _not_kept(who, spec, before)
        _not_evidence(spec, before)
        found = store.referrers(connection, register, before.id)
        if found:
            names = ", ".join(f"{each.register} '{each.key}' ({each.field})" for each in found)
            raise InUse(
                Message("The {register} '{key}' is referred to by {names}.", register=spec.noun, key=key, names=names),
                hint="Change those first.",
            )
        done = self._keep(connection, who, Changed(spec.name, None, before, "delete"), why)
        store.remove(connection, register, before.id)
        return done

    def _replace(
        self,
        connection: Connection,
        who: Who,
        spec: Register[Any],
        before: Any,
        after: dict[str, Any],
        *,
        state: str,
        action: str,
        why: str,
    ) -> Changed:
        whole = after | {"state": state, "created_ms": before.created_ms, "changed_ms": self.clock()}
        candidate = spec.entity(id=before.id, version=before.version, **whole)
        if action == "edit":
            check.refuse(spec, self._judge(connection, spec, candidate, before))
        record = store.change(connection, spec.name, before, whole)
        return self._keep(connection, who, Changed(spec.name, record, before, action), why)

    def _keep(self, connection: Connection, who: Who, changed: Changed, why: str) -> Changed:
        spec = named(changed.register)
        key_of = store.lookup(connection, spec.name, (changed.before, changed.record))
        before, after = difference(spec, changed.before, changed.record, key_of)
        now_ms = self.clock()
        audit.append(
            connection,
            changed.record or changed.before,
            register=spec.name,
            action=changed.action,
            who=name_of(who),
            at_ms=now_ms,
            before=before,
            after=after,
            why=why.strip(),
        )
        for hook in self.hooks:
            hook(connection, spec.name, changed.record, changed.before, now_ms)
        return changed

    def _values(
        self, connection: Connection, who: Who, spec: Register[Any], data: Mapping[str, Any], before: Record | None
    ) -> dict[str, Any]:
        values, problems = check.parse(spec, data, system=isinstance(who, str))
        if before is not None and values.get("key", before.key) != before.key:
            problems["key"] = FIXED
        for each in spec.fields:
            name, kind, value = each.name, each.kind, values.get(each.name)
            if name not in values:
                continue
            if isinstance(kind, Ref | Refs):
                values[name] = _resolve(connection, kind, name, value, problems)
            elif isinstance(kind, Secret):
                values[name] = self._sealed(str(value), getattr(before, name, ""))
        if problems:
            # What else is wrong with the record is told in the same breath.
            known = spec.values(before) if before else {}
            state = before.state if before else spec.life.initial
            whole = check.complete(spec, known | values, state)
            rest = self._judge(connection, spec, _draft(spec, whole, state), before)
            check.refuse(spec, problems | {name: words for name, words in rest.items() if name not in problems})
        return values

    def _judge(self, connection: Connection, spec: Register[Any], record: Any, before: Record | None) -> Problems:
        found = check.judge(spec, record, before=before)
        review = self.reviews.get(spec.name)
        return {**review(connection, record, before), **found} if review else found

    def _sealed(self, plain: str, before: str) -> str:
        # Sealing the same text again would look like a change.
        if plain and before and self.sealing.unseal(before) == plain:
            return before
        return self.sealing.seal(plain)


def _draft(spec: Register[Any], whole: Mapping[str, Any], state: str) -> Any:
    return spec.entity(id=0, version=0, state=state, created_ms=0, changed_ms=0, **whole)


def _resolve(connection: Connection, kind: Ref | Refs, name: str, given: Any, problems: Problems) -> Any:
    many = isinstance(kind, Refs)
    if given is None:
        return () if many else None
    if isinstance(given, str):
        keys = given.replace(",", " ").split()
    else:
        keys = [str(each) for each in given] if isinstance(given, list | tuple) else [str(given)]
    if not many and len(keys) > 1:
        problems[name] = Words("must be one key", "harus satu kunci")
        return None
    ids = store.ids_of(connection, kind.register, keys)
    for key in keys:
        if key not in ids:
            problems.setdefault(name, NO_SUCH.fill(named(kind.register).title, key))
    found = tuple(dict.fromkeys(ids[key] for key in keys if key in ids))
    return found if many else next(iter(found), None)


NOBODY = Message("Nobody")


def _allow(who: Who, permission: Permission, act: str) -> None:
    if not may(who, permission):
        raise Forbidden(
            Message("{who} may not {act}.", who=name_of(who) or NOBODY, act=act),
            hint=Message("It needs the permission '{permission}'.", permission=str(permission)),
        )


def _way(spec: Register[Any], name: str) -> Transition:
    way = spec.life.transition(name)
    if way is None:
        known = ", ".join(each.name for each in spec.life.transitions)
        raise NotFound(
            Message("A {register} has no transition '{transition}'.", register=spec.noun, transition=name),
            hint=Message("Known: {known}.", known=known),
        )
    return way


def _leads_from(spec: Register[Any], record: Any, way: Transition) -> None:
    if record.state in way.sources:
        return
    sources = Message.joined(", ", [spec.life.state(each).label.lowered() for each in way.sources])
    raise Conflict(
        Message(
            "The {register} '{key}' is {state}; '{transition}' is not possible.",
            register=spec.noun,
            key=record.key,
            state=spec.life.state(record.state).label.lowered(),
            transition=way.name,
        ),
        hint=Message("Possible from: {states}.", states=sources),
    )


def _not_closed(spec: Register[Any], record: Any) -> None:
    state = spec.life.state(record.state)
    if state.closed:
        word, key = state.label.lowered(), record.key
        raise Conflict(
            Message("The {register} '{key}' is {state} and is kept as it is.", register=spec.noun, key=key, state=word)
        )


def _not_evidence(spec: Register[Any], record: Any) -> None:
    if record.state not in spec.deletable:
        state = spec.life.state(record.state).label.lowered()
        raise Conflict(
            Message("A {register} that is {state} is kept as evidence.", register=spec.noun, state=state),
            hint="Retire it instead.",
        )


def _not_kept(who: Who, spec: Register[Any], before: Record) -> None:
    words = None if isinstance(who, str) else spec.kept(before)
    if words is not None:
        raise Conflict(
            Message("The {register} '{key}' cannot be changed here.", register=spec.noun, key=before.key), hint=words
        )


def _same_version(spec: Register[Any], before: Record, version: int | None) -> None:
    if version is not None and version != before.version:
        raise Stale(
            Message(
                "The {register} '{key}' was changed meanwhile: it is at version {version}, not {other}.",
                register=spec.noun,
                key=before.key,
                version=before.version,
                other=version,
            ),
            hint="Load it again and repeat the change.",
        )
