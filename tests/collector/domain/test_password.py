"""Which names a guesser knows, and what a person whose password is refused is told."""

from __future__ import annotations

import pytest

from collector.domain import password
from collector.domain.errors import InvalidInput
from collector.domain.password import MAXIMUM, MINIMUM, SCORE_LEAST, Flaw


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("siti", {"siti", "sigap"}),
        ("Siti Nurbaya", {"sitinurbaya", "nurbaya", "siti", "sigap"}),
        ("budi.s@toko-baju.example", {"budistokobajuexample", "example", "budi", "toko", "baju", "sigap"}),
        ("al", {"sigap"}),
    ],
)
def test_the_words_of_a_name_or_address_are_known_to_everybody(name: str, known: set[str]) -> None:
    assert set(password.names_of(name)) == known


def test_what_everybody_knows_is_taken_out_of_a_password() -> None:
    assert password.without_names("Siti&Sigap-Kopi", password.names_of("siti")) == "&-Kopi"


@pytest.mark.parametrize("length", [MINIMUM - 1, MAXIMUM + 1])
def test_a_length_outside_the_bounds_is_refused_with_the_bound(length: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        password.check_length("k" * length)
    assert str(MINIMUM if length < MINIMUM else MAXIMUM) in refused.value.fields["password"]


@pytest.mark.parametrize("length", [MINIMUM, 64, MAXIMUM])
def test_every_length_within_the_bounds_is_taken(length: int) -> None:
    password.check_length("k" * length)


@pytest.mark.parametrize("flaw", Flaw)
def test_a_refusal_says_why_and_what_to_do_in_both_languages(flaw: Flaw) -> None:
    with pytest.raises(InvalidInput) as refused:
        password.judge(SCORE_LEAST - 1, flaw)
    told = refused.value.fields["password"]
    assert told.startswith(flaw.value)
    assert "four or more words" in told
    assert "empat kata atau lebih" in told.to("id")  # type: ignore[attr-defined]
    password.judge(SCORE_LEAST, flaw)


def test_the_same_letters_are_the_same_password() -> None:
    assert password.normal("caf\u0065\u0301 \uff41") == password.normal("caf\u00e9 a")
