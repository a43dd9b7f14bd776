"""Regular expressions from users, made safe to run: anchored, short, and without patterns that explode.

Python's engine backtracks, so a pattern such as `(a+)+` can take hours on thirty characters. Every pattern is therefore
weighed before it is compiled. Knows nothing of labels or series.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from collector.domain.errors import InvalidInput
from collector.domain.message import Message

LENGTH_LIMIT = 256
"""Characters in a pattern."""
UNBOUNDED = 256
"""Ways in which one `*` or `+` is counted to match; label values are rarely longer."""
WAYS_LIMIT = UNBOUNDED**3
"""Ways in which a whole pattern may match one text: three `.*` in a row take some ten milliseconds at worst."""

_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)
_REFUSED = {
    op.GROUPREF: Message("uses back-references"),
    op.GROUPREF_EXISTS: Message("uses back-references"),
    op.ASSERT: Message("uses look-around"),
    op.ASSERT_NOT: Message("uses look-around"),
}


@lru_cache(maxsize=1024)
def compile_anchored(pattern: str) -> re.Pattern[str]:
    """The compiled pattern, to be used with `fullmatch` as Prometheus does.

    Args:
        pattern: At most `LENGTH_LIMIT` characters; no back-references, no look-around, no repetition of something that
            can itself match in several ways.

    Returns:
        A compiled pattern; `.` matches line ends too, as in Prometheus.

    Raises:
        InvalidInput: Too long, not valid, or able to take exponential time; says which.

    Source:
        Prometheus, "Querying basics": matchers are fully anchored; OWASP, "Regular expression denial of service".
    """
    if len(pattern) > LENGTH_LIMIT:
        long = Message("is {count} characters long, at most {most} are allowed", count=len(pattern), most=LENGTH_LIMIT)
        raise _refuse(pattern, long)
    try:
        compiled = re.compile(pattern, re.DOTALL)
        tree = parser.parse(pattern, re.DOTALL)
    except (re.error, RecursionError, OverflowError) as error:
        raise _refuse(pattern, Message("is not valid: {error}", error=str(error))) from error
    if _ways(tree, pattern) > WAYS_LIMIT:
        raise _refuse(pattern, Message("has more than three open repetitions in a row"))
    return compiled


def _ways(items: Iterable[tuple[Any, Any]], pattern: str) -> int:
    """How many ways a sequence of parsed items can match one text, roughly and from above."""
    total = 1
    for code, value in items:
        if code in _REFUSED:
            raise _refuse(pattern, _REFUSED[code])
        if code in _REPEATS:
            low, high, body = value
            if high > 1 and _ways(body, pattern) > 1:
                raise _refuse(pattern, Message("repeats a part that itself repeats or has alternatives"))
            total *= UNBOUNDED if high is op.MAXREPEAT else int(high) - int(low) + 1
        elif code is op.BRANCH:
            total *= sum(_ways(body, pattern) for body in value[1])
        elif code is op.SUBPATTERN:
            total *= _ways(value[3], pattern)
    return total


def _refuse(pattern: str, why: Message) -> InvalidInput:
    shown = pattern if len(pattern) <= LENGTH_LIMIT else pattern[:LENGTH_LIMIT] + "…"
    return InvalidInput(
        Message("The pattern “{pattern}” {why}.", pattern=shown, why=why),
        fields={"match": why},
        hint="Use a shorter pattern, a character class such as [ab]*, or several matchers.",
    )
