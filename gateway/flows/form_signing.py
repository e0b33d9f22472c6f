"""A person's signature on a form's answers: electronic, made with the organization's key for the person named.

The key is the organization's, so it signs as the organization on behalf of the person; who that was is asserted by the
session and stands in the signed event too (spec/provenance.md §7, mode E).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from gateway.clock import write_instant
from gateway.errors import AccessError
from gateway.fhir import Json
from gateway.flows.actors import Actor
from gateway.flows.services import NPI, Services
from gateway.forms.signatures import Sign
from provenance.activities import AUTHOR, SIGNATURE_TYPES
from provenance.canonical import jcs
from provenance.jws import sign_detached

ASTM = "urn:iso-astm:E1762-95:2013"
"""Code system of kinds of signature."""


def signer_of(services: Services, actor: Actor) -> Sign:
    """What signs for this person. Raises AccessError for anybody but a person."""
    if actor.kind != "user":
        raise AccessError("Only a person can sign answers; sign in as one.", code="form.signature", status=403)

    def sign(body: bytes, kinds: Sequence[Json]) -> Json:
        now = services.clock.now()
        key = services.keys.signer("event")
        chain = [base64.b64encode(der).decode("ascii") for der in key.chain]
        jws = sign_detached({"sigT": write_instant(now), "x5c": chain}, jcs(body), key)
        own = [{"system": ASTM, "code": AUTHOR, "display": SIGNATURE_TYPES[AUTHOR]}]
        tenant = services.settings.tenant
        person: dict[str, Any] = {"display": actor.name or actor.id}
        if actor.practitioner:
            person = {"reference": actor.practitioner, **person}
        return {
            "type": [dict(kind) for kind in kinds] or own,
            "when": write_instant(now),
            "who": {
                "type": "Organization",
                "identifier": {"system": NPI, "value": tenant.npi},
                "display": tenant.name,
            },
            "onBehalfOf": person,
            "targetFormat": "application/fhir+json",
            "sigFormat": "application/jose",
            "data": base64.b64encode(jws.encode("ascii")).decode("ascii"),
        }

    return sign
