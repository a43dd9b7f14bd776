"""Every error that we raise on purpose, with what failed, where, and what to do next.

CollectorError
 ├─ InvalidInput           what was given cannot be used; carries the fields
 ├─ NotFound               no such thing, or none that this person may see
 ├─ Conflict               true once, but not any more: changed by somebody else, or not in this state
 │   ├─ Stale              the record is at another version than the change is based on
 │   ├─ Taken              what is to be made is there already
 │   └─ InUse              something else refers to it
 ├─ Forbidden              known who you are, but you may not
 ├─ Unauthenticated        not known who you are
 ├─ TooMuch                over a limit; says which and when to come back
 ├─ DisorderError          spans overlap or run backwards
 ├─ NotProvable            the evidence does not carry an answer
 ├─ DeliveryError          a notification did not arrive; recoverable or not
 └─ StoreError             the database failed
     ├─ StoreFull          no space left; nothing was acknowledged
     └─ StoreBroken        a write may not be on disk; the process must stop
"""

from __future__ import annotations

from collections.abc import Mapping


class CollectorError(Exception):
    """What failed, and in `hint` what to do next. Never carries a secret."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(CollectorError):
    """What was given cannot be used.

    `fields` maps a field's name to what is wrong with it; `places` maps some of those names to where they were written,
    in a form for people, such as `shop.yaml:12 (document 3, service shop): owner`.
    """

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        places: Mapping[str, str] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.fields = dict(fields or {})
        self.places = dict(places or {})


class NotFound(CollectorError):
    """No such thing, or none that this person may see: the two are not told apart."""


class Conflict(CollectorError):
    """The record changed meanwhile, or its state does not allow this."""


class Stale(Conflict):
    """The record is at another version than the one that the change is based on."""


class Taken(Conflict):
    """What is to be made is there already: the key is another record's."""


class InUse(Conflict):
    """Something else still refers to it."""


class Forbidden(CollectorError):
    """The person or token is known but lacks the permission."""


class Unauthenticated(CollectorError):
    """Nobody is signed in, or the credential is not valid."""


class TooMuch(CollectorError):
    """Over a limit."""

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class DisorderError(CollectorError):
    """Spans overlap or run backwards."""


class NotProvable(CollectorError):
    """The evidence does not carry an answer."""


class DeliveryError(CollectorError):
    """A notification did not arrive."""

    def __init__(
        self,
        message: str,
        *,
        recoverable: bool,
        retry_after_seconds: float | None = None,
        status: int | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.recoverable = recoverable
        self.retry_after_seconds = retry_after_seconds
        self.status = status


class StoreError(CollectorError):
    """The database failed."""


class StoreFull(StoreError):
    """No space left on the device: the transaction was rolled back and nothing was acknowledged."""


class StoreBroken(StoreError):
    """A write or sync failed: what is on disk is not known, so the process stops and starts again."""
