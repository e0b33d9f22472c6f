"""The FHIR Signature around a JWS, shared by statements and documents.

`sigT` in the header, `Signature.when` and, in a statement, `recorded` are one instant, spelled once here.
Source: spec/provenance.md §5.2, §6; CDex signature profile.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from provenance.activities import SIGNATURE_TYPES
from provenance.errors import StatementError
from provenance.jws import Signer
from provenance.parties import Party
from provenance.urls import JOSE_FORMAT, SIGNATURE_TYPE


def instant(when: datetime) -> str:
    """`2026-11-01T12:00:00Z`: whole seconds in UTC, fractions cut. Errors: StatementError for a naive time."""
    if when.tzinfo is None:
        raise StatementError("an instant without a time zone")
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def require_valid(signer: Signer, when: datetime) -> None:
    """Raises StatementError where the signer's certificate does not cover `when` (to the second)."""
    if not signer.valid_from <= when.replace(microsecond=0) <= signer.valid_until:
        raise StatementError("the signer's certificate is not valid at this time: rotate the key")


def signature_element(kinds: Sequence[str], when: str, who: Party, target_format: str, jws: str) -> dict[str, Any]:
    """FHIR Signature around a JWS. `Signature.data` is base64 of the JWS's text."""
    return {
        "type": signature_types(kinds),
        "when": when,
        "who": {"type": who.type, "identifier": _identifier(who)},
        "targetFormat": target_format,
        "sigFormat": JOSE_FORMAT,
        "data": base64.b64encode(jws.encode("ascii")).decode("ascii"),
    }


def signature_types(kinds: Sequence[str]) -> list[dict[str, str]]:
    """`Signature.type`: the purposes of a signature as FHIR codings."""
    return [{"system": SIGNATURE_TYPE, "code": kind, "display": SIGNATURE_TYPES[kind]} for kind in kinds]


def commitments(kinds: Sequence[str]) -> list[dict[str, Any]]:
    """JAdES `srCms`: the purposes of a signature, in the order of `Signature.type`."""
    return [{"commId": {"desc": SIGNATURE_TYPES[kind], "id": f"urn:oid:{kind}"}} for kind in kinds]


def _identifier(who: Party) -> dict[str, str]:
    if who.identifier is None:
        raise StatementError("a signer is named by an identifier that its certificate carries")
    return who.identifier.as_fhir()
