from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.domain.message import Message, Words, fill, from_json, to_json

VALUES = st.recursive(
    st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b"]), inner).map(
        lambda values: Message("{a}: {b}, kept", **values)
    ),
    max_leaves=6,
)


def shout(value: object) -> str:
    return str(value).upper()


def test_a_template_is_filled_and_never_executed() -> None:
    assert fill("{host} {nope} {0.__class__} {{host}}", {"host": "web-1"}) == "web-1 {nope} {0.__class__} {web-1}"


def test_a_message_is_english_and_can_be_said_otherwise() -> None:
    found = Message("HTTP {status} after {seconds} s", status=503, seconds=0.123456)
    message = Message("{name}: {reason}", name="shop {reason}", reason=found)
    assert message == "shop {reason}: HTTP 503 after 0.123 s"
    dutch = {"HTTP {status} after {seconds} s": "HTTP {status} na {seconds} s"}
    assert message.retold(lambda text: dutch.get(text, text), shout) == "SHOP {REASON}: HTTP 503 na 0.123456 s"


@given(VALUES, VALUES)
def test_what_is_kept_as_json_comes_back_whole(one: object, other: object) -> None:
    message = Message("{one} and {other}", one=one, other=other)  # type: ignore[arg-type]
    again = from_json(str(message), to_json(message))
    assert isinstance(again, Message)
    assert (again, again.template, again.values) == (message, message.template, message.values)
    assert again.retold(str.swapcase, shout) == message.retold(str.swapcase, shout)


def test_labels_of_both_languages_are_kept_and_plain_text_has_nothing_to_keep() -> None:
    again = from_json("Up", to_json(Words("Up", "Hidup")))
    assert isinstance(again, Words)
    assert again.to("id") == "Hidup"
    assert (to_json("plain"), from_json("plain", "")) == ("", "plain")
