"""What a browser says of itself, shortened to what its owner recognises: "Firefox, Linux". Pure."""

from __future__ import annotations

PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("UCBrowser/", "UC Browser"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chromium"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
)
"""In the order of asking: most browsers also claim to be those further down."""
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)
OTHER_CHARACTERS = 24


def shortened(user_agent: str) -> str:
    """Program and system, or the beginning of what is not known; empty when nothing was said.

    >>> shortened("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    'Firefox, Linux'
    >>> shortened("python-requests/2.32 and more")
    'python-requests/2.32'
    """
    program = next((name for sign, name in PROGRAMS if sign in user_agent), "")
    system = next((name for sign, name in SYSTEMS if sign in user_agent), "")
    if program:
        return f"{program}, {system}" if system else program
    return system or next(iter(user_agent.split()), "")[:OTHER_CHARACTERS]
