"""What a check may look at: addresses, hosts, names and units, read as strictly as the agents read them.

Reads texts only; whether something is there is for the agent to find out.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from collector.domain.registers.kinds import Refused

_HOST = re.compile(r"(?!-)[A-Za-z0-9_.-]{1,253}(?<!-)|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}")
UNIT_SUFFIXES = (
    ".service", ".socket", ".timer", ".mount", ".target", ".path", ".slice", ".scope", ".swap", ".device", ".automount",
)  # fmt: skip
PORT_MAXIMUM = 65_535
LABEL_BYTES, NAME_BYTES = 63, 255


def host(text: str) -> str:
    """A host name or an IP address."""
    if not _HOST.fullmatch(text) or (":" in text and not _is_ipv6(text)):
        raise Refused(f"'{text}' is no host name or IP address", f"'{text}' bukan nama host atau alamat IP")
    return text


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def address(text: str, *, needs_port: bool) -> str:
    """`host:port` or `[IPv6]:port`; without `needs_port` a host alone will do."""
    name, separator, port = text.rpartition(":")
    if text.startswith("["):
        name, separator, port = text[1:].partition("]")
        if not separator or (port and not port.startswith(":")):
            raise Refused("must be written as [2001:db8::1]:443", "harus ditulis sebagai [2001:db8::1]:443")
        port = port[1:]
    elif text.count(":") > 1 or not separator:
        name, port = text, ""
    host(name)
    if not port and needs_port:
        raise Refused("must be host:port, such as db.example:5432", "harus host:port, misalnya db.example:5432")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= PORT_MAXIMUM):
        raise Refused(f"must have a port from 1 to {PORT_MAXIMUM}", f"harus memiliki port dari 1 sampai {PORT_MAXIMUM}")
    return text


def url(text: str) -> str:
    """An http or https URL without user name and password, which everybody who may read the check would read."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Refused(
            "has characters that must be percent-encoded", "berisi karakter yang harus ditulis dengan persen (%20)"
        )
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name or parts.scheme not in ("http", "https"):
        raise Refused("must begin with http:// or https:// and a host", "harus diawali http:// atau https:// dan host")
    if "@" in parts.netloc:
        raise Refused(
            "must not carry a user name or password: everybody who may read this would read it",
            "tidak boleh memuat nama pengguna atau kata sandi: siapa pun yang membaca ini ikut membacanya",
        )
    if port == 0:
        raise Refused(f"must have a port from 1 to {PORT_MAXIMUM}", f"harus memiliki port dari 1 sampai {PORT_MAXIMUM}")
    host(name)
    return text


def domain_name(text: str) -> str:
    """A name that DNS can be asked for; letters other than a to z are encoded as IDNA has it."""
    try:
        labels = [
            label.encode("ascii" if label.isascii() else "idna", "strict") for label in text.rstrip(".").split(".")
        ]
    except UnicodeError:
        labels = []
    lengths = [len(label) for label in labels]
    if not lengths or not all(0 < one <= LABEL_BYTES for one in lengths) or sum(lengths) + len(lengths) >= NAME_BYTES:
        raise Refused("must be a DNS name, such as shop.example", "harus berupa nama DNS, misalnya toko.example")
    return text


def unit(text: str) -> str:
    """The name of a systemd unit; without a suffix it is a service."""
    whole = text if text.endswith(UNIT_SUFFIXES) else f"{text}.service"
    instance_missing = whole.rpartition(".")[0].endswith("@")
    if not _UNIT.fullmatch(whole) or whole.startswith((".", "@")) or instance_missing:
        raise Refused(
            "must be the name of a unit, such as nginx, backup.timer or getty@tty1",
            "harus berupa nama unit, misalnya nginx, backup.timer, atau getty@tty1",
        )
    return text
