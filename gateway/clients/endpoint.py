"""One registered address outside the house, and the rule which URLs belong to it.

An outbound call names an endpoint, never a URL from a message. Where a server tells us where to go
on (paging links, absolute references), the address must lie under the endpoint's own base.
Source: security T1, T2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from urllib.parse import quote, unquote, urlencode, urljoin

import httpx

from gateway.clients.addresses import NEVER, Network
from gateway.errors import InputError, SettingsError

HTTPS_PORT = 443
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
RELATIVE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-._]{1,128})(?:/_history/([A-Za-z0-9\-._]{1,128}))?")
"""A literal relative reference: type, id, version."""
ODD_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!//[^/?#])")
"""A scheme without a host behind it, which readers of URLs take in different ways."""
HOLLOW = re.compile(r"\s*\|?\s*|[A-Z][A-Za-z]+/")
"""A query value that names nothing: blank, a lone bar, a reference without its id."""
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A base address from the settings, with the exceptions granted to it there. `SettingsError` when unusable."""

    id: str
    """Name used in messages and logs instead of the address."""
    base_url: str
    """Address without a trailing slash, query, fragment or user."""
    networks: tuple[str, ...] = ()
    """CIDRs in which the host must lie; empty: public addresses on port 443 only."""
    plain_http: bool = False
    """Allow http; every address must then be loopback and lie in `networks`."""
    ca_file: str | None = None
    """PEM file of the only CAs trusted for this endpoint; absent: the public ones."""
    certificate_file: str | None = None
    """PEM file of our client certificate, where the endpoint wants mutual TLS."""
    key_file: str | None = None
    """PEM file of its private key."""

    def __post_init__(self) -> None:
        _check_base(self)

    @cached_property
    def url(self) -> httpx.URL:
        """The base address, parsed."""
        return httpx.URL(self.base_url)

    @cached_property
    def cidrs(self) -> tuple[Network, ...]:
        """The networks, parsed."""
        return tuple(ip_network(text) for text in self.networks)

    def locate(self, path: str, query: Iterable[tuple[str, str]] = ()) -> httpx.URL:
        """The URL of `path` under the base; `path` has unescaped segments, empty means the base itself.

        Raises `InputError` for dot segments, empty segments and empty query values: servers drop an
        empty parameter and answer for every patient.
        """
        segments = path.split("/") if path else []
        if any(segment in ("", ".", "..") for segment in segments):
            raise InputError("A path with empty or dot segments is not sent.", code="client.path")
        target = "/".join([self.base_url.rstrip("/"), *(quote(segment, safe="$") for segment in segments)])
        text = encode_query(query)
        return httpx.URL(f"{target}?{text}" if text else target)

    def follow(self, link: str, asked: httpx.URL) -> httpx.URL:
        """The URL that `link` names, relative links resolved against `asked`, verbatim where it is absolute.

        Raises `InputError` (`client.foreign-link`) unless it has this endpoint's origin and base path.
        """
        try:
            url = httpx.URL(urljoin(str(asked), link))
        except (httpx.InvalidURL, ValueError):
            raise _foreign_link() from None
        is_odd = not link or not link.isascii() or not link.isprintable() or ODD_ABSOLUTE.match(link) is not None
        if is_odd or not self.owns(url) or _has_dots(url):
            raise _foreign_link()
        return url

    def owns(self, url: httpx.URL) -> bool:
        """Whether `url` has this endpoint's scheme, host and port and lies at or under its base path."""
        base = self.url.path.rstrip("/")
        is_same_origin = _origin(url) == _origin(self.url) and not url.userinfo
        return is_same_origin and (url.path == base or url.path.startswith(f"{base}/"))

    def relative(self, reference: str) -> str | None:
        """`Type/id` for a relative reference or an absolute one to this base, version dropped; else None."""
        base = self.base_url.rstrip("/") + "/"
        plain = reference[len(base) :] if reference.startswith(base) else reference
        match = RELATIVE.fullmatch(plain)
        return f"{match[1]}/{match[2]}" if match and match[2] not in (".", "..") else None


