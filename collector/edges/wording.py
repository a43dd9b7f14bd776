"""What agents say as messages, from protobuf and JSON: the reasons of check results and of proposals. Pure.

Whatever an agent sends, a page says in every language what the English on record says, or it says the English.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.domain.message import Message, Value
from protos.telemetry.v1 import telemetry_pb2 as pb

REASON_LENGTH = 500
DEPTH_MAX, VALUES_MAX = 4, 16


def reason_of(result: pb.CheckResult) -> str:
    """Why the check is in its state; plain text from an agent that does not say what it is made of."""
    text = result.reason[:REASON_LENGTH].replace("\0", "")
    made = _value(result.wording, depth=0) if result.HasField("wording") else None
    return made if isinstance(made, Message) and made == text else text


def told(text: str, parts: Any) -> str:
    """A text of a document as a message, from what it is said to be made of: `["template", {"name": value}]`."""
    made = _from_json(parts, depth=0)
    return made if isinstance(made, Message) and made == text else text


def _from_json(given: Any, *, depth: int) -> Value | None:
    match given:
        case [str(template), dict(values)] if depth < DEPTH_MAX and len(template) <= REASON_LENGTH:
            return _filled(template, {name: _from_json(one, depth=depth + 1) for name, one in values.items()})
        case bool() | None:
            return None
        case int() | float():
            return given
        case str() if len(given) <= REASON_LENGTH:
            return given
    return None


def _filled(template: str, values: Mapping[str, Value | None]) -> Message | None:
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < len(values) or len(values) > VALUES_MAX:
        return None
    message = Message(template, **known)
    return message if len(message) <= REASON_LENGTH else None


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
    return _filled(given.template, {name: _value(given.values[name], depth=depth + 1) for name in given.values})
