"""Signatures that a form demands: asked for, made over what is sent, and checkable."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from gateway.cases.facts import read_facts
from gateway.cases.states import CaseState
from gateway.errors import AccessError, InputError
from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import forms, ledger
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.forms.complete import complete
from gateway.forms.signatures import signed_bytes
from gateway.forms.view import form_view
from gateway.store.rows import CaseRow
from provenance.canonical import jcs
from provenance.jws import fits, read_detached
from tests.form_samples import AUTHOR, CORE, LAUNCH, NOW, answered, filled, form, item, package
from tests.web_house import Browser, add_case, application, open_house, with_chart, with_form

KIND = {"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.5"}
SIGNED = {"url": f"{CORE}questionnaire-signatureRequired", "valueCodeableConcept": {"coding": [KIND]}}
URL = f"{CORE}questionnaireresponse-signature"
SAM = Actor(id="sam", kind="user", tenant="main", roles=("staff",), name="Sam Staff", practitioner="Practitioner/sam")


def stamp(body: bytes, kinds: Any) -> dict[str, Any]:
    return {"type": list(kinds), "data": base64.b64encode(body).decode()}


def signature(element: Any) -> dict[str, Any]:
    (found,) = [one["valueSignature"] for one in element["extension"] if one["url"] == URL]
    return dict(found)


@pytest.mark.requirement("dtr:conf-6")
def test_a_form_that_demands_a_signature_says_so_and_waits_for_it() -> None:
    parts = package(form(item("a", "string"), extension=[SIGNED]))
    draft = answered(parts, filled(parts), a="one")
    view = form_view(parts, draft, launch=LAUNCH)
    assert (view.is_signature_wanted, view.blockers, view.can_be_completed) == (True, (), True)
    with pytest.raises(InputError, match="demands a signature") as refused:
        complete(parts.questionnaire, draft.response, AUTHOR, NOW)
    assert refused.value.reason == "form.signature"


def test_a_signature_covers_the_response_without_signatures() -> None:
    parts = package(form(item("a", "string", SIGNED), item("b", "string"), extension=[SIGNED]))
    draft = answered(parts, answered(parts, filled(parts), a="one"), b="two")
    done = complete(parts.questionnaire, draft.response, AUTHOR, NOW, sign=stamp)
    whole, one = signature(done), signature(done["item"][0])
    assert whole["type"] == one["type"] == [KIND]
    bare = copy.deepcopy(done)
    bare["extension"] = [ext for ext in bare["extension"] if ext["url"] != URL]
    del bare["item"][0]["extension"]
    assert parse_json(base64.b64decode(whole["data"])) == bare
    assert parse_json(base64.b64decode(one["data"])) == bare["item"][0]
    assert "extension" not in done["item"][1]


def test_an_item_that_is_switched_off_needs_no_signature() -> None:
    off = item("a", "string", SIGNED, enableWhen=[{"question": "b", "operator": "exists", "answerBoolean": True}])
    questionnaire = form(off, item("b", "string"))
    assert complete(questionnaire, filled(package(questionnaire)).response, AUTHOR, NOW)["status"] == "completed"


def test_a_form_without_the_demand_is_never_signed() -> None:
    questionnaire = form(item("a", "string"))
    done = complete(questionnaire, filled(package(questionnaire)).response, AUTHOR, NOW, sign=stamp)
    assert URL not in dump_json(done).decode()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    return open_house(tmp_path_factory.mktemp("signing") / "house")


def waiting(services: Services) -> CaseRow:
    case = add_case(services, CaseState.DOCUMENTING.value, move="us")
    questionnaire = form(item("a", "decimal"), extension=[SIGNED])
    case = with_form(services, with_chart(services, case), questionnaire)
    forms.fill(services, SAM, case.case_id, "1", {"a": ["87.50"]})
    return case


def stored(services: Services, case: CaseRow) -> bytes:
    now = ledger.load(services, case.tenant_id, case.case_id)
    return ledger.load_object(services, now, read_facts(now.facts).forms[0].response)


def test_a_persons_signature_can_be_checked_by_whoever_gets_the_response(services: Services) -> None:
    case = waiting(services)
    forms.complete(services, SAM, case.case_id, "1", signed=True)
    body = stored(services, case)
    assert check_structure(body) == []
    done = parse_json(body)
    made = signature(done)
    assert made["who"]["identifier"]["value"] == services.settings.tenant.npi
    assert made["onBehalfOf"] == {"reference": "Practitioner/sam", "display": "Sam Staff"}
    assert made["sigFormat"] == "application/jose"
    jws = read_detached(base64.b64decode(made["data"]).decode())
    leaf = x509.load_der_x509_certificate(base64.b64decode(jws.header["x5c"][0]))
    assert fits(jws, jcs(signed_bytes(done)), leaf.public_key())
    changed = parse_json(body.replace(b"87.50", b"87.51"))
    assert not _fits(jws, jcs(signed_bytes(changed)), leaf)


def _fits(jws: Any, payload: bytes, leaf: x509.Certificate) -> bool:
    try:
        return fits(jws, payload, leaf.public_key())
    except InvalidSignature:
        return False


def test_only_a_person_signs(services: Services) -> None:
    case = waiting(services)
    robot = Actor(id="robot", kind="client", tenant="main", roles=("staff",))
    with pytest.raises(AccessError):
        forms.complete(services, robot, case.case_id, "1", signed=True)


def test_the_page_asks_for_the_signature_and_ticks_nothing(services: Services) -> None:
    case = waiting(services)
    browser = Browser(application(services))
    browser.sign_in()
    path = f"/cases/{case.case_id}/forms/1"
    assert "demands a signature" in browser.get(path).text
    page = browser.get(f"{path}/complete").text
    tick = page.partition('name="sign"')[0].rpartition("<")[2] + page.partition('name="sign"')[2].partition(">")[0]
    assert "checkbox" in tick
    assert "checked" not in tick
    refused = browser.submit(f"{path}/complete", f"{path}/complete", {})
    assert refused.status_code == 422
    assert "demands a signature" in refused.text
    assert browser.submit(f"{path}/complete", f"{path}/complete", {"sign": "yes"}).status_code == 303
    assert signature(parse_json(stored(services, case)))["onBehalfOf"]["display"]
