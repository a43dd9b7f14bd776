"""Hands accepted batches to the sinks: what one cannot take is nothing to the other sinks, nor to other batches.

Runs inside the transaction of ingest. What is to be done about what could not be taken is `ingest`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from collector.domain.sample import Accepted
from collector.flows.session import Sink
from collector.store.database import Connection, is_passing


class Failure(NamedTuple):
    """A sink that could not take a batch by itself."""

    sink: str
    place: int  # of the batch, among those that were handed over
    error: Exception


@dataclass(slots=True)
class Fed:
    """What the sinks are to do after the commit, and what they could not take."""

    after: list[Callable[[], None]] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


def feed(connection: Connection, sinks: Iterable[Sink], accepted: Sequence[Accepted]) -> Fed:
    """Let every sink write; in one go, or batch by batch where that fails.

    Raises:
        Exception: The database failed, so that nothing of this transaction may be acknowledged.
    """
    fed = Fed()
    for sink in sinks:
        if not _absorb(connection, sink, accepted, fed):
            for place in range(len(accepted)):
                _absorb(connection, sink, accepted, fed, only=place)
    return fed


def _absorb(
    connection: Connection, sink: Sink, accepted: Sequence[Accepted], fed: Fed, *, only: int | None = None
) -> bool:
    place = 0 if len(accepted) == 1 else only
    try:
        with connection.begin_nested():
            fed.after.append(sink.absorb(connection, accepted if place is None else [accepted[place]]))
    except Exception as error:
        if is_passing(error):
            raise
        if place is None:
            return False
        fed.failed.append(Failure(sink.name, place, error))
    return True
