"""Which network addresses may be connected to, and finding them once.

A name is resolved one time, every address it gives is checked, and the connection goes to one of
the checked addresses; so a name that changes between check and use (rebinding) gains nothing.
Source: security T1, T2.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int, float], Sequence[str]]
"""(host, port, seconds allowed) to the address texts of the host; raises OSError when there is none."""

PUBLIC_6 = IPv6Network("2000::/3")
"""The only IPv6 space in use for the public Internet."""
NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
"""Special ranges that `is_global` lets through on Python 3.11, and tunnels that hide an IPv4 address."""
NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
        "100.100.100.200/32",
        "::/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::254/128",
    )
)
"""Refused even inside a configured network: unspecified, link-local, multicast and cloud metadata services."""


class AddressRefused(OSError):
    """The host has an address that may not be connected to."""


def is_public(address: Address) -> bool:
    """Whether the address is ordinary public Internet space; mapped and tunnelled forms are not."""
    if _within(address, NEVER) or _within(address, NOT_PUBLIC):
        return False
    if isinstance(address, IPv6Address):
        return address in PUBLIC_6 and address.scope_id is None
    return address.is_global and not address.is_multicast


def check_address(text: str, networks: Sequence[Network]) -> Address:
    """The address that `text` names if it may be connected to; `AddressRefused` otherwise.

    Without `networks` it must be public; with them it must lie in one of them, and nowhere else.
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise AddressRefused("not an address") from None
    is_allowed = _within(address, networks) and not _within(address, NEVER) if networks else is_public(address)
    if not is_allowed:
        raise AddressRefused("address outside the allowed networks")
    return address


def find_addresses(
    host: str, port: int, networks: Sequence[Network], resolver: Resolver, seconds: float
) -> tuple[Address, ...]:
    """Every address of `host`, each checked; one forbidden address refuses the host.

    Raises `AddressRefused`, or OSError when the name has no address or takes longer than `seconds`.
    """
    texts = resolver(host, port, seconds)
    if not texts:
        raise OSError("the name has no address")
    return tuple(dict.fromkeys(check_address(text, networks) for text in texts))


def resolve_host(host: str, port: int, seconds: float) -> Sequence[str]:
    """Address texts of `host` from the system's resolver, in its order; OSError when none comes in `seconds`.

    The system call knows no limit of time, so it runs beside the caller and may outlive it.
    """
    answers: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(host, port, answers), daemon=True, name="resolve").start()
    try:
        answer = answers.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _ask(host: str, port: int, answers: queue.SimpleQueue[Sequence[str] | OSError]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        answers.put([str(entry[4][0]) for entry in found])
    except (OSError, UnicodeError) as error:
        answers.put(error if isinstance(error, OSError) else OSError("the name cannot be resolved"))


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
