"""Headers of HTTP/2, packed and unpacked, without the table that both sides would have to keep alike.

Whoever uses this announces a dynamic table of no bytes, so that nothing refers to one. Knows nothing of frames or of
what headers mean. Source: RFC 7541.
"""

from __future__ import annotations

from collections.abc import Iterable

INDEXED, INDEXING, RESIZE, HUFFMAN = 0x80, 0x40, 0x20, 0x80
NUMBER_MAX = 1 << 20
STATIC = (
    ":authority", ":method=GET", ":method=POST", ":path=/", ":path=/index.html", ":scheme=http", ":scheme=https",
    ":status=200", ":status=204", ":status=206", ":status=304", ":status=400", ":status=404", ":status=500",
    "accept-charset", "accept-encoding=gzip, deflate", "accept-language", "accept-ranges", "accept",
    "access-control-allow-origin", "age", "allow", "authorization", "cache-control", "content-disposition",
    "content-encoding", "content-language", "content-length", "content-location", "content-range", "content-type",
    "cookie", "date", "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "last-modified", "link", "location", "max-forwards", "proxy-authenticate",
    "proxy-authorization", "range", "referer", "refresh", "retry-after", "server", "set-cookie",
    "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via", "www-authenticate",
)  # fmt: skip
"""Appendix A: name=value or name, from index 1 on."""

CODES = {
    5: b"012aceiost",
    6: b" %-./3456789=A_bdfghlmnpru",
    7: b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz",
    8: b"&*,;XZ",
    10: b'!"()?',
    11: b"'+|",
    12: b"#>",
    13: b"\x00$@[]~",
    14: b"^}",
    15: b"<`{",
    19: b"\\\xc3\xd0",
    20: b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2",
    21: b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6",
    22: b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    23: b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5"
    b"\xe7\xef",
    24: b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed",
    25: b"\xc7\xcf\xea\xeb",
    26: b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff",
    27: b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe",
    28: b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f"
    b"\xdc\xf9",
    30: b"\n\r\x16",
}
"""Appendix B: the characters of each code length. The codes themselves follow, as they count up in this order."""


def pack(headers: Iterable[tuple[str, str]]) -> bytes:
    """Every header spelt out."""
    return b"".join(b"\0" + _packed(name.encode()) + _packed(value.encode()) for name, value in headers)


def unpack(block: bytes) -> list[tuple[str, str]]:
    """The headers of a block.

    Raises:
        ValueError: It is damaged, or refers to a table that there is not.
    """
    headers, at = [], 0
    try:
        while at < len(block):
            first = block[at]
            if first & INDEXED:
                index, at = _number(block, at, bits=7)
                headers.append(_static(index))
            elif first & INDEXING or not first & RESIZE:
                index, at = _number(block, at, bits=6 if first & INDEXING else 4)
                name, at = (_static(index)[0], at) if index else _text(block, at)
                value, at = _text(block, at)
                headers.append((name, value))
            else:
                _, at = _number(block, at, bits=5)
    except IndexError as error:
        raise ValueError("headers that end too early") from error
    return headers


def _packed(text: bytes) -> bytes:
    size, first = len(text), (1 << 7) - 1
    if size < first:
        return bytes((size,)) + text
    rest, said = size - first, [first]
    while rest >= HUFFMAN:
        said.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*said, rest)) + text


def _number(block: bytes, at: int, *, bits: int) -> tuple[int, int]:
    """A number that begins in the last bits of a byte, and where it ends."""
    most = (1 << bits) - 1
    value, at, shift = block[at] & most, at + 1, 0
    if value < most:
        return value, at
    while True:
        more, at = block[at], at + 1
        value += (more & 0x7F) << shift
        shift += 7
        if value > NUMBER_MAX:
            raise ValueError("headers with an endless number")
        if not more & 0x80:
            return value, at


def _text(block: bytes, at: int) -> tuple[str, int]:
    coded = block[at] & HUFFMAN
    size, at = _number(block, at, bits=7)
    raw, end = block[at : at + size], at + size
    if len(raw) < size:
        raise ValueError("headers that end too early")
    return (_decoded(raw) if coded else raw).decode(errors="replace"), end


def _static(index: int) -> tuple[str, str]:
    if not 1 <= index <= len(STATIC):
        raise ValueError("headers that refer to a table")
    name, _, value = STATIC[index - 1].partition("=")
    return name, value


_symbols: dict[int, int] = {}


def _decoded(raw: bytes) -> bytes:
    """What a Huffman code stands for; the rest of its last byte is ones."""
    if not _symbols:
        _symbols.update(_codes())
    out, code = bytearray(), 1
    for byte in raw:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            if (symbol := _symbols.get(code)) is not None:
                out.append(symbol)
                code = 1
    if code.bit_length() > 8 or code & code + 1:
        raise ValueError("headers with a broken code")
    return bytes(out)


def _codes() -> dict[int, int]:
    """Character by code; a leading one tells codes of different lengths apart."""
    found, code, before = {}, 0, 0
    for length, characters in CODES.items():
        code <<= length - before
        before = length
        for character in characters:
            found[1 << length | code] = character
            code += 1
    return found
