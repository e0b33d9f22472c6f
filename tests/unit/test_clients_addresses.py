"""Which addresses may be connected to: public ones, or those of the configured networks, and never some."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network

import pytest

from gateway.clients.addresses import AddressRefused, check_address, find_addresses, is_public, resolve_host

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "2a00:1450:4001:80e::200e"]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "168.63.129.16",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::a9fe:a9fe",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "5f00::1",
]


@pytest.mark.threat("T2")
@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_public(ip_address(text))
    assert str(check_address(text, ())) == text


@pytest.mark.threat("T2")
@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_other_addresses_are_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    with pytest.raises(AddressRefused):
        check_address(text, ())


@pytest.mark.parametrize("text", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3", "fe80::1%eth0", "name", ""])
def test_odd_forms_are_refused(text: str) -> None:
    with pytest.raises(AddressRefused):
        check_address(text, ())


@pytest.mark.threat("T2")
@pytest.mark.parametrize(
    "networks, text, is_allowed",
    [
        (["127.0.0.0/8"], "127.0.0.1", True),
        (["10.1.0.0/16"], "10.1.2.3", True),
        (["10.1.0.0/16"], "10.2.0.1", False),
        (["10.1.0.0/16"], "8.8.8.8", False),
        (["::1/128"], "::1", True),
        (["0.0.0.0/0"], "169.254.169.254", False),
        (["0.0.0.0/0"], "224.0.0.1", False),
        (["0.0.0.0/0"], "168.63.129.16", False),
        (["::/0"], "fd00:ec2::254", False),
        (["::/0"], "fe80::1", False),
        (["127.0.0.0/8"], "::ffff:127.0.0.1", False),
    ],
)
def test_configured_networks_are_the_only_ones(networks: list[str], text: str, is_allowed: bool) -> None:
    cidrs = [ip_network(network) for network in networks]
    if is_allowed:
        assert str(check_address(text, cidrs)) == text
    else:
        with pytest.raises(AddressRefused):
            check_address(text, cidrs)


@pytest.mark.threat("T2")
def test_one_forbidden_address_refuses_the_host() -> None:
    with pytest.raises(AddressRefused):
        find_addresses("h", 443, (), lambda *_: ["8.8.8.8", "10.0.0.1"], 1.0)


def test_a_name_without_addresses_is_an_error() -> None:
    with pytest.raises(OSError, match="no address"):
        find_addresses("h", 443, (), lambda *_: [], 1.0)


def test_the_system_resolver_gives_each_address_as_text() -> None:
    assert "127.0.0.1" in resolve_host("127.0.0.1", 80, 1.0)


def test_a_name_that_does_not_exist_is_an_error_in_time() -> None:
    before = time.monotonic()
    with pytest.raises(OSError):
        resolve_host("no-such-host.invalid", 80, 2.0)
    assert time.monotonic() - before < 4
