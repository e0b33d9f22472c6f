"""Messages a provider would send, made by hand from the guides, to try the simulated payers with.

Nothing of the gateway builds them: the harness is tested against a third reading.
"""

from __future__ import annotations

import base64
import copy
import json
from typing import Any
from uuid import uuid4

PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
X12 = "https://codesystem.x12.org/005010/"
DTR = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
CRD_CODES = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/coverage-information-codes"
TEMP = "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes"
MB = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}
NPI = "http://hl7.org/fhir/sid/us-npi"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
TOPIC = "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic"
TOKEN = {"Authorization": "Bearer test-token", "Content-Type": "application/fhir+json"}
SLUGS = {
    "example-medicare": "SYN-MCR-01",
    "example-open": "SYN-OPEN-02",
    "example-down": "SYN-DOWN-03",
    "example-slow": "SYN-SLOW-04",
}

Resource = dict[str, Any]


def new_url() -> str:
    return f"urn:uuid:{uuid4()}"


def concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def organization(kind: str, name: str, identifier: Resource, code: str) -> Resource:
    return {
        "resourceType": "Organization",
        "meta": {"profile": [f"{PAS}profile-{kind}"]},
        "active": True,
        "name": name,
        "identifier": [identifier],
        "type": [concept(f"{X12}98", code)],
    }


def patient(member: str) -> Resource:
    return {
        "resourceType": "Patient",
        "meta": {"profile": [f"{PAS}profile-beneficiary"]},
        "identifier": [{"type": MB, "system": "urn:example:plan:members", "value": member}],
        "name": [{"family": "Synthetic", "given": ["Sam"]}],
        "gender": "female",
        "birthDate": "1980-04-02",
    }


def coverage(member: str, payor: str, beneficiary: str) -> Resource:
    return {
        "resourceType": "Coverage",
        "meta": {"profile": [f"{PAS}profile-coverage"]},
        "status": "active",
        "subscriberId": member,
        "identifier": [{"type": MB, "system": "urn:example:plan:members", "value": member}],
        "beneficiary": {"reference": beneficiary},
        "payor": [{"reference": payor}],
        "relationship": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "self"},
                {"system": f"{X12}1069", "code": "18"},
            ]
        },
    }


def sealed_document(*, signed: bool = True) -> bytes:
    """A document Bundle as a provider seals it; the signature is of the right shape and no more."""
    document: Resource = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:example:documents", "value": str(uuid4())},
        "type": "document",
        "timestamp": "2026-11-23T10:00:00Z",
        "entry": [{"fullUrl": new_url(), "resource": {"resourceType": "Composition", "status": "final"}}],
    }
    if signed:
        document["signature"] = {
            "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.5"}],
            "when": "2026-11-23T10:00:00Z",
            "who": {"display": "Example Clinic"},
            "sigFormat": "application/jose",
            "data": base64.b64encode(b"eyJhbGciOiJFUzI1NiJ9..c2ln").decode(),
        }
    return json.dumps(document).encode()


def document_reference(subject: str, data: bytes, media_type: str = "application/fhir+json") -> Resource:
    category = concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note")
    return {
        "resourceType": "DocumentReference",
        "meta": {"profile": [f"{PAS}profile-documentreference"]},
        "status": "current",
        "type": concept("http://loinc.org", "11506-3"),
        "category": [category],
        "subject": {"reference": subject},
        "date": "2026-11-23T10:00:00Z",
        "content": [{"attachment": {"contentType": media_type, "data": base64.b64encode(data).decode()}}],
    }


def questionnaire_response(subject: str, order: str = "ServiceRequest/1", cover: str = "Coverage/1") -> Resource:
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "https://payer.example.org/Questionnaire/test-form|1.0.0",
        "status": "completed",
        "subject": {"reference": subject},
        "authored": "2026-11-23T10:00:00Z",
        "extension": [
            {"url": f"{DTR}qr-context", "valueReference": {"reference": order}},
            {"url": f"{DTR}qr-coverage", "valueReference": {"reference": cover}},
            {"url": f"{DTR}intendedUse", "valueCodeableConcept": concept(CRD_CODES, "withpa")},
        ],
        "item": [
            {
                "linkId": "1",
                "answer": [
                    {
                        "extension": [
                            {
                                "url": f"{DTR}information-origin",
                                "extension": [{"url": "source", "valueCode": "auto-client"}],
                            }
                        ],
                        "valueInteger": 6,
                    }
                ],
            }
        ],
    }


