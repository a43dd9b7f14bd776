"""Headers against the library hpack, which knows nothing of ours."""

from __future__ import annotations

from contextlib import suppress

import hpack
import pytest
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from agent import headers

WORDS = st.text(max_size=200)
HEADERS = st.lists(st.tuples(WORDS, WORDS), max_size=8)


def tableless() -> hpack.Encoder:
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder


@given(HEADERS, st.booleans())
def test_what_another_packs_is_unpacked(given_headers: list[tuple[str, str]], huffman: bool) -> None:
    assert headers.unpack(tableless().encode(given_headers, huffman=huffman)) == given_headers


@given(HEADERS)
def test_another_unpacks_what_is_packed(given_headers: list[tuple[str, str]]) -> None:
    assert hpack.Decoder().decode(headers.pack(given_headers)) == given_headers


@pytest.mark.parametrize("huffman", [False, True])
def test_every_entry_of_the_static_table_and_every_byte_is_known(huffman: bool) -> None:
    known = [(name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE]
    known += [(name, "other") for name, _ in known]
    known += [("x", "".join(map(chr, range(0x800))))]  # UTF-8 uses every byte but those it forbids
    assert headers.unpack(tableless().encode(known, huffman=huffman)) == known


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xbe",
        b"\x7f",
        b"\x00\x05abc",
        b"\x00\x01a",
        b"\xff" * 12,
        b"\x00\x81\x00\x00",
        b"\x00\x82\xff\xff\x00",
    ],
    ids=["nothing", "dynamic", "half a number", "half a name", "no value", "endless", "zeros", "too many ones"],
)
def test_a_damaged_block_is_refused(block: bytes) -> None:
    with pytest.raises(ValueError, match="headers"):
        headers.unpack(block)


@given(st.binary(max_size=100))
def test_no_block_ends_in_any_other_error(block: bytes) -> None:
    with suppress(ValueError):
        headers.unpack(block)
