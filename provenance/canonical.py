"""Canonical bytes and content addresses: what exactly is hashed and signed.

Two levels, both kept: the SHA-256 of the exact bytes (`raw`) and that of the RFC 8785 form (`jcs`).
RFC 8785 alone would let 91.5 pass for 91.50, so neither replaces the other. This module refuses any
text that two JSON readers may understand differently, and never normalises Unicode.
Source: spec/provenance.md §4; RFC 8785, RFC 6920.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

import rfc8785

from provenance.errors import StrictJsonError

MAX_DEPTH: Final = 100
MAX_BYTES: Final = 256 * 1024 * 1024
LARGEST_INTEGER: Final = 2**53 - 1
_NI_PREFIX: Final = "ni:///sha-256;"
# A string that is never closed runs to the end, so that no text makes this search start over and over again.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_BRACKETS: Final = bytes.maketrans(b"[{]}", b"(())")
_BEYOND_BMP: Final = re.compile(rb"[\xf0-\xf4]|\\u[dD]")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def parse_strict(body: bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_BYTES) -> Any:
    """The JSON value of `body`: whole numbers as int, other numbers as float.

    Refuses what readers disagree about: bytes that are not UTF-8, a byte order mark, a member given
    twice, NaN and Infinity, lone surrogates, integers beyond ±(2^53−1), numbers that binary64 cannot
    hold exactly as written, nesting deeper than `max_depth`, more than `max_bytes` bytes.
    Errors: StrictJsonError, without values. Source: spec/provenance.md §4.2.
    """
    return _Reader().read(body, max_depth, max_bytes)


def jcs(body: bytes) -> bytes:
    """The RFC 8785 form of a JSON text. Errors: StrictJsonError."""
    return canonicalise(body)[1]


def canonicalise(body: bytes) -> tuple[Any, bytes]:
    """The value of a JSON text and its RFC 8785 form. Errors: StrictJsonError."""
    reader = _Reader()
    value = reader.read(body, MAX_DEPTH, MAX_BYTES)
    # json.dumps gives the RFC 8785 bytes ten times faster wherever the two cannot differ: no float whose
    # shortest form is spelled differently, no member name whose UTF-16 order differs from code point order.
    if reader.floats_are_plain and not _BEYOND_BMP.search(body):
        return value, json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    return value, jcs_of_value(value)


def jcs_of_value(value: Any) -> bytes:
    """The RFC 8785 form of a parsed value (int, float, str, bool, None, dict, list). Errors: StrictJsonError."""
    try:
        return bytes(rfc8785.dumps(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise StrictJsonError("the value has no canonical form") from error


def dump_plain(value: Any) -> bytes:
    """Compact UTF-8 JSON in the order of the members, for what this package itself writes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def digest(body: bytes) -> bytes:
    """SHA-256 of the bytes: 32 bytes."""
    return hashlib.sha256(body).digest()


def digest_hex(body: bytes) -> str:
    """SHA-256 of the bytes as 64 lower-case hexadecimal digits, the name of an object file."""
    return hashlib.sha256(body).hexdigest()


def b64u(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text: str) -> bytes:
    """Inverse of `b64u`; only the one canonical spelling is accepted. Errors: ValueError."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if b64u(data) != text:
        raise ValueError("not the canonical base64url form")
    return data


def ni_uri(sha256: bytes) -> str:
    """RFC 6920 name of content with this SHA-256: `ni:///sha-256;…`. `sha256` has 32 bytes."""
    return _NI_PREFIX + b64u(sha256)


def read_ni(uri: str) -> bytes | None:
    """The SHA-256 named by an RFC 6920 uri of the form we write; None for anything else."""
    if not uri.startswith(_NI_PREFIX):
        return None
    try:
        sha256 = unb64u(uri[len(_NI_PREFIX) :])
    except ValueError:
        return None
    return sha256 if len(sha256) == 32 else None


class _Reader:
    """One strict reading; remembers whether every float is spelled alike by Python and ECMAScript."""

    __slots__ = ("floats_are_plain",)

    def __init__(self) -> None:
        self.floats_are_plain = True

    def read(self, body: bytes, max_depth: int, max_bytes: int) -> Any:
        if len(body) > max_bytes:
            raise StrictJsonError("more bytes than permitted")
        require_depth(body, max_depth)
        try:
            # Defensive: json accepts UTF-16 and a byte order mark when given bytes; this decoding does not.
            text = body.decode("utf-8", "strict")
            value = json.loads(
                text,
                object_pairs_hook=_members,
                parse_int=_integer,
                parse_float=self._number,
                parse_constant=_constant,
            )
            if _SURROGATE.search(body):
                json.dumps(value, ensure_ascii=False).encode()
        except StrictJsonError:
            raise
        except UnicodeError as error:
            raise StrictJsonError("not UTF-8, or a lone surrogate") from error
        except (ValueError, RecursionError) as error:
            raise StrictJsonError("not JSON") from error
        return value

    def _number(self, token: str) -> float:
        number = float(token)
        spelled = repr(number)
        if spelled in ("inf", "-inf") or (spelled != token and Decimal(token) != Decimal(spelled)):
            raise StrictJsonError("a number with more digits than binary64 can hold")
        if "e" in spelled or spelled.endswith(".0"):
            self.floats_are_plain = False
        return number


def require_depth(body: bytes, max_depth: int) -> None:
    """Raises StrictJsonError where brackets nest deeper than `max_depth`; strings do not count.

    Each round removes the innermost pairs, so the number of rounds is the depth: linear work per level
    in C, and no recursion that hostile input could exhaust.
    """
    if body.count(b"{") + body.count(b"[") <= max_depth:
        return
    brackets = _STRING.sub(b"", body).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(max_depth):
        shorter = brackets.replace(b"()", b"")
        if len(shorter) == len(brackets):
            return
        brackets = shorter
    if brackets:
        raise StrictJsonError("nested deeper than permitted")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJsonError("a member is given twice")
    return members


def _integer(token: str) -> int:
    # Defensive: int() of a very long token is slow and, beyond 4300 digits, an error of its own.
    if len(token) > 17 or not -LARGEST_INTEGER <= (number := int(token)) <= LARGEST_INTEGER:
        raise StrictJsonError("an integer beyond 2^53-1")
    return number


def _constant(_token: str) -> NoReturn:
    raise StrictJsonError("NaN or Infinity")