def claim_item(sequence: int, request_url: str, code: str) -> Resource:
    return {
        "extension": [
            {
                "url": f"{PAS}extension-itemTraceNumber",
                "valueIdentifier": {"system": "urn:trnorg:9012345678", "value": f"T-{sequence}"},
            },
            {
                "url": f"{PAS}extension-serviceItemRequestType",
                "valueCodeableConcept": concept(f"{X12}1525", "HS"),
            },
            {"url": f"{PAS}extension-certificationType", "valueCodeableConcept": concept(f"{X12}1322", "I")},
            {"url": f"{PAS}extension-requestedService", "valueReference": {"reference": request_url}},
        ],
        "sequence": sequence,
        "diagnosisSequence": [1],
        "informationSequence": [1],
        "category": concept(f"{X12}1365", "62"),
        "productOrService": concept("http://www.ama-assn.org/go/cpt", code),
        "servicedPeriod": {"start": "2026-12-01", "end": "2027-01-31"},
        "locationCodeableConcept": concept(
            "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "22"
        ),
        "quantity": {"value": 2, "unit": "units"},
    }


def information(sequence: int, url: str) -> Resource:
    kind = {"url": "reportTypeCode", "valueCodeableConcept": concept(f"{X12}755", "PY")}
    control = {"url": "controlNumber", "valueString": f"CTRL-{sequence}"}
    return {
        "extension": [{"url": f"{PAS}extension-documentInformation", "extension": [kind, control]}],
        "sequence": sequence,
        "category": concept(TEMP, "additionalInformation"),
        "valueReference": {"reference": url},
    }


def request_bundle(
    member: str = "SYN-APPROVE-01",
    payer: str = "example-medicare",
    codes: tuple[str, ...] = ("72141",),
    document: bytes | None = None,
    media_type: str = "application/fhir+json",
) -> Resource:
    """A request that every check accepts, with a sealed document and a completed form."""
    claim, clinic, insurer, cover, person, form, paper = (new_url() for _ in range(7))
    services = {code: new_url() for code in codes}
    payload = sealed_document() if document is None else document
    transmission = {
        "applicationSenderCode": "CLINICAPP",
        "applicationReceiverCode": "PAYERAPP",
        "interchangeSenderID": "CLINIC01",
        "interchangeReceiverID": "PAYER01",
    }
    resources: list[tuple[str, Resource]] = [
        (
            claim,
            {
                "resourceType": "Claim",
                "meta": {"profile": [f"{PAS}profile-claim"]},
                "extension": [
                    {
                        "url": f"{PAS}extension-TransmissionIdentifiers",
                        "extension": [{"url": key, "valueString": value} for key, value in transmission.items()],
                    }
                ],
                "identifier": [{"system": "urn:trnorg:9012345678", "value": f"PA-{uuid4()}"}],
                "status": "active",
                "type": concept("http://terminology.hl7.org/CodeSystem/claim-type", "professional"),
                "use": "preauthorization",
                "patient": {"reference": person},
                "created": "2026-11-23",
                "insurer": {"reference": insurer},
                "provider": {"reference": clinic},
                "priority": concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
                "supportingInfo": [information(1, paper), information(2, form)],
                "diagnosis": [
                    {
                        "sequence": 1,
                        "diagnosisCodeableConcept": concept("http://hl7.org/fhir/sid/icd-10-cm", "M54.12"),
                        "type": [concept(TEMP, "principal")],
                    }
                ],
                "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": cover}}],
                "item": [claim_item(place, services[code], code) for place, code in enumerate(codes, start=1)],
            },
        ),
        (clinic, organization("requestor", "Example Clinic", {"system": NPI, "value": "1234567893"}, "1P")),
        (
            insurer,
            organization(
                "insurer",
                "Example Plan",
                {"system": "https://payer.example.org/payer-id", "value": SLUGS[payer]},
                "PR",
            ),
        ),
        (cover, coverage(member, insurer, person)),
        (person, patient(member)),
        (paper, document_reference(person, payload, media_type)),
        (form, questionnaire_response(person, next(iter(services.values())), cover)),
    ]
    resources += [(url, service_request(person, code)) for code, url in services.items()]
    return bundle("profile-pas-request-bundle", resources)


def service_request(subject: str, code: str) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "meta": {"profile": [f"{PAS}profile-servicerequest"]},
        "status": "active",
        "intent": "order",
        "subject": {"reference": subject},
        "code": concept("http://www.ama-assn.org/go/cpt", code),
        "quantityQuantity": {"value": 1, "unit": "units"},
    }


