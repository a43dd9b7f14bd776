"""What an agent says of its host, in the only shapes that pages show: processes, facts, proposals.

An agent is not trusted to be one of ours. A document of another shape is left out as if it had never come, so that a
host can spoil nothing but its own record. What is shown is the document as it came, JSON and all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from collector.edges.wording import told

LATEST_MS = 253_370_764_800_000
"""The year 9999 UTC; no calendar here goes further, in any time zone."""

Text = Annotated[str, Meta(max_length=512)]
Moment = Annotated[int, Meta(ge=0, le=LATEST_MS)] | None
Amount = Annotated[float, Meta(ge=0, le=1e18)]
Whole = Annotated[int, Meta(ge=0, le=1 << 62)]


class _Process(msgspec.Struct, frozen=True):
    pid: Whole
    name: Text
    user: Text
    cpu_ratio: Amount
    resident_bytes: Amount
    started_ms: Annotated[int, Meta(ge=-LATEST_MS, le=LATEST_MS)]  # a clock may have been wrong then


class _Processes(msgspec.Struct, frozen=True):
    count: Whole
    by_cpu: Annotated[list[_Process], Meta(max_length=500)] = []
    by_memory: Annotated[list[_Process], Meta(max_length=500)] = []


class _Host(msgspec.Struct, frozen=True):
    os: Text | None = None
    kernel: Text | None = None
    architecture: Text | None = None
    virtualization: Text | None = None
    cpu_count: Whole | None = None
    memory_bytes: Amount | None = None
    boot_time_ms: Moment = None
    addresses: Annotated[list[Text], Meta(max_length=256)] = []


class _Proposal(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    kind: Text
    options: dict[str, Any]
    why: Text
    central: bool


class _Proposals(msgspec.Struct, frozen=True):
    proposals: Annotated[list[_Proposal], Meta(max_length=500)] = []


SHAPES: Mapping[str, type[msgspec.Struct]] = {"processes": _Processes, "host": _Host, "proposals": _Proposals}


def read(kind: str, body: bytes) -> dict[str, Any] | None:
    """The document as data, or None when it has not the shape of its kind."""
    try:
        msgspec.json.decode(body, type=SHAPES[kind])
        found: dict[str, Any] = msgspec.json.decode(body)
        for one in found.get("proposals", ()) if kind == "proposals" else ():
            one["why"] = told(one["why"], one.get("wording"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found