def encode_query(query: Iterable[tuple[str, str]]) -> str:
    """`query` as text with everything reserved escaped (`|` as `%7C`); `InputError` for an empty value."""
    pairs = list(query)
    for name, value in pairs:
        if not name or any(HOLLOW.fullmatch(part) for part in value.split(",")):
            raise InputError("A query parameter is empty and was not sent.", code="client.empty-parameter")
    return urlencode(pairs, quote_via=quote, safe="/:$,")


def _check_base(endpoint: Endpoint) -> None:
    where = f"Endpoint {endpoint.id}"
    networks = _read_networks(where, endpoint.networks)
    try:
        url = httpx.URL(endpoint.base_url)
    except (httpx.InvalidURL, TypeError):
        raise SettingsError(f"{where}: base_url is not a URL.") from None
    if url.userinfo or url.query or url.fragment or "?" in endpoint.base_url or "#" in endpoint.base_url:
        raise SettingsError(f"{where}: base_url carries no user, query or fragment.")
    if not _is_plain_host(url.host) or _has_dots(url) or not endpoint.base_url.isascii():
        raise SettingsError(f"{where}: base_url needs a host name or address in its usual form and a plain path.")
    if url.scheme == "http":
        _require_loopback_grant(where, endpoint, networks)
    elif url.scheme != "https":
        raise SettingsError(f"{where}: base_url must begin with https://")
    elif (url.port or HTTPS_PORT) != HTTPS_PORT and not networks:
        raise SettingsError(f"{where}: only port 443 is used on public addresses; name its `networks` otherwise.")


def _read_networks(where: str, texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        networks = tuple(ip_network(text) for text in texts)
    except ValueError:
        raise SettingsError(f"{where}: networks must be CIDRs such as 10.1.0.0/16.") from None
    for network in networks:
        if any(network.version == never.version and network.subnet_of(never) for never in NEVER):  # type: ignore[arg-type]
            raise SettingsError(f"{where}: networks names a range that is never connected to.")
    return networks


def _require_loopback_grant(where: str, endpoint: Endpoint, networks: tuple[Network, ...]) -> None:
    if not endpoint.plain_http:
        raise SettingsError(f"{where}: http needs plain_http, which is for loopback only; use https://")
    is_loopback = [any(n.version == l.version and n.subnet_of(l) for l in LOOPBACK) for n in networks]  # type: ignore[arg-type]  # noqa: E741
    if not networks or not all(is_loopback):
        raise SettingsError(f"{where}: plain_http needs `networks` of loopback addresses only, e.g. 127.0.0.0/8.")


def _is_plain_host(host: str) -> bool:
    """A DNS name whose last label is no number, or an address in canonical form: `127.1` and `0x7f.1` are neither."""
    labels = host.rstrip(".").split(".")
    if ":" in host or all(part.isdigit() for part in labels):
        return _is_canonical_address(host)
    return all(LABEL.fullmatch(label) for label in labels) and not NUMBER.fullmatch(labels[-1])


def _is_canonical_address(host: str) -> bool:
    try:
        network = ip_network(host)
    except ValueError:
        return False
    return str(network.network_address) == host.lower() and "%" not in host


def _has_dots(url: httpx.URL) -> bool:
    """Whether the path has dot segments, backslashes or empty escapes, in any number of escapings."""
    path = url.raw_path.decode("ascii", "replace").partition("?")[0]
    for _ in range(3):
        path = unquote(path)
    is_odd = "\\" in path or any(ord(character) < 32 for character in path)
    return is_odd or any(segment in (".", "..") for segment in path.split("/"))


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (HTTPS_PORT if url.scheme == "https" else 80)


def _foreign_link() -> InputError:
    return InputError("A link leads outside the endpoint and was not followed.", code="client.foreign-link")
