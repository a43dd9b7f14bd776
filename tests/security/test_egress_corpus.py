"""Ways to write an inside address on the outside of a URL, and a name that changes its mind: no packet arrives.

`tests/collector/notify/test_egress.py` has the addresses; here it is what people write, as far as the socket.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

import pytest

from collector.domain.errors import DeliveryError
from collector.notify.base import Request
from collector.notify.egress import Egress, is_public, system_resolve
from collector.notify.http import post
from tests.security.fortress import ADMINISTRATOR, Fortress

PUBLIC = "93.184.216.34"
ROUNDS = 200
AT_ONCE_SECONDS = 2.0
INSIDE = (
    # IPv4, as C libraries have always read it: fewer parts, octal, hexadecimal, one number.
    "http://127.0.0.1:{port}/", "http://127.1:{port}/", "http://127.0.1:{port}/", "http://2130706433:{port}/",
    "http://0x7f000001:{port}/", "http://0x7f.0.0.1:{port}/", "http://0X7F.1:{port}/", "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/", "http://0177.0x0.0.1:{port}/", "http://00000177.0.0.1:{port}/", "http://0:{port}/",
    "http://0.0.0.0:{port}/", "http://127.255.255.254:{port}/", "http://127.0.0.1.:{port}/", "http://127.000.000.001:{port}/",
    "https://127.0.0.1:{port}/", "https://2130706433:{port}/", "https://0x7f.1:{port}/",
    # Names of this host.
    "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/", "https://localhost:{port}/x",
    "http://localhost:{port}/#@hooks.example/", "http://localhost:{port}?@hooks.example/",
    "http://localhost:{port}/?u=https://hooks.example/",
    # IPv6: loopback, unspecified, mapped, compatible, translated, tunnelled, link-local with a zone.
    "http://[::1]:{port}/", "http://[::]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/", "http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://[::7f00:1]:{port}/", "http://[::ffff:0:127.0.0.1]:{port}/", "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://[2002:a9fe:a9fe::1]:{port}/",
    "http://[2001:0:7f00:1::80ff:fffe]:{port}/", "http://[fe80::1%25lo]:{port}/", "http://[fe80::1%lo]:{port}/",
    "http://[fec0::1]:{port}/", "http://[fc00::1]:{port}/", "http://[ff02::1]:{port}/", "http://[100::1]:{port}/",
    "http://[5f00::1]:{port}/", "http://[3fff::1]:{port}/", "http://[v1.x]:{port}/", "http://[::1:{port}/",
    # What clouds answer on.
    "http://169.254.169.254/latest/meta-data/", "http://0xa9fea9fe/", "http://2852039166/", "http://[fd00:ec2::254]/",
    "http://169.254.170.2/v2/credentials", "http://100.100.100.200/",
    # Written so that two readers disagree about the host.
    "https://hooks.example@127.0.0.1:{port}/", "https://hooks.example:x@localhost:{port}/", "http://127.0.0.1:{port}\\@hooks.example/",
    "http://hooks.example\\@127.0.0.1:{port}/", "http://127.0.0.1%23@hooks.example/", "http:///127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/", "http:/127.0.0.1:{port}/", "//127.0.0.1:{port}/", " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\r\nX: y", "http://127.0.0.1\t:{port}/", "http://127.0.0.1:{port} /", "http://127。0。0。1:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/", "http://%6c%6f%63%61%6c%68%6f%73%74:{port}/",
    "http://127%2e0%2e0%2e1:{port}/", "http://localhost%00.hooks.example:{port}/", "http://localhost\0.hooks.example/",
    # No HTTP, or HTTP to somebody else's port.
    "ftp://127.0.0.1:{port}/", "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "dict://127.0.0.1:{port}/",
    "ldap://127.0.0.1:{port}/", "unix:///run/docker.sock", "http+unix://%2frun%2fdocker.sock/", "data:text/plain,x",
    "javascript:1", "ws://127.0.0.1:{port}/", "HTTP://127.0.0.1:{port}/", "https://127.0.0.1:0/", "https://127.0.0.1:99999/",
)  # fmt: skip


NOT_PUBLIC = (
    "fec0::1", "3fff::1", "5f00::1", "100::1", "fe80::1", "fc00::1", "ff0e::1", "::", "::1", "::2", "4000::1",
    "2001:2::1", "2001:20::1", "2001:db8::1", "::ffff:10.0.0.1", "::ffff:0:7f00:1", "::10.0.0.1",
    "64:ff9b::10.0.0.1", "2002:a00:1::", "64:ff9b:1::1", "2001:0:a00:1::1", "192.88.99.1", "192.0.0.9",
    "192.0.0.170", "192.0.2.1", "198.51.100.1", "198.19.0.1", "203.0.113.1", "0.1.2.3", "100.127.255.254",
    "169.254.1.1", "224.0.0.251", "239.255.255.250", "255.255.255.255",
)  # fmt: skip


class Listener:
    """Counts who comes: at every address of loopback, IPv4 and IPv6, on one port."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def take(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A visitor; one is too many."""
        self.visits += 1
        writer.close()


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    found = Listener()
    first = await asyncio.start_server(found.take, "0.0.0.0", 0)
    found.port = first.sockets[0].getsockname()[1]
    servers = [first]
    if socket.has_ipv6:
        with suppress(OSError):  # no IPv6 here: then nobody can come by it either
            servers.append(await asyncio.start_server(found.take, "::", found.port))
    yield found
    for server in servers:
        server.close()
        await server.wait_closed()


