"""Bad bodies of `POST /orders`, as data: each with the answer it has to get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.fhir.json import dump_json
from tests.acceptance.posts import CANARY, bundle, coverage, order, payer, person

FHIR = "application/fhir+json"
XML = "application/fhir+xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One bad body and how it has to be refused."""

    name: str
    body: Any
    status: int
    code: str
    """Our own code in `details.coding`."""
    says: str
    """Words that tell the sender what to do."""
    media_type: str = FHIR
    expression: str = ""
    """FHIRPath of the element at fault, where one is."""


def _xml(inner: str, head: str = "", namespace: str = ' xmlns="http://hl7.org/fhir"') -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}<ServiceRequest{namespace}>{inner}</ServiceRequest>'.encode()


def covered(key: str, **more: Any) -> dict[str, Any]:
    """An order of the covered person that could be taken."""
    return order(key, "covered", "of-covered", **more)


DOCTYPE = '<!DOCTYPE ServiceRequest [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
BILLION = "<!DOCTYPE x [" + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9)) + "]>"
NESTED = 100_000
UNREADABLE = (
    Bad(name="empty", body=b"", status=400, code="body.empty", says="send a FHIR resource"),
    Bad(name="white space", body=b" \n\t ", status=400, code="body.empty", says="send a FHIR resource"),
    Bad(name="not JSON", body=b"order me an MRI", status=400, code="json.syntax", says="not JSON"),
    Bad(name="cut off", body=b'{"resourceType":"ServiceReq', status=400, code="json.syntax", says="not JSON"),
    Bad(name="not UTF-8", body=b'{"a":"\xff\xfe"}', status=400, code="json.encoding", says="send UTF-8"),
    Bad(name="UTF-16", body='{"a":1}'.encode("utf-16"), status=400, code="json.encoding", says="send UTF-8"),
    Bad(name="byte order mark", body=b'\xef\xbb\xbf{"a":1}', status=400, code="json.bom", says="plain UTF-8"),
    Bad(
        name="duplicate keys",
        body=b'{"resourceType":"ServiceRequest","id":"a","id":"b"}',
        status=400,
        code="json.duplicate-key",
        says="keep one",
    ),
    Bad(name="deep arrays", body=b"[" * NESTED + b"]" * NESTED, status=400, code="json.depth", says="nested"),
    Bad(
        name="deep objects",
        body=b'{"a":' * NESTED + b"1" + b"}" * NESTED,
        status=400,
        code="json.depth",
        says="nested",
    ),
    Bad(
        name="deep contained",
        body=b'{"resourceType":"ServiceRequest","contained":[' * NESTED,
        status=400,
        code="json.depth",
        says="nested",
    ),
    Bad(name="NaN", body=b'{"resourceType":"ServiceRequest","n":NaN}', status=400, code="json.number", says="NaN"),
    Bad(name="huge number", body=b'{"n":' + b"9" * 5000 + b"}", status=400, code="json.number", says="range"),
    Bad(name="huge exponent", body=b'{"n":1e999999}', status=400, code="json.number", says="range"),
    Bad(name="half a surrogate", body=b'{"a":"\\ud800"}', status=400, code="json.surrogate", says="surrogate"),
    Bad(name="NUL in a text", body=b'{"a":"x\\u0000"}', status=400, code="json.control-character", says="leave it out"),
    Bad(name="array", body=b"[]", status=400, code="body.object", says="JSON object"),
    Bad(name="number", body=b"17", status=400, code="body.object", says="JSON object"),
    Bad(name="null", body=b"null", status=400, code="body.object", says="JSON object"),
)
XML_BODIES = (
    Bad(name="DOCTYPE", body=_xml("", DOCTYPE), status=400, code="xml.doctype", says="not accepted", media_type=XML),
    Bad(
        name="billion laughs",
        body=_xml('<id value="&a8;"/>', BILLION),
        status=400,
        code="xml.doctype",
        says="not accepted",
        media_type=XML,
    ),
    Bad(
        name="outside the FHIR namespace",
        body=_xml('<id value="a"/>', namespace=""),
        status=400,
        code="xml.namespace",
        says="http://hl7.org/fhir",
        media_type=XML,
    ),
    Bad(name="not XML", body=b"<ServiceRequest", status=400, code="xml.syntax", says="XML", media_type=XML),
    Bad(
        name="JSON called XML", body=dump_json(covered("x")), status=400, code="xml.syntax", says="XML", media_type=XML
    ),
    Bad(
        name="UTF-16 XML", body=_xml("").decode().encode("utf-16"), status=400, code="xml.encoding", says="send UTF-8",
        media_type=XML,
    ),
    Bad(
        name="deep XML",
        body=_xml("<contained><ServiceRequest>" * 20_000 + "</ServiceRequest></contained>" * 20_000),
        status=400,
        code="xml",
        says="XML",
        media_type=XML,
    ),
    Bad(
        name="unknown element",
        body=_xml('<dose value="1"/>'),
        status=400,
        code="xml.element",
        says="FHIR R4 does not have",
        media_type=XML,
    ),
)  # fmt: skip
MEDIA_TYPES = (
    Bad(name="plain text", body=b"{}", status=415, code="body.media-type", says="fhir+json", media_type="text/plain"),
    Bad(name="none", body=b"{}", status=415, code="body.media-type", says="fhir+json", media_type=""),
    Bad(
        name="a form",
        body=b"order=1",
        status=415,
        code="body.media-type",
        says="fhir+json",
        media_type="application/x-www-form-urlencoded",
    ),
    Bad(
        name="HL7 v2", body=b"MSH|^~\\&|", status=415, code="body.media-type", says="fhir+json", media_type="x-app/hl7"
    ),
)
SHAPES = (
    Bad(name="no resourceType", body={"a": 1}, status=400, code="order.resource-type", says="send a FHIR resource"),
    Bad(name="resourceType is a number", body={"resourceType": 5}, status=400, code="order.resource-type", says="send"),
    Bad(
        name="unknown resource type",
        body={"resourceType": "Prescription"},
        status=422,
        code="order.resource-type",
        says="ServiceRequest",
        expression="resourceType",
    ),
    Bad(
        name="a patient",
        body=person("covered"),
        status=422,
        code="order.resource-type",
        says="Send a Bundle",
        expression="resourceType",
    ),
    Bad(
        name="Bundle without entries",
        body={"resourceType": "Bundle", "type": "collection"},
        status=422,
        code="order.missing",
        says="no entries",
        expression="Bundle.entry",
    ),
    Bad(
        name="Bundle without an order",
        body=bundle(person("covered"), coverage("of-covered", "covered", "plan")),
        status=422,
        code="order.missing",
        says="add the ServiceRequest",
        expression="Bundle.entry",
    ),
    Bad(
        name="entry without a resource",
        body={"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:1"}]},
        status=422,
        code="order.entry",
        says="holds no resource",
        expression="Bundle.entry[0]",
    ),
    Bad(
        name="order without id",
        body={key: value for key, value in covered("x").items() if key != "id"},
        status=422,
        code="order.id",
        says="as it is stored in the EHR",
        expression="ServiceRequest.id",
    ),
    Bad(name="order id that is a path", body=covered(".."), status=422, code="order.id", says="as it is stored"),
    Bad(name="closed order", body=covered("x", status="revoked"), status=422, code="order.status", says="closed"),
    Bad(
        name="the same order twice, different",
        body=bundle(covered("twice"), covered("twice", priority="urgent")),
        status=422,
        code="order.duplicate",
        says="as it stands in the EHR",
    ),
    Bad(
        name="two orders, one identifier",
        body=bundle(*(covered(key, identifier=[{"system": "urn:x", "value": "1"}]) for key in ("one", "two"))),
        status=422,
        code="order.identity",
        says="give each its own",
    ),
    Bad(
        name="more orders than a post may hold",
        body=bundle(*(covered(f"many-{number}") for number in range(51))),
        status=422,
        code="order.too-many",
        says="at most 50",
    ),
)
PEOPLE = (
    Bad(
        name="order without patient",
        body={key: value for key, value in covered("x").items() if key != "subject"},
        status=422,
        code="patient.missing",
        says="set subject",
        expression="ServiceRequest.subject",
    ),
    Bad(
        name="patient only described",
        body=covered("x", subject={"display": f"{CANARY} Canary"}),
        status=422,
        code="patient.missing",
        says="set subject",
    ),
    Bad(
        name="patient that does not exist",
        body=order("x", "nobody"),
        status=422,
        code="reference.unresolvable",
        says="correct subject",
        expression="ServiceRequest.subject",
    ),
    Bad(
        name="patient of another server",
        body=covered("x", subject={"reference": "https://other.example.org/fhir/Patient/covered"}),
        status=422,
        code="reference.unresolvable",
        says="correct subject",
    ),
    Bad(
        name="subject that is no patient",
        body=covered("x", subject={"reference": "Coverage/of-covered"}),
        status=422,
        code="reference.unresolvable",
        says="correct subject",
    ),
    Bad(
        name="order without coverage, patient without any in force",
        body=order("x", "uncovered"),
        status=422,
        code="coverage.missing",
        says="add the coverage",
        expression="ServiceRequest.insurance",
    ),
    Bad(
        name="coverage that does not exist",
        body=order("x", "covered", "no-such-coverage"),
        status=422,
        code="reference.unresolvable",
        says="send it along or correct it",
        expression="ServiceRequest.insurance",
    ),
    Bad(
        name="reference inside the Bundle that leads nowhere",
        body=bundle(covered("x", insurance=[{"reference": "urn:uuid:5c2a5a0e-0000-4000-8000-000000000000"}])),
        status=422,
        code="reference.unresolvable",
        says="send it along or correct it",
    ),
    Bad(
        name="coverage of somebody else",
        body=order("x", "covered", "of-elsewhere"),
        status=422,
        code="patient.mismatch",
        says="check whose coverage",
        expression="ServiceRequest.insurance",
    ),
    Bad(
        name="coverage of somebody else sent along",
        body=bundle(covered("x"), person("covered"), coverage("of-covered", "elsewhere", "plan")),
        status=422,
        code="patient.mismatch",
        says="check whose coverage",
        expression="Bundle.entry[0].resource.insurance",
    ),
    Bad(
        name="coverage of nobody",
        body=order("x", "elsewhere", "of-nobody"),
        status=422,
        code="patient.mismatch",
        says="check whose coverage",
    ),
    Bad(
        name="coverage that has ended",
        body=order("x", "uncovered", "ended"),
        status=422,
        code="coverage.coverage-not-in-force",
        says="Check eligibility",
    ),
    Bad(
        name="coverage without id",
        body=bundle(
            {**covered("x"), "insurance": [{"reference": "urn:uuid:1"}]},
            {key: value for key, value in coverage("c", "covered", "plan").items() if key != "id"},
        )
        | {"type": "collection"},
        status=422,
        code="reference.unresolvable",
        says="send it along or correct it",
    ),
    Bad(
        name="more coverages than can be meant",
        body=order("x", "covered", *(f"c{number}" for number in range(11))),
        status=422,
        code="coverage.too-many",
        says="at most 10",
    ),
    Bad(
        name="unknown payer",
        body=order("x", "elsewhere", "of-elsewhere"),
        status=422,
        code="payer.unknown",
        says="Add this payer to the directory",
        expression="ServiceRequest.insurance",
    ),
    Bad(
        name="payer identifier of another system",
        body=bundle(
            order("x", "covered", "sent"), coverage("sent", "covered", "p"), payer("p", "SYN-MCR-01", "urn:other")
        ),
        status=422,
        code="payer.unknown",
        says="Add this payer to the directory",
    ),
)
ALL = (*UNREADABLE, *XML_BODIES, *MEDIA_TYPES, *SHAPES, *PEOPLE)
