"""Domain error → gRPC status, by one table.

Decides nothing else: the words are the error's own, and what is not ours becomes INTERNAL without its text.
"""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import grpc

from collector.domain import errors

LOG = logging.getLogger(__name__)

RETRY_AFTER = "retry-after-ms"
STATUS: dict[type[errors.CollectorError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.TooMuch: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StoreError: grpc.StatusCode.UNAVAILABLE,
}
UNAVAILABLE_WORDS = "The collector cannot write at the moment. Its log says why; try again later."


def status_of(error: errors.CollectorError) -> grpc.StatusCode:
    """The status of the nearest class in the table."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), grpc.StatusCode.INTERNAL)


async def refuse(context: Any, error: errors.CollectorError) -> NoReturn:
    """End the call with the error's status and words; a database's own words stay in the log."""
    words = f"{error.message} {error.hint}".strip()
    if isinstance(error, errors.StoreError):
        LOG.error("grpc_store_failed error=%s", error.message)
        words = UNAVAILABLE_WORDS
    trailing: tuple[tuple[str, str], ...] = ()
    if isinstance(error, errors.TooMuch):
        trailing = ((RETRY_AFTER, str(int(error.retry_after_seconds * 1000))),)
    await context.abort(status_of(error), words, trailing)
    raise AssertionError("abort raises")
