"""The auditor's anchors: which authorities they trust, for what, and for whom.

Anchors come to the auditor by another way than the package, and a package never supplies its own.
The file is strict: a member that this reader does not know is refused, because ignoring, say, a list of
distrusted certificates would be a silent pass. Source: spec/provenance.md §8.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509

from provenance.canonical import digest_hex, parse_strict
from provenance.certificates import ALGORITHM, Purpose
from provenance.errors import AnchorsError, StrictJsonError
from provenance.identifiers import Identifier
from provenance.jws import ALGORITHMS

_MEMBERS: Final = frozenset({"v", "issued", "development", "anchors", "distrusted", "tsa", "logs", "witnesses"})
_ANCHOR_MEMBERS: Final = frozenset({"purpose", "tenant", "sans", "algs", "certificate", "valid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One authority and what it vouches for."""

    purpose: Purpose
    """What its leaves may sign."""
    tenant: Identifier | None
    """The organization it belongs to; None for authorities of people."""
    sans: frozenset[Identifier]
    """Identifiers its leaves may carry; empty means any."""
    algs: frozenset[str]
    """Permitted algorithms."""
    certificate: x509.Certificate
    valid_from: datetime
    """From when the auditor trusts it."""
    valid_until: datetime
    """Until when the auditor trusts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """A whole anchors file."""

    anchors: tuple[Anchor, ...]
    distrusted: Mapping[str, datetime]
    """Thumbprint of a certificate → from when it is not to be believed."""
    is_development: bool
    """The file comes from a development CA."""
    digest: str
    """SHA-256 of the file in hexadecimal: compare it over a second channel."""


def build_anchors(
    tenant: Identifier, authorities: Sequence[tuple[Purpose, bytes]], *, issued: str | None = None
) -> bytes:
    """anchors.json of a development key ring; `authorities` pairs purposes with DER certificates."""
    rows = [
        {
            "purpose": purpose.value,
            "tenant": tenant.as_fhir(),
            "sans": [tenant.as_fhir()],
            "algs": [ALGORITHM[purpose]],
            "certificate": base64.b64encode(der).decode(),
        }
        for purpose, der in authorities
    ]
    head: dict[str, Any] = {"v": 1, **({"issued": issued} if issued else {}), "development": True}
    return (json.dumps({**head, "anchors": rows, "distrusted": []}, indent=1) + "\n").encode()


def read_anchors(body: bytes) -> Anchors:
    """The anchors of a file. Errors: AnchorsError for anything this reader does not fully understand."""
    try:
        value = parse_strict(body, max_bytes=16 * 1024 * 1024)
        _require_members(value, _MEMBERS)
        if value.get("v") != 1 or not isinstance(value.get("anchors"), list) or not value["anchors"]:
            raise AnchorsError('an anchors file has "v": 1 and at least one anchor')
        return Anchors(
            anchors=tuple(_anchor(row) for row in value["anchors"]),
            distrusted={row["x5t#S256"]: read_instant(row["from"]) for row in value.get("distrusted", [])},
            is_development=value.get("development", False) is not False,
            digest=digest_hex(body),
        )
    except StrictJsonError as error:
        raise AnchorsError(f"the anchors file is not strict JSON: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnchorsError("the anchors file has an entry this verifier cannot read") from error


def read_instant(text: str) -> datetime:
    """An instant with a zone, as aware UTC; fractions are accepted. Errors: ValueError."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError("an instant without a time zone")
    return when.astimezone(UTC)


def _anchor(row: Any) -> Anchor:
    _require_members(row, _ANCHOR_MEMBERS)
    algs = frozenset(row["algs"])
    if not algs or not algs <= ALGORITHMS:
        raise AnchorsError("an anchor permits an algorithm that is not supported")
    certificate = x509.load_der_x509_certificate(base64.b64decode(row["certificate"], validate=True))
    valid = row.get("valid", {})
    _require_members(valid, frozenset({"from", "until"}))
    return Anchor(
        purpose=Purpose(row["purpose"]),
        tenant=_identifier(row["tenant"]) if "tenant" in row else None,
        sans=frozenset(_identifier(san) for san in row.get("sans", [])),
        algs=algs,
        certificate=certificate,
        valid_from=read_instant(valid["from"]) if "from" in valid else certificate.not_valid_before_utc,
        valid_until=read_instant(valid["until"]) if "until" in valid else certificate.not_valid_after_utc,
    )


def _identifier(value: Any) -> Identifier:
    identifier = Identifier.read(value)
    if identifier is None:
        raise AnchorsError("an identifier in the anchors file lacks system or value")
    return identifier


def _require_members(value: Any, known: frozenset[str]) -> None:
    if not isinstance(value, dict) or not value.keys() <= known:
        raise AnchorsError("the anchors file has a member this verifier does not know")
