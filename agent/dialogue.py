"""The words of the delivery protocol: what can happen to the agent's half, and what it can ask to be done.

Values only; `protocol` decides, `uplink` carries out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agent.batch import Batch, Cursor, Hole, Item, Lane


class Limits(NamedTuple):
    """How much the collector wants on its way at most."""

    window_batches: int = 8
    window_bytes: int = 1024 * 1024
    backfill_batches: int = 32
    backfill_per_second: float = 200.0


# ── what happened ───────────────────────────────────────────────────────────────────────────────────────────────────


class Tick(NamedTuple):
    """Time passed."""


class Connected(NamedTuple):
    """There is a stream; the spool has these lanes."""

    lanes: Sequence[Lane]


class Lost(NamedTuple):
    """The stream ended. `refused`: the collector does not know the certificate (any more)."""

    refused: bool = False


class Welcomed(NamedTuple):
    """The collector took us in."""

    session: int
    cursors: Sequence[Cursor]
    limits: Limits


class Reconciled(NamedTuple):
    """The spool has compared the cursors; these are its lanes now."""

    lanes: Sequence[Lane]


class LanesChanged(NamedTuple):
    """A lane was opened or moved."""

    lanes: Sequence[Lane]


class Appended(NamedTuple):
    """A batch was numbered and is on disk."""

    epoch: bytes
    seq: int


class Fetched(NamedTuple):
    """What the spool has next in a lane."""

    epoch: bytes
    items: Sequence[Item]


class Acked(NamedTuple):
    """The collector has this lane up to here on disk."""

    epoch: bytes
    seq: int


class Nacked(NamedTuple):
    """The collector wants this number next."""

    epoch: bytes
    expected_seq: int
    retry_after_ms: int


class Resynced(NamedTuple):
    """The collector wants a new epoch instead of this one, whose numbers up to `acked_seq` are spent."""

    epoch: bytes
    acked_seq: int


class Ponged(NamedTuple):
    """The collector is there."""


class Fenced(NamedTuple):
    """Another connection with our certificate took over."""


class Refused(NamedTuple):
    """The collector will not take our data."""

    code: str
    retry_after_ms: int


class Stop(NamedTuple):
    """The agent ends on purpose."""


Event = (
    Tick
    | Connected
    | Lost
    | Welcomed
    | Reconciled
    | LanesChanged
    | Appended
    | Fetched
    | Acked
    | Nacked
    | Resynced
    | Ponged
    | Fenced
    | Refused
    | Stop
)

# ── what to do ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Connect(NamedTuple):
    """Open a stream, then tell `Connected`."""


class Disconnect(NamedTuple):
    """Close the stream. `Lost` need not be told."""


class SayHello(NamedTuple):
    lanes: Sequence[Lane]


class SayLayout(NamedTuple):
    layout_id: int


class SayBatch(NamedTuple):
    batch: Batch
    backfill: bool


class SayGap(NamedTuple):
    hole: Hole


class SayLaneEnd(NamedTuple):
    epoch: bytes
    last_seq: int
    digest: bytes


class SayPing(NamedTuple):
    pass


class SayGoodbye(NamedTuple):
    pass


class Reconcile(NamedTuple):
    """Let the spool compare the cursors, then tell `Reconciled`."""

    cursors: Sequence[Cursor]


class OpenLane(NamedTuple):
    """Begin a new epoch for what is measured from now on, then tell `LanesChanged`."""


class MoveLane(NamedTuple):
    """Give what the lane holds new numbers, declare its own lost, then tell `LanesChanged`."""

    epoch: bytes
    acked_seq: int


class Fetch(NamedTuple):
    """Read on in a lane, then tell `Fetched`."""

    epoch: bytes
    from_seq: int
    limit: int


class Acknowledge(NamedTuple):
    """The spool may delete the lane's batches up to here."""

    epoch: bytes
    seq: int


Effect = (
    Connect
    | Disconnect
    | SayHello
    | SayLayout
    | SayBatch
    | SayGap
    | SayLaneEnd
    | SayPing
    | SayGoodbye
    | Reconcile
    | OpenLane
    | MoveLane
    | Fetch
    | Acknowledge
)
