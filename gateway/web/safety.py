"""What a browser must be told, and what it must prove, before anything changes (security T7, T10, T31, T38)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; connect-src 'self'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every page and every file of the pages."""
NO_STORE: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
"""Header of everything that may show patient data; the pages about a sign-in too."""
MAX_PATH: Final = 500
"""Longest address to go back to after sign-in."""
_TRUSTED_SITES: Final = frozenset({"same-origin", "none"})


def is_own_request(headers: Mapping[str, str], base_url: str) -> bool:
    """Whether a request that changes something comes from our own pages.

    `Sec-Fetch-Site` decides where the browser sends it, else `Origin` against the configured base address,
    never against the Host header. A caller that sends neither is no browser that could be misled; the
    token of the session is asked of it all the same.
    """
    site = headers.get("sec-fetch-site", "")
    if site:
        return site in _TRUSTED_SITES
    origin = headers.get("origin", "")
    return not origin or origin.casefold() == origin_of(base_url)


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, as browsers write them in `Origin`."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".casefold()


def form_token(secret: bytes, session_sha256: str) -> str:
    """The token that every form of one session carries; another session's never fits."""
    return hmac.new(secret, b"form:" + session_sha256.encode(), hashlib.sha256).hexdigest()


def is_token(given: str, expected: str) -> bool:
    """Whether a form's token is the session's, in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def local_path(text: str) -> str:
    """The address to go to after sign-in when it is a path of ours, else `/`.

    Refused: other hosts, `//host`, backslashes, control characters, and the sign-in page itself.
    """
    is_plain = text.startswith("/") and not text.startswith("//") and len(text) <= MAX_PATH
    if not is_plain or "\\" in text or any(ord(character) < 33 or ord(character) > 126 for character in text):
        return "/"
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or parts.path.startswith("//") or parts.path in ("/sign-in", "/sign-out"):
        return "/"
    return text
