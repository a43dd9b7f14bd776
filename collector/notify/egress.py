"""Where notifications may go: to public addresses, and to those inside networks that an administrator named.

A name is resolved once, every address it has is checked, and the connection is made to a checked one: a name that
changes its mind in between leads nowhere. Addresses that wrap an IPv4 address are judged by what they wrap.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

import psutil

from collector.domain.errors import DeliveryError, InvalidInput
from collector.domain.message import Message, Words, mark

Address = IPv4Address | IPv6Address
Network = ipaddress.IPv4Network | IPv6Network
LOOPBACK = ("127.0.0.0/8", "::1/128")
"""What `sigap up` allows, so that a receiver on the same machine can be tried."""
DEFAULT_PORTS = {"http": 80, "https": 443}
UNPRIVILEGED_PORT = 1024
ALLOW = mark("An administrator can allow its network in alerts.allowed_networks.")
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_CLOSED = tuple(map(ip_network, ("fec0::/10", "3fff::/20", "192.88.99.0/24", "192.0.0.0/24")))
"""What Python 3.11 calls global and is not: site-local, documentation, 6to4 relays, protocol assignments."""
_LOW_32 = 0xFFFF_FFFF
_NOT_PUBLIC, _NOT_ENCRYPTED, _OTHER_SERVICE = "not public", "not encrypted", "other service"
_OBJECTIONS: Mapping[str, Words] = {
    _NOT_PUBLIC: Words(
        "leads to {0}, which is not public; an administrator can allow its network in alerts.allowed_networks",
        "menuju {0}, yang tidak publik; administrator dapat mengizinkan jaringannya di alerts.allowed_networks",
    ),
    _NOT_ENCRYPTED: Words(
        "must begin with https://: only networks in alerts.allowed_networks may be reached without",
        "harus diawali https://; tanpa itu hanya jaringan dalam alerts.allowed_networks yang boleh dihubungi",
    ),
    _OTHER_SERVICE: Words(
        "names port {0}, which belongs to another service than HTTP",
        "menyebut port {0}, yang dipakai layanan selain HTTP",
    ),
}
_OURSELVES = Words(
    "leads back to this collector; an administrator can allow its network in alerts.allowed_networks",
    "kembali ke kolektor ini; administrator dapat mengizinkan jaringannya di alerts.allowed_networks",
)
_UNREADABLE = Words(
    "must be https://host/path, without a user name; names with other letters than a to z in punycode (xn--…)",
    "harus https://host/jalur, tanpa nama pengguna; nama dengan huruf selain a sampai z ditulis dalam punycode (xn--…)",
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Place:
    """A checked destination: connect to one of `addresses` and to nothing else."""

    host: str
    port: int
    addresses: tuple[str, ...]


def unwrap(address: Address) -> tuple[Address, ...]:
    """The address with every IPv4 address that it carries: mapped, compatible, NAT64, 6to4, Teredo."""
    if isinstance(address, IPv4Address):
        return (address,)
    inside: list[IPv4Address] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    inside += list(address.teredo or ())
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        inside.append(IPv4Address(int(address) & _LOW_32))
    # A mapped address is nothing of its own; the others are a way through somebody else's network as well.
    return tuple(inside) if address.ipv4_mapped else (address, *inside)


def is_public(address: Address) -> bool:
    """Whether the address, and any that it carries, belongs to the public internet."""
    return all(
        one in _NAT64
        or (
            one.is_global
            and not one.is_multicast
            and not one.is_reserved
            and not any(one in network for network in _CLOSED)
        )
        for one in unwrap(address)
    )


def own_addresses() -> frozenset[str]:
    """The addresses that this machine's network interfaces have now."""
    return frozenset(
        entry.address.partition("%")[0]
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    )


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a host, as the system resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Egress:
    """The guard.

    Args:
        allowed: Networks that may be reached although they are not public, in CIDR notation.
        resolve: How names become addresses.
        own: This machine's addresses. A public one leads to whatever else listens here, past a firewall that would keep
            others out, so it has to be allowed like a private one.
        names: How others reach the collector, such as the host of its public address: behind a gateway no interface
            has that address.

    Raises:
        InvalidInput: One of the networks is not a network.
    """

    def __init__(
        self,
        allowed: Iterable[str] = (),
        *,
        resolve: Resolve = system_resolve,
        own: Callable[[], Collection[str]] = own_addresses,
        names: Iterable[str] = (),
    ) -> None:
        self._resolve = resolve
        self._own = own
        self._names = frozenset(name.lower().rstrip(".") for name in names if name)
        self._allowed: list[Network] = []
        for text in allowed:
            try:
                self._allowed.append(ip_network(text))
            except ValueError as error:
                raise InvalidInput(
                    Message("{text} is not a network: {error}", text=repr(text), error=str(error)),
                    hint="Write it as 10.0.0.0/8.",
                ) from error

    def is_allowed(self, address: Address) -> bool:
        """Whether an administrator named a network that holds the address; a wrapped one counts as what it wraps."""
        wrapped: list[Address] = [one for one in unwrap(address) if isinstance(one, IPv4Address)]
        inside = wrapped or [address]
        return all(any(one in network for network in self._allowed) for one in inside)

    async def admit(self, url: str) -> Place:
        """Where to connect to for `url`.

        Raises:
            DeliveryError: It must not be reached (not recoverable), or its name cannot be resolved (recoverable).
        """
        parts, port = _parse(url)
        host = parts.hostname or ""
        try:
            texts = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise DeliveryError(Message("The name {host} cannot be resolved.", host=host), recoverable=True) from error
        addresses = [ip_address(text.partition("%")[0]) for text in texts]
        if not addresses:
            raise DeliveryError(Message("The name {host} has no address.", host=host), recoverable=True)
        for address in addresses:
            self._check(address, host, parts.scheme, port)
            if self._is_ours(host, address) and not self.is_allowed(address):
                raise DeliveryError(
                    Message("{host} leads back to this collector.", host=host), recoverable=False, hint=ALLOW
                )
        return Place(host, port, tuple(texts))

    def objection(self, url: str) -> Words | None:
        """Why `url` can never be reached, as far as it says so itself; what its name leads to is seen when sending."""
        try:
            parts, port = _parse(url)
        except DeliveryError:
            return _UNREADABLE
        address = _written(parts.hostname or "")
        if address is None and self._allowed:
            return None  # The name may lead into one of them.
        bar = self._bar(address, parts.scheme, port)
        if not bar and self._is_ours(parts.hostname or "", address) and not (address and self.is_allowed(address)):
            return _OURSELVES
        return _OBJECTIONS[bar].fill(address if bar == _NOT_PUBLIC else port) if bar else None

    def _is_ours(self, host: str, address: Address | None) -> bool:
        own = {ip_address(text) for text in self._own()}
        return host.lower().rstrip(".") in self._names or (address is not None and not own.isdisjoint(unwrap(address)))

    def _bar(self, address: Address | None, scheme: str, port: int) -> str:
        """What keeps us from an address, empty for nothing; None stands for a public one."""
        if address is not None and self.is_allowed(address):
            return ""
        if address is not None and not is_public(address):
            return _NOT_PUBLIC
        if scheme != "https":
            return _NOT_ENCRYPTED
        return _OTHER_SERVICE if port < UNPRIVILEGED_PORT and port not in DEFAULT_PORTS.values() else ""

    def _check(self, address: Address, host: str, scheme: str, port: int) -> None:
        bar = self._bar(address, scheme, port)
        if bar == _NOT_PUBLIC:
            raise DeliveryError(
                Message("{host} leads to {address}, which is not public.", host=host, address=str(address)),
                recoverable=False,
                hint=ALLOW,
            )
        if bar == _NOT_ENCRYPTED:
            raise DeliveryError(
                Message("{host} is outside the allowed networks, so only https may be used.", host=host),
                recoverable=False,
                hint=ALLOW,
            )
        if bar == _OTHER_SERVICE:
            raise DeliveryError(
                Message("Port {port} belongs to another service than HTTP.", port=port), recoverable=False
            )


def _written(host: str) -> Address | None:
    """The address that a host is without a look-up, in any notation that systems take; None for a name."""
    host = host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return ip_address("127.0.0.1")
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f.1 and 2130706433 lead to 127.0.0.1 too.
    except (OSError, ValueError):
        return None


def _parse(url: str) -> tuple[SplitResult, int]:
    """The address in its parts, read once by one parser; whatever could be read in two ways is refused."""
    try:
        parts = urlsplit(url)
        port = DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError as error:
        raise DeliveryError("The address cannot be read.", recoverable=False) from error
    odd = any(character in url for character in "\\\t\r\n ") or not url.isascii()
    if odd or parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or not port:
        raise DeliveryError(
            "The address must be https://host/path, without a user name.",
            recoverable=False,
            hint="Names with other letters than a to z are written in punycode (xn--…).",
        )
    return parts, port