def bundle(profile: str, resources: list[tuple[str, Resource]]) -> Resource:
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [PAS + profile]},
        "identifier": {"system": "urn:example:clinic:txn", "value": f"TXN-{uuid4()}"},
        "type": "collection",
        "timestamp": "2026-11-23T10:00:05Z",
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in resources],
    }


def entry_of(found: Resource, kind: str) -> tuple[str, Resource]:
    """(fullUrl, resource) of the first entry of a type."""
    return next((e["fullUrl"], e["resource"]) for e in found["entry"] if e["resource"]["resourceType"] == kind)


def cancel_bundle(prior: Resource, sequences: tuple[int, ...] | None = None) -> Resource:
    """An update of `prior` that cancels some items, or (None) all of them."""
    changed = copy.deepcopy(prior)
    prior_url, prior_claim = entry_of(prior, "Claim")
    claim = changed["entry"][0]["resource"]
    claim["meta"] = {"profile": [f"{PAS}profile-claim-update"]}
    claim["identifier"] = [{"system": "urn:trnorg:9012345678", "value": f"PA-{uuid4()}"}]
    claim["related"] = [
        {
            "claim": {"reference": prior_url},
            "relationship": concept("http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship", "prior"),
        }
    ]
    for item in claim["item"]:
        if sequences is None or item["sequence"] in sequences:
            mark_cancelled(item)
    if sequences is None:
        claim["extension"].append(
            {"url": f"{PAS}extension-certificationType", "valueCodeableConcept": concept(f"{X12}1322", "3")}
        )
    changed["entry"][0]["fullUrl"] = new_url()
    changed["entry"].insert(1, {"fullUrl": prior_url, "resource": prior_claim})
    changed["identifier"]["value"] = f"TXN-{uuid4()}"
    return changed


def mark_cancelled(item: Resource) -> None:
    item["modifierExtension"] = [{"url": f"{PAS}modifierextension-infoCancelled", "valueBoolean": True}]
    item["extension"] = [e for e in item["extension"] if "certificationType" not in e["url"]]
    item["extension"] += [
        {"url": f"{PAS}extension-certificationType", "valueCodeableConcept": concept(f"{X12}1322", "3")},
        {"url": f"{PAS}extension-infoChanged", "valueCode": "changed"},
    ]


def inquiry_bundle(member: str, payer: str = "example-medicare", code: str = "") -> Resource:
    """A query by example for one member, and one service where given."""
    found = request_bundle(member, payer)
    claim = found["entry"][0]["resource"]
    claim["meta"] = {"profile": [f"{PAS}profile-claim-inquiry"]}
    claim.pop("supportingInfo")
    claim.pop("diagnosis")
    item = claim["item"][0]
    for key in ("diagnosisSequence", "informationSequence", "servicedPeriod", "quantity"):
        item.pop(key)
    item["extension"] = item["extension"][1:3]
    item["productOrService"] = (
        concept("http://www.ama-assn.org/go/cpt", code)
        if code
        else concept("http://terminology.hl7.org/CodeSystem/data-absent-reason", "not-applicable")
    )
    kept = ("Claim", "Organization", "Coverage", "Patient")
    found["entry"] = [e for e in found["entry"] if e["resource"]["resourceType"] in kept]
    found["meta"] = {"profile": [f"{PAS}profile-pas-inquiry-request-bundle"]}
    return found


def subscription(endpoint: str, *, name: str = "org-identifier", header: str = "X-Secret: s3cret") -> Resource:
    return {
        "resourceType": "Subscription",
        "meta": {"profile": [f"{PAS}profile-subscription"]},
        "status": "requested",
        "reason": "Decisions on our prior authorizations.",
        "criteria": TOPIC,
        "_criteria": {"extension": [{"url": f"{BACKPORT}backport-filter-criteria", "valueString": f"{name}=CLINIC01"}]},
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint,
            "header": [header],
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": "full-resource"}]},
        },
    }


def attachment(member: str, tracking: str, content: Resource, *, final: bool = True) -> Resource:
    """CDex $submit-attachment parameters."""
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "TrackingId", "valueIdentifier": {"value": tracking}},
            {"name": "AttachTo", "valueCode": "preauthorization"},
            {"name": "OrganizationId", "valueIdentifier": {"system": NPI, "value": "1234567893"}},
            {"name": "MemberId", "valueIdentifier": {"value": member}},
            {
                "name": "Attachment",
                "part": [
                    {"name": "Code", "valueCodeableConcept": concept("http://loinc.org", "11506-3")},
                    {"name": "Content", "resource": content},
                ],
            },
            {"name": "Final", "valueBoolean": final},
        ],
    }


