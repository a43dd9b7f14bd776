"""What browsers say of themselves, and what people read."""

from __future__ import annotations

import pytest

from collector.domain.browser import shortened

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML) Chrome/142.0 Safari/537.36 Edg/142.0"
PHONE = "Mozilla/5.0 (Linux; Android 15; K) AppleWebKit/537.36 (KHTML) Chrome/142.0 Mobile Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Safari/604.1"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (CHROME, "Chrome, Linux"),
        (EDGE, "Edge, Windows"),
        (PHONE, "Chrome, Android"),
        (IPHONE, "Safari, iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
        ("curl/8.14.1", "curl"),
        ("a-program-of-somebody-with-a-very-long-name/1.0 (x)", "a-program-of-somebody-wi"),
        ("", ""),
        ("   ", ""),
    ],
)
def test_a_browser_is_shown_as_program_and_system(said: str, shown: str) -> None:
    assert shortened(said) == shown
