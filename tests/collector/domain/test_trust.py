"""Tokens, the list of those let in, renewal and pace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain import trust
from collector.domain.errors import InvalidInput
from collector.domain.pace import Pace
from collector.domain.trust import Credential, Refusal, Token, TokenRecord

DAY = trust.DAY_MS
SECRET, PIN = b"s" * 32, b"p" * 32


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(["collector.example:8422", "[::1]:8422", "10.0.0.1:1"]),
)
def test_a_token_says_what_was_put_into_it(secret: bytes, pin: bytes, address: str) -> None:
    token = Token(secret, pin, address)
    assert trust.read_token(f"  {token.text()}\n") == token
    assert "\n" not in token.text()
    assert " " not in token.text()


@given(st.data())
def test_a_token_with_one_changed_or_missing_character_is_damaged(data: st.DataObject) -> None:
    text = Token(SECRET, PIN, "collector:8422").text()
    at = data.draw(st.integers(len(trust.TOKEN_PREFIX), len(text) - 2))
    changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
    for damaged in (changed, text[:at], text[:at] + text[at + 1 :]):
        with pytest.raises(InvalidInput) as raised:
            trust.read_token(damaged)
        assert damaged not in str(raised.value)


@pytest.mark.parametrize("text", ["", "sigap1.", "hello", "sigap2.AAAA", "sigap1.$$$$", "sigap1.AAAA", "sigap1.é"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        trust.read_token(text)


def test_only_the_hash_of_the_secret_is_stored() -> None:
    token = Token(SECRET, PIN, "a:1")
    assert len(token.secret_hash) == 64
    assert Token(SECRET, b"q" * 32, "b:2").secret_hash == token.secret_hash


@pytest.mark.parametrize(
    ("record", "host_name", "now_ms", "why"),
    [
        (None, "web-1", 0, "unknown"),
        (TokenRecord("t", "", "ann", 0, 900, used_ms=5), "web-1", 10, "used"),
        (TokenRecord("t", "", "ann", 0, 900), "web-1", 900, "expired"),
        (TokenRecord("t", "web-2", "ann", 0, 900), "web-1", 899, "wrong host"),
        (TokenRecord("t", "web-1", "ann", 0, 900), "WEB-1.", 899, ""),
        (TokenRecord("t", "", "ann", 0, 900), "anything", 0, ""),
    ],
)
def test_the_log_knows_why_a_token_is_refused(
    record: TokenRecord | None, host_name: str, now_ms: int, why: str
) -> None:
    assert trust.why_refused(record, host_name, now_ms) == why


@pytest.mark.parametrize("name", ["a b", "a/b", "a\nb", "é", "x" * 254, "<b>"])
def test_a_name_that_no_host_has_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        trust.host_label(name)


def test_a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() -> None:
    assert not trust.renewal_due(0, 30 * DAY, 20 * DAY - 1)
    assert trust.renewal_due(0, 30 * DAY, 20 * DAY)


LISTED = Credential("f", "agent", 1, 100, 200, revoked=False)


@pytest.mark.parametrize(
    ("credential", "agent_id", "now_ms", "refusal"),
    [
        (LISTED, "agent", 100, None),
        (LISTED, "agent", 199, None),
        (None, "agent", 150, Refusal.NOT_LISTED),
        (LISTED, "other", 150, Refusal.OTHER_AGENT),
        (Credential("f", "agent", 1, 100, 200, revoked=True), "agent", 150, Refusal.REVOKED),
        (LISTED, "agent", 99, Refusal.NOT_YET_VALID),
        (LISTED, "agent", 200, Refusal.EXPIRED),
    ],
)
def test_a_certificate_is_let_in_only_when_everything_fits(
    credential: Credential | None, agent_id: str, now_ms: int, refusal: Refusal | None
) -> None:
    assert trust.judge(credential, agent_id, now_ms) is refusal


def test_every_refusal_has_words() -> None:
    assert set(trust.REFUSAL_WORDS) == set(Refusal)


def test_a_burst_passes_and_the_rest_waits_for_the_rate() -> None:
    pace, bucket, waits = Pace(rate=2, burst=3), None, []
    for _ in range(4):
        bucket, wait = pace.take(bucket, 1_000)
        waits.append(wait)
    assert waits == [0, 0, 0, 0.5]
    bucket, wait = pace.take(bucket, 1_500)
    assert wait == 0
    assert pace.take(bucket, 0)[1] == 0.5  # A clock that steps back gives nothing and takes nothing.