def ehr_coverage(member: str, payer: str = "example-medicare") -> Resource:
    """The Coverage as the EHR holds it, with its payor beside the reference."""
    return {
        "resourceType": "Coverage",
        "id": "cov-1",
        "status": "active",
        "identifier": [{"type": MB, "value": member}],
        "beneficiary": {"reference": "Patient/pat-1"},
        "payor": [
            {
                "reference": "Organization/payer-1",
                "identifier": {"system": "https://payer.example.org/payer-id", "value": SLUGS[payer]},
            }
        ],
    }


def ehr_order(status: str = "active") -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": "order-1",
        "status": status,
        "intent": "order",
        "code": concept("http://www.ama-assn.org/go/cpt", "72141"),
        "subject": {"reference": "Patient/pat-1"},
        "authoredOn": "2026-11-23T10:00:00Z",
        "requester": {"reference": "Practitioner/doc-1"},
    }


def hook_request(member: str = "SYN-APPROVE-01", payer: str = "example-medicare") -> Resource:
    """An order-sign request in the 2.2 shape."""
    order = ehr_order()
    return {
        "hook": "order-sign",
        "hookInstance": str(uuid4()),
        "fhirServer": "https://gateway.example.org/payer-fhir",
        "fhirAuthorization": {
            "access_token": "short-lived",
            "token_type": "Bearer",
            "expires_in": 30,
            "scope": "patient/*.rs",
            "subject": "example-payer",
            "patient": "pat-1",
        },
        "context": {
            "userId": "Practitioner/doc-1",
            "patientId": "pat-1",
            "draftOrders": {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [{"fullUrl": "https://ehr.example.org/ServiceRequest/order-1", "resource": order}],
            },
        },
        "prefetch": {
            "patient": {"resourceType": "Patient", "id": "pat-1"},
            "coverage": {
                "resourceType": "Bundle",
                "type": "searchset",
                "entry": [{"resource": ehr_coverage(member, payer)}],
            },
        },
        "extension": {
            "davinci-crd.requestedVersion": "2.2",
            "davinci-crd.configuration": {"coverage-info": True, "unsolicited-determ": True, "cost": False},
        },
    }


def package_request(member: str = "SYN-APPROVE-01", context: str = "") -> Resource:
    """$questionnaire-package parameters in the 2.2 shape."""
    parameters: list[Resource] = [
        {"name": "coverage", "resource": ehr_coverage(member)},
        {"name": "order", "resource": ehr_order()},
    ]
    if context:
        parameters.append({"name": "context", "valueString": context})
    return {"resourceType": "Parameters", "parameter": parameters}


def as_old(found: Resource) -> Resource:
    """A request or inquiry Bundle in the 2.0.1 shape."""
    old = copy.deepcopy(found)
    for entry in old["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Claim":
            _claim_as_old(resource)
        elif resource["resourceType"] == "DocumentReference":
            resource.pop("meta")
    return old


def _claim_as_old(claim: Resource) -> None:
    claim.pop("extension", None)
    if "inquiry" not in claim["meta"]["profile"][0]:
        claim["meta"] = {"profile": [f"{PAS}profile-claim-update"]}
    for info in claim.get("supportingInfo", []):
        info.pop("extension", None)


def old_update(prior: Resource, sequences: tuple[int, ...]) -> Resource:
    """A 2.0.1 update of a 2.0.1 request: the prior is named, not brought along."""
    changed = copy.deepcopy(prior)
    claim = changed["entry"][0]["resource"]
    named = claim["identifier"][0]
    claim["identifier"] = [{"system": named["system"], "value": f"PA-{uuid4()}"}]
    relationship = concept("http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship", "prior")
    claim["related"] = [{"claim": {"identifier": named}, "relationship": {**relationship, "text": "replaces"}}]
    for item in claim["item"]:
        if item["sequence"] in sequences:
            mark_cancelled(item)
    changed["entry"][0]["fullUrl"] = new_url()
    changed["identifier"]["value"] = f"TXN-{uuid4()}"
    return changed


def old_hook_request(member: str = "SYN-APPROVE-01") -> Resource:
    """An order-sign request in the 2.0.1 shape."""
    body = hook_request(member)
    body.pop("extension")
    body["context"]["draftOrders"]["entry"][0]["resource"] = ehr_order("draft")
    mr = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    body["prefetch"]["patient"]["identifier"] = [{"type": mr, "system": "urn:example:mrn", "value": "MRN-1"}]
    return body
