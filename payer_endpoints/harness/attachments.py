"""CDex `$submit-attachment`: documents that were asked for, or come unasked. Source: spec/pas.md §6.4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.book import Authorization, Book
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.document_checks import check_document_reference
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.outcomes import Issue, errors_of
from payer_endpoints.harness.reading import as_objects, as_text, at, parse_body, type_of
from payer_endpoints.harness.submissions import Submissions

CARDINALITY = {
    "TrackingId": (1, 1),
    "AdminRefNumber": (0, 1),
    "AttachTo": (1, 1),
    "PayerId": (0, 1),
    "OrganizationId": (0, 1),
    "ProviderId": (0, 1),
    "MemberId": (1, 1),
    "ServiceDate": (0, 1),
    "Attachment": (1, None),
    "Final": (0, 1),
}
_IDENTIFIERS = ("TrackingId", "AdminRefNumber", "PayerId", "OrganizationId", "ProviderId", "MemberId")
_PARTS = {"LineItem": (0, None), "Code": (0, 1), "Content": (1, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What became of an attachment."""

    issues: tuple[Issue, ...] = ()
    """Errors; empty = accepted."""
    changed: Authorization | None = None
    """The authorization it was for, where a decision may now be due."""
    note: str = ""


class Attachments:
    """The mail room of every payer."""

    def __init__(self, book: Book, ledger: Ledger, submissions: Submissions) -> None:
        self._book, self._ledger, self._submissions = book, ledger, submissions

    def receive(self, payer: Payer, body: Json, message: int) -> Received:
        """Check, and match by tracking id and member."""
        issues = list(check_attachment(body))
        if not errors_of(issues):
            issues += self._check_member(payer, body)
        self._ledger.find(payer.slug, "submit-attachment", message, *issues)
        if errors_of(issues):
            return Received(issues=tuple(errors_of(issues)))
        self._ledger.count(payer.slug, "attachments")
        tracking = _value(body, "TrackingId")
        held = self._waiting(payer, body, tracking)
        if held is None:
            return Received(note="Kept as an unsolicited attachment.")
        final = _first(body, "Final").get("valueBoolean") is not False
        return Received(changed=self._submissions.receive_document(held, tracking, is_final=final))

    def _check_member(self, payer: Payer, body: Json) -> Iterator[Issue]:
        if not self._book.of_member(payer.slug, _value(body, "MemberId")):
            yield Issue(text="No request of this member is known here.", code="not-found", at="MemberId")

    def _waiting(self, payer: Payer, body: Json, tracking: str) -> Authorization | None:
        """The authorization that asked under this control number; one already answered takes the document again."""
        for held in self._book.of_member(payer.slug, _value(body, "MemberId")):
            if tracking in (*held.waits_for, *held.documents):
                return held
        return None


def check_attachment(body: Json) -> Iterator[Issue]:
    """Everything wrong with the Parameters."""
    if type_of(body) != "Parameters":
        yield Issue(text="The body must be Parameters.", code="structure", at="Parameters")
        return
    listed = as_objects(body.get("parameter"))
    yield from _check_names(listed, CARDINALITY, "Parameters.parameter")
    for item in listed:
        name = as_text(item.get("name"))
        if name in _IDENTIFIERS and not as_text(at(item, "valueIdentifier", "value")):
            text = f"{name} is an Identifier with a value."
            given = as_text(item.get("valueString"))
            yield Issue(text=text, at=name, severity="warning" if given else "error")
    if not _first(body, "OrganizationId") and not _first(body, "ProviderId"):
        yield Issue(text="OrganizationId or ProviderId is required.", at="Parameters.parameter", code="required")
    if _first(body, "AttachTo").get("valueCode") != "preauthorization":
        yield Issue(text="AttachTo must be `preauthorization`.", at="AttachTo")
    for item in listed:
        if item.get("name") == "Attachment":
            yield from _check_parts(as_objects(item.get("part")))


def _check_parts(parts: list[Json]) -> Iterator[Issue]:
    yield from _check_names(parts, _PARTS, "Attachment")
    for part in parts:
        content = part.get("resource")
        if part.get("name") == "Content" and not type_of(content):
            yield Issue(text="Content holds a resource.", at="Attachment.Content", code="required")
        elif part.get("name") == "Content" and type_of(content) == "DocumentReference":
            yield from check_document_reference(content if isinstance(content, dict) else {}, "Attachment.Content")


def _check_names(listed: list[Json], allowed: dict[str, Any], place: str) -> Iterator[Issue]:
    found = [as_text(item.get("name")) for item in listed]
    for name in found:
        if name not in allowed:
            yield Issue(text="A parameter name that is not in the closed list.", at=place, code="not-supported")
    for name, (least, most) in allowed.items():
        if found.count(name) < least or (most is not None and found.count(name) > most):
            yield Issue(text=f"{name} must come {least}..{most or '*'} times.", at=place, code="required")


def _first(body: Json, name: str) -> Json:
    return next((item for item in as_objects(body.get("parameter")) if item.get("name") == name), {})


def _value(body: Json, name: str) -> str:
    item = _first(body, name)
    return as_text(at(item, "valueIdentifier", "value")) or as_text(item.get("valueString"))


def read(body: bytes) -> tuple[Json | None, list[Issue]]:
    """The Parameters, or why they cannot be read."""
    found, reason = parse_body(body)
    return found, [] if found is not None else [Issue(text=reason, code="structure", at=names.FHIR_JSON)]
