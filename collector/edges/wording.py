"""The reason of a check result as a message, from protobuf. Pure.

Whatever an agent sends, a page says in every language what the English on record says, or it says the English.
"""

from __future__ import annotations

from collector.domain.message import Message, Value
from protos.telemetry.v1 import telemetry_pb2 as pb

REASON_LENGTH = 500
DEPTH_MAX, VALUES_MAX = 4, 16


def reason_of(result: pb.CheckResult) -> str:
    """Why the check is in its state; plain text from an agent that does not say what it is made of."""
    text = result.reason[:REASON_LENGTH].replace("\0", "")
    made = _value(result.wording, depth=0) if result.HasField("wording") else None
    return made if isinstance(made, Message) and made == text else text


def _value(given: pb.Reason, *, depth: int) -> Value | None:
    """A reason or one of its values; None for what is larger than any reason."""
    match given.WhichOneof("is"):
        case "template":
            return _message(given, depth)
        case "whole":
            return given.whole
        case "number":
            return given.number
        case "text" if len(given.text) <= REASON_LENGTH:
            return given.text
    return None


def _message(given: pb.Reason, depth: int) -> Message | None:
    if depth == DEPTH_MAX or len(given.values) > VALUES_MAX or len(given.template) > REASON_LENGTH:
        return None
    values: dict[str, Value] = {}
    for name in given.values:
        value = _value(given.values[name], depth=depth + 1)
        if value is None:
            return None
        values[name] = value
    message = Message(given.template, **values)
    return message if len(message) <= REASON_LENGTH else None
