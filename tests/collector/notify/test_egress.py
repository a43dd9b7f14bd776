from __future__ import annotations

from collections.abc import Sequence

import pytest

from collector.domain.errors import DeliveryError, InvalidInput
from collector.notify.egress import LOOPBACK, Egress, own_addresses

PUBLIC = "93.184.216.34"


def guard(*addresses: str, allowed: Sequence[str] = ()) -> Egress:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return Egress(allowed, resolve=resolve)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1:0:0:80ff:fffe",
    ],
)
async def test_nothing_that_is_not_public_is_reached(address: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        await guard(address).admit("https://hooks.example/x")
    assert not caught.value.recoverable


@pytest.mark.parametrize("address", [PUBLIC, "2606:4700::1111", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"])
async def test_public_addresses_are_reached(address: str) -> None:
    assert (await guard(address).admit("https://hooks.example/x")).addresses == (address,)


async def test_one_bad_address_among_good_ones_is_enough_to_refuse() -> None:
    with pytest.raises(DeliveryError):
        await guard(PUBLIC, "10.0.0.1").admit("https://hooks.example/x")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://localhost/",
    ],
)
async def test_every_way_to_write_loopback_is_refused_until_it_is_allowed(url: str) -> None:
    with pytest.raises(DeliveryError):
        await Egress().admit(url)
    assert (await Egress(LOOPBACK).admit(url)).addresses


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "https:///x",
        "https://user:secret@hooks.example/",
        "https://hooks.example:0/",
        "https://hooks.example:99999/",
        "https://hooks.example\\@evil.example/",
        "https://hooks.example/\nhost: evil",
        "https://höoks.example/",
        "//hooks.example/",
        "hooks.example",
        "",
    ],
)
async def test_addresses_that_can_be_read_in_two_ways_are_refused(url: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        await guard(PUBLIC).admit(url)
    assert not caught.value.recoverable


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/",
        "https://[fe80::1]/",
        "https://2130706433/",
        "https://127.1/",
        "https://localhost:9000/",
        "https://user:secret@hooks.example/",
        "https://höoks.example/",
        "http://hooks.example/",
        "https://hooks.example:25/",
    ],
)
async def test_what_an_address_says_of_itself_is_said_before_anything_is_sent(url: str) -> None:
    words = Egress().objection(url)
    assert words
    assert words.to("id") != words
    with pytest.raises(DeliveryError):
        await guard(PUBLIC if "example" in url else "169.254.169.254").admit(url)


def test_an_address_of_this_collector_is_objected_to_until_its_network_is_allowed() -> None:
    def ours(*allowed: str) -> Egress:
        return Egress(allowed, own=lambda: [PUBLIC], names=["sigap.example"])

    assert ours().objection(f"https://{PUBLIC}/")
    assert ours().objection("https://Sigap.example/")
    assert ours(f"{PUBLIC}/32").objection(f"https://{PUBLIC}/") is None
    assert ours().objection("https://hooks.example/") is None


def test_an_address_is_not_objected_to_for_what_only_its_name_can_say() -> None:
    assert Egress().objection("https://hooks.example/x") is None
    assert Egress(["10.0.0.0/8"]).objection("http://receiver.internal:9000/x") is None
    assert Egress(LOOPBACK).objection("http://127.0.0.1:9000/x") is None


async def test_plain_http_is_for_allowed_networks_only() -> None:
    with pytest.raises(DeliveryError):
        await guard(PUBLIC).admit("http://hooks.example/")
    assert await guard("10.1.2.3", allowed=["10.0.0.0/8"]).admit("http://hooks.example/")


async def test_ports_of_other_services_are_refused_outside_allowed_networks() -> None:
    with pytest.raises(DeliveryError):
        await guard(PUBLIC).admit("https://hooks.example:25/")
    assert (await guard(PUBLIC).admit("https://hooks.example:8443/")).port == 8443


async def test_an_allowed_network_allows_no_other_address_of_the_name() -> None:
    with pytest.raises(DeliveryError):
        await guard("10.1.2.3", "192.168.1.1", allowed=["10.0.0.0/8"]).admit("https://hooks.example/")


async def test_a_name_that_does_not_resolve_may_do_so_later() -> None:
    async def fails(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(DeliveryError) as caught:
        await Egress(resolve=fails).admit("https://hooks.example/")
    assert caught.value.recoverable


@pytest.mark.parametrize("address", ["93.184.216.34", "::ffff:93.184.216.34", "2606:2800:220:1::1"])
async def test_the_collectors_own_public_address_is_not_reached_until_it_is_allowed(address: str) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return [address]

    own = ("93.184.216.34", "2606:2800:220:1::1")
    with pytest.raises(DeliveryError, match="leads back to this collector") as refused:
        await Egress(resolve=resolve, own=lambda: own).admit("https://hooks.example/")
    assert "alerts.allowed_networks" in refused.value.hint
    networks = ["93.184.216.34/32", "2606:2800:220:1::1/128"]
    assert (await Egress(networks, resolve=resolve, own=lambda: own).admit("https://hooks.example/")).addresses


async def test_the_collectors_own_name_is_not_reached_either_as_a_gateway_may_have_its_address() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.216.34"]

    guard = Egress(resolve=resolve, names=["sigap.example"])
    with pytest.raises(DeliveryError, match="leads back"):
        await guard.admit("https://SIGAP.example./")
    assert (await guard.admit("https://hooks.example/")).host == "hooks.example"


def test_this_machine_knows_its_own_addresses() -> None:
    assert "127.0.0.1" in own_addresses()


def test_a_network_that_is_none_is_refused_at_start() -> None:
    with pytest.raises(InvalidInput):
        Egress(["10.0.0.0/33"])
