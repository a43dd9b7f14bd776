"""A rule that could not be judged would stop the judging of all others, so it is refused where it is written."""

from __future__ import annotations

import pytest

from tests.security.fortress import ADMINISTRATOR, Fortress


@pytest.mark.parametrize("pattern", ["(a+)+", "(a|a)*b", "(x", "a" * 300, "(a)\\1", "(?=a)b", ".*.*.*.*"])
async def test_a_pattern_that_can_run_for_hours_is_in_no_rule(made: Fortress, pattern: str) -> None:
    body = {
        "key": "r",
        "name": "R",
        "measure": "filesystem_used_ratio",
        "level": 1,
        "selector": {"mountpoint": pattern},
    }
    headers = await made.own_page(ADMINISTRATOR)
    reply = await made.ask(ADMINISTRATOR, "POST", "/api/v1/rule", headers=headers, json=body)
    assert reply.status == 422
    assert "selector" in reply.text