def test_the_corpus_is_long_enough() -> None:
    assert len(INSIDE) == len(set(INSIDE)) >= 60


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_the_public_internet_is_known(address: str) -> None:
    assert not is_public(ip_address(address))


async def test_no_way_of_writing_leads_inside() -> None:
    wrong = []
    async with listening() as listener:
        for text in INSIDE:
            url = text.format(port=listener.port)
            try:
                async with asyncio.timeout(AT_ONCE_SECONDS):
                    await post(Request(url, b"{}", {}), Egress())
                wrong.append(url)
            except DeliveryError as error:
                if "connection failed" in str(error).lower():
                    wrong.append(f"{url}: tried")
        assert not wrong
        assert listener.visits == 0


async def test_a_name_that_changes_its_mind_leads_nowhere() -> None:
    async with listening() as listener:
        for answers in ([PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"], [PUBLIC, "::ffff:127.0.0.1"]):
            turns = itertools.cycle(answers)

            async def resolve(_host: str, _port: int, turns: itertools.cycle[str] = turns) -> Sequence[str]:
                return [next(turns)]

            guard = Egress(resolve=resolve)
            for _ in range(ROUNDS):
                await _admitted_only_outside(guard, f"https://rebound.example:{listener.port}/")
        assert listener.visits == 0


async def _admitted_only_outside(guard: Egress, url: str) -> None:
    try:
        place = await guard.admit(url)
    except DeliveryError:
        return
    assert set(place.addresses) == {PUBLIC}


def test_no_way_to_write_an_inside_address_is_saved_in_a_channel() -> None:
    assert not [url for url in INSIDE if Egress().objection(url.format(port=9000)) is None]


async def test_what_was_checked_is_what_is_connected_to() -> None:
    """The system knows the name as loopback; the guard was told another address, and nobody asks again."""
    async with listening() as listener:
        assert await system_resolve("localhost", listener.port)

        async def resolve(_host: str, _port: int) -> Sequence[str]:
            return ["192.0.2.1"]

        guard = Egress(["192.0.2.0/24"], resolve=resolve)
        with pytest.raises(DeliveryError):
            await post(Request(f"http://localhost:{listener.port}/", b"{}", {}), guard, timeout_seconds=0.3)
        assert listener.visits == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_receiver_sends_nobody_on(status: int) -> None:
    async with listening() as listener:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {status} Go\r\nLocation: http://127.0.0.1:{listener.port}/\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            answer = await post(Request(f"http://127.0.0.1:{port}/", b"{}", {}), Egress(["127.0.0.1/32"]))
        assert answer.status == status
        assert listener.visits == 0


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening() as listener:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
        with pytest.raises(DeliveryError):
            await post(Request("http://127.0.0.1:1/", b"{}", {}), Egress(["127.0.0.1/32"]), timeout_seconds=1)
        assert listener.visits == 0


async def test_a_channel_into_the_inside_is_refused_by_every_way_in(made: Fortress) -> None:
    csrf = await made.own_page(ADMINISTRATOR)
    for url in ("http://169.254.169.254/", "https://ana:hush-hush@hooks.example/", "https://10.0.0.5/"):
        channel = {"key": "inside", "name": "Inside", "url": url}
        told = await made.ask(ADMINISTRATOR, "POST", "/api/v1/channel", headers=csrf, json=channel)
        assert told.status == 422
        assert "hush-hush" not in told.text
        text = f'register: channel\nkey: inside\nname: Inside\nurl: "{url}"\n'
        assert (await made.ask(ADMINISTRATOR, "POST", "/api/v1/apply", headers=csrf, data=text)).status == 422
        assert (await made.ask(ADMINISTRATOR, "POST", "/registers/channel", headers=csrf, data=channel)).status == 422
