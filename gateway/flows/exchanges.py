"""What went out and what came in for a case, message by message, and what a sealed packet holds.

The messages are found through the signed statements of the events, which name them by digest. The caller has
checked who asks.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.cases.facts import Facts
from gateway.errors import GatewayError
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import ledger
from gateway.flows.services import Services
from gateway.store.rows import CaseRow, EventRow

ANSWERS: Final = frozenset({"payer-need", "form-receive", "payer-response"})
"""Events about something received; what they rest on is what was sent."""
SENDINGS: Final = frozenset({"submit", "write-back"})
"""Events about something sent."""
_NI: Final = "ni:///sha-256;"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """One exchange with a partner."""

    event: EventRow
    """The event that recorded it."""
    sent: str
    """Digest of what was sent; empty where the event names nothing."""
    received: str
    """Digest of what came back; empty where the event names nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketPart:
    """One resource of a sealed packet."""

    type: str
    """FHIR type."""
    title: str
    """What people call it: title, type or code in words; empty when it has none."""
    size_bytes: int
    """Size as compact JSON."""


def list_exchanges(services: Services, case: CaseRow, events: Sequence[EventRow]) -> tuple[Exchanged, ...]:
    """The exchanges among the events, in their order."""
    return tuple(_exchanged(services, case, event) for event in events if event.verb in ANSWERS | SENDINGS)


def packet_parts(services: Services, case: CaseRow, facts: Facts) -> tuple[PacketPart, ...]:
    """Resources of the sealed packet, in its order; empty while none is sealed. IntegrityError for damaged bytes."""
    if not facts.document:
        return ()
    bundle = parse_json(ledger.load_object(services, case, facts.document))
    found = (entry.get("resource") for entry in bundle.get("entry") or ())
    return tuple(_part(resource) for resource in found if isinstance(resource, Mapping))


def _exchanged(services: Services, case: CaseRow, event: EventRow) -> Exchanged:
    if event.verb in SENDINGS:
        return Exchanged(event=event, sent=event.object_digest, received="")
    try:
        statement = parse_json(ledger.load_object(services, case, event.provenance_digest))
    except GatewayError:
        statement = {}
    inputs = tuple(_binary_digests(statement))
    return Exchanged(event=event, sent=inputs[0] if inputs else "", received=event.object_digest)


def _binary_digests(statement: Mapping[str, Any]) -> Iterator[str]:
    """Hex digests of the messages that a statement names as its inputs."""
    for entity in statement.get("entity") or ():
        what = entity.get("what") or {}
        uri = str((what.get("identifier") or {}).get("value", ""))
        if what.get("type") == "Binary" and uri.startswith(_NI):
            yield from _hex(uri.removeprefix(_NI))


def _hex(text: str) -> Iterator[str]:
    try:
        yield base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
    except (ValueError, binascii.Error):
        return


def _part(resource: Mapping[str, Any]) -> PacketPart:
    return PacketPart(
        type=str(resource.get("resourceType", "")), title=_title(resource), size_bytes=len(dump_json(resource))
    )


def _title(resource: Mapping[str, Any]) -> str:
    for key in ("title", "type", "code", "category", "vaccineCode", "medicationCodeableConcept"):
        value = resource.get(key)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str):
            return first
        if isinstance(first, Mapping):
            coding: Mapping[str, Any] = next(iter(first.get("coding") or ()), {})
            words = first.get("text") or coding.get("display")
            if words:
                return str(words)
    return ""
