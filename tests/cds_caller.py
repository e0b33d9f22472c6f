"""An EHR that calls CDS services: a key pair, signed tokens, and hook requests made from a chart."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.demo.charts import DemoChart
from gateway.profiles.crd_prefetch import fill_prefetch
from gateway.profiles.crd_services import PREFETCH

ISSUER = "https://ehr.example.org"
KEY_ID = "hook-key"


@cache
def key(name: str = "own") -> Any:
    """A key pair by name; every one carries the same id."""
    return ECKey.generate_key("P-384", {"kid": KEY_ID}, auto_kid=False)


def key_file(folder: Path) -> Path:
    """File with the public key set of the EHR."""
    path = folder / "hook-keys.json"
    path.write_text(json.dumps({"keys": [key("own").as_dict(private=False)]}), "utf-8")
    return path


def token(
    address: str, now: datetime, *, by: str = "own", header: Mapping[str, Any] | None = None, **claims: Any
) -> str:
    """A token for one call of `address`; claims and header members that are None are left out."""
    at = int(now.timestamp())
    usual = {"iss": ISSUER, "aud": address, "iat": at, "exp": at + 120, "jti": str(uuid.uuid4())}
    head = {"alg": "ES384", "kid": KEY_ID, "typ": "JWT"} | dict(header or {})
    body = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode({n: v for n, v in head.items() if v is not None}, body, key(by), algorithms=["ES384"])


def order_of(chart: DemoChart, **changes: Any) -> dict[str, Any]:
    """The chart's order as a draft; a change to `...` leaves the element out."""
    found = next(item for item in resources(chart) if reference(item) == chart.order_reference)
    order = copy.deepcopy(dict(found)) | {"status": "draft"} | changes
    return {name: value for name, value in order.items() if value is not ...}


def unsaved(chart: DemoChart, name: str = "draft-1", **changes: Any) -> dict[str, Any]:
    """The chart's order before it is saved: an id of the screen's, no identifier."""
    return order_of(chart, id=name, identifier=..., **changes)


def hook(chart: DemoChart, name: str = "order-sign", *orders: Any, server: str = "", **changes: Any) -> dict[str, Any]:
    """A hook request about the chart's patient, without prefetch; orders: the chart's own as a draft."""
    drafts = list(orders) or [order_of(chart)]
    context: dict[str, Any] = {
        "userId": f"Practitioner/{drafts[0].get('requester', {}).get('reference', 'x/y').rpartition('/')[2]}",
        "patientId": chart.patient_reference.partition("/")[2],
        "draftOrders": {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": item} for item in drafts],
        },
    }
    if name == "order-select":
        context["selections"] = [reference(item) for item in drafts]
    body: dict[str, Any] = {"hook": name, "hookInstance": str(uuid.uuid4()), "context": context}
    if server:
        body["fhirServer"] = server
    return body | changes


def prefetch(chart: DemoChart, body: Mapping[str, Any]) -> dict[str, Any]:
    """What an EHR prefetches for the request from the chart: every template answered, nothing left to read."""

    def find(query: str) -> Any:
        kind, mark, text = query.partition("?")
        if not mark:
            return next((item for item in resources(chart) if reference(item) == query), None)
        ids = text.removeprefix("_id=").split(",") if text.startswith("_id=") else None
        person = text.partition("practitioner=")[2].partition("&")[0]
        found = [item for item in resources(chart) if item["resourceType"] == kind]
        if "_revinclude" in text:
            found += [item for item in resources(chart) if item["resourceType"] == "Provenance"]
        chosen = [item for item in found if ids is None or item["id"] in ids]
        chosen = [item for item in chosen if not person or item["practitioner"]["reference"].endswith(person)]
        if person:
            chosen += [item for item in resources(chart) if item["resourceType"] in ("Organization", "Location")]
        chosen = [item for item in chosen if "status=active" not in text or item.get("status") == "active"]
        return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": item} for item in chosen]}

    return fill_prefetch(PREFETCH, body["context"], find)


def resources(chart: DemoChart) -> list[Any]:
    """Every resource of the chart."""
    return [entry["resource"] for entry in chart.bundle["entry"]]


def reference(resource: Mapping[str, Any]) -> str:
    """`Type/id`."""
    return f"{resource['resourceType']}/{resource['id']}"
