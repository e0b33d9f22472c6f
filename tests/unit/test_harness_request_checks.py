"""Each rule of a PAS request, broken one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from payer_endpoints.harness.config import PAYERS
from payer_endpoints.harness.request_checks import check_request, is_npi
from tests.harness_messages import Resource, cancel_bundle, entry_of, mark_cancelled, request_bundle, sealed_document

Change = Callable[[Resource], Any]


def claim(bundle: Resource) -> Resource:
    return entry_of(bundle, "Claim")[1]


def item(bundle: Resource) -> Resource:
    found: Resource = claim(bundle)["item"][0]
    return found


def resource(bundle: Resource, kind: str) -> Resource:
    return entry_of(bundle, kind)[1]


def drop_extension(element: Resource, word: str) -> None:
    element["extension"] = [e for e in element["extension"] if word not in e["url"]]


def swap_entries(bundle: Resource) -> None:
    bundle["entry"].reverse()


def drop_entry(bundle: Resource, kind: str) -> None:
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != kind]


def add_stranger(bundle: Resource) -> None:
    url = "urn:uuid:11111111-1111-4111-8111-111111111111"
    bundle["entry"].append({"fullUrl": url, "resource": {"resourceType": "Observation", "status": "final"}})


BREACHES: list[tuple[str, Change, str]] = [
    ("not a Bundle", lambda b: b.update(resourceType="Parameters"), "Bundle"),
    ("transaction", lambda b: b.update(type="transaction"), "Bundle.type"),
    ("no identifier", lambda b: b.pop("identifier"), "Bundle.identifier"),
    ("identifier without system", lambda b: b["identifier"].pop("system"), "Bundle.identifier"),
    ("timestamp without zone", lambda b: b.update(timestamp="2026-11-23T10:00:05"), "Bundle.timestamp"),
    ("no bundle profile", lambda b: b.pop("meta"), "Bundle.meta.profile"),
    ("no entries", lambda b: b.update(entry=[]), "Bundle.entry"),
    ("entries are no list", lambda b: b.update(entry={"a": 1}), "Bundle.entry"),
    ("claim not first", swap_entries, "Bundle.entry[0]"),
    ("entry.request", lambda b: b["entry"][0].update(request={}), "Bundle.entry[0].request"),
    ("upper case urn", lambda b: b["entry"][0].update(fullUrl=b["entry"][0]["fullUrl"].upper()), "Bundle.entry[0]"),
    ("same fullUrl twice", lambda b: b["entry"].append(b["entry"][1]), "fullUrl"),
    ("entry without resource", lambda b: b["entry"][1].pop("resource"), "Bundle.entry[1].resource"),
    ("reference to nothing", lambda b: drop_entry(b, "QuestionnaireResponse"), "valueReference"),
    ("an entry nobody refers to", add_stranger, "Bundle.entry[8]"),
    ("relative reference", lambda b: claim(b).update(patient={"reference": "Patient/1"}), "patient"),
    ("claim without profile", lambda b: claim(b).pop("meta"), "meta.profile"),
    ("claim without identifier", lambda b: claim(b).pop("identifier"), "identifier"),
    ("claim status", lambda b: claim(b).update(status="cancelled"), "status"),
    ("claim use", lambda b: claim(b).update(use="claim"), "use"),
    ("claim type", lambda b: claim(b)["type"]["coding"][0].update(code="pharmacy"), "type"),
    ("no insurer", lambda b: claim(b).pop("insurer"), "insurer"),
    ("no priority", lambda b: claim(b).pop("priority"), "priority"),
    ("not focal", lambda b: claim(b)["insurance"][0].update(focal=False), "insurance"),
    ("information sequence twice", lambda b: claim(b)["supportingInfo"][1].update(sequence=1), "supportingInfo"),
    ("no documentInformation", lambda b: claim(b)["supportingInfo"][0].pop("extension"), "supportingInfo[0]"),
    ("information as text", lambda b: claim(b)["supportingInfo"][0].pop("valueReference"), "supportingInfo[0]"),
    ("information with timing", lambda b: claim(b)["supportingInfo"][0].update(timingDate="2026-01-01"), "timing"),
    ("care team without scope", lambda b: claim(b).update(careTeam=[{"sequence": 1}]), "careTeam[0]"),
    ("no request type", lambda b: drop_extension(item(b), "serviceItemRequestType"), "item[0].extension"),
    ("no certification type", lambda b: drop_extension(item(b), "certificationType"), "item[0].extension"),
    ("no category", lambda b: item(b).pop("category"), "category"),
    ("category of another system", lambda b: item(b)["category"]["coding"][0].update(system="urn:x"), "category"),
    ("no location", lambda b: item(b).pop("locationCodeableConcept"), "location"),
    ("service of another system", lambda b: item(b)["productOrService"]["coding"][0].update(system="urn:x"), "product"),
    ("time in a service date", lambda b: item(b)["servicedPeriod"].update(start="2026-12-01T00:00:00Z"), "serviced"),
    ("diagnosis that is not there", lambda b: item(b).update(diagnosisSequence=[9]), "diagnosisSequence"),
    ("cancelled without the flag", lambda b: mark_cancelled(item(b)) or item(b).pop("modifierExtension"), "item[0]"),
    ("no member number", lambda b: resource(b, "Coverage").pop("identifier"), "Coverage.identifier"),
    ("coverage cancelled", lambda b: resource(b, "Coverage").update(status="cancelled"), "Coverage.status"),
    ("no relationship", lambda b: resource(b, "Coverage").pop("relationship"), "Coverage"),
    ("patient without identifier", lambda b: resource(b, "Patient").pop("identifier"), "Patient.identifier"),
    ("patient without gender", lambda b: resource(b, "Patient").pop("gender"), "Patient"),
    ("partial birth date", lambda b: resource(b, "Patient").update(birthDate="1980"), "Patient.birthDate"),
    ("requestor not active", lambda b: resource(b, "Organization").update(active=False), "requestor"),
    ("wrong NPI", lambda b: resource(b, "Organization")["identifier"][0].update(value="1234567890"), "identifier"),
    ("another payer", lambda b: b["entry"][2]["resource"]["identifier"][0].update(value="SYN-OPEN-02"), "insurer"),
    ("document by url", lambda b: attachment(b).update(url="https://x.example/d"), "attachment.url"),
    ("document not base64", lambda b: attachment(b).update(data="%%%"), "attachment.data"),
]


def attachment(bundle: Resource) -> Resource:
    found: Resource = resource(bundle, "DocumentReference")["content"][0]["attachment"]
    return found


def breaches(bundle: Resource) -> list[str]:
    return [issue.at for issue in check_request(bundle, PAYERS[0]) if issue.severity == "error"]


def test_a_good_request_has_no_finding() -> None:
    assert check_request(request_bundle(codes=("72141", "72156")), PAYERS[0]) == []


@pytest.mark.parametrize(("change", "place"), [pytest.param(c, p, id=name) for name, c, p in BREACHES])
def test_a_breach_is_found_at_its_place(change: Change, place: str) -> None:
    bundle = request_bundle()
    change(bundle)
    assert any(place in found for found in breaches(bundle)), breaches(bundle)


@pytest.mark.requirement("pas:spec-65")
def test_a_cancel_brings_its_prior_along() -> None:
    bundle = cancel_bundle(request_bundle())
    assert breaches(bundle) == []
    del bundle["entry"][1]
    assert any("related" in place for place in breaches(bundle))


@pytest.mark.requirement("pas:prof-5")
def test_an_update_that_drops_an_item_is_refused() -> None:
    bundle = cancel_bundle(request_bundle(codes=("72141", "72156")), (1,))
    claim(bundle)["item"].pop()
    assert "Claim.item" in breaches(bundle)


@pytest.mark.parametrize(
    ("document", "is_refused"),
    [
        pytest.param(sealed_document(), False, id="sealed"),
        pytest.param(sealed_document(signed=False), True, id="not signed"),
        pytest.param(b"{", True, id="not JSON"),
        pytest.param(b'{"a":1,"a":2}', True, id="a key twice"),
        pytest.param(json.dumps({"resourceType": "Patient"}).encode(), False, id="another resource: a warning"),
    ],
)
def test_a_sealed_document_is_opened(document: bytes, is_refused: bool) -> None:
    assert bool(breaches(request_bundle(document=document))) is is_refused


def test_a_form_inside_a_bundle_resolves_inside_or_outside() -> None:
    bundle = request_bundle()
    url, form = entry_of(bundle, "QuestionnaireResponse")
    inner = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": "urn:uuid:" + "0" * 8, "resource": form}],
    }
    entry = next(e for e in bundle["entry"] if e["fullUrl"] == url)
    entry["resource"] = inner
    assert breaches(bundle) == []
    form["author"] = {"reference": "urn:uuid:nowhere"}
    assert any("author" in place for place in breaches(bundle))


@pytest.mark.parametrize(
    ("number", "is_right"),
    [
        ("1234567893", True),
        ("1234567890", False),
        ("123456789", False),
        ("12345678931", False),
        ("", False),
        (None, False),
    ],
)
def test_check_digit_of_an_npi(number: Any, is_right: bool) -> None:
    assert is_npi(number) is is_right


@pytest.mark.parametrize("value", [None, 5, "x", [], [1], {"a": 1}, True])
@pytest.mark.parametrize("key", ["entry", "identifier", "meta", "timestamp", "type", "resourceType"])
def test_any_kind_of_value_is_survived(key: str, value: Any) -> None:
    assert breaches({**request_bundle(), key: value})


@pytest.mark.parametrize("value", [None, 5, "x", [], [[1]], {"a": 1}, [{"sequence": {"x": 1}}], [{"sequence": [1]}]])
@pytest.mark.parametrize(
    "key", ["item", "supportingInfo", "insurance", "related", "careTeam", "identifier", "extension", "patient", "meta"]
)
def test_any_kind_of_claim_element_is_survived(key: str, value: Any) -> None:
    bundle = request_bundle()
    claim(bundle)[key] = value
    check_request(bundle, PAYERS[0])
