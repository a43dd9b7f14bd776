"""Results of checks become part of the record, with all that follows from them, inside one transaction.

What they are evidence of is `observe`'s, what rules make of it `events`'.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from collector.domain.status import Run
from collector.flows import alert, events, losses, observe, stopped
from collector.flows.alert import Change
from collector.flows.bindings import Bound
from collector.flows.catalogue import Catalogue
from collector.flows.observe import Seen
from collector.protocol import Gap, GapReason
from collector.store.database import Connection, is_passing
from collector.store.status import Transition

LOG = logging.getLogger(__name__)


class Taken(NamedTuple):
    """Results that are on record now, and what followed."""

    seen: Sequence[Seen] = ()
    newest: Mapping[int, Run] = MappingProxyType({})
    transitions: Sequence[Transition] = ()
    changes: Sequence[Change] = ()
    lost: Sequence[Gap] = ()


def take(connection: Connection, seen: Sequence[Seen], catalogue: Catalogue, *, now_ms: int) -> Taken:
    """Put results on record, and whom to tell of what they mean."""
    seen = stopped.without(connection, seen, catalogue)
    transitions, newest = observe.results(connection, seen, catalogue, now_ms=now_ms)
    # Transitions first: an alert tells of a state that is on record.
    changes = events.judge_results(connection, seen, catalogue)
    alert.record(connection, changes, catalogue, now_ms=now_ms)
    return Taken(seen, newest, transitions, changes)


def take_late(connection: Connection, bound: Bound, *, now_ms: int) -> Taken:
    """The same for what waited for its check. What cannot be used is given up, or it would come back for ever."""
    if not bound.late:
        return Taken()
    try:
        with connection.begin_nested():
            return take(connection, bound.seen_late(now_ms), bound.catalogue, now_ms=now_ms)
    except Exception as error:
        if is_passing(error):
            raise
        LOG.exception("results that waited for their checks cannot be used count=%d", len(bound.late))
        return Taken(lost=losses.given_up(connection, bound.late, now_ms, reason=GapReason.REFUSED))
