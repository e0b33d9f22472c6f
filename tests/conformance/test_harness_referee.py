"""Everything the simulated payers emit, in every scenario and both generations, before the HL7 validator.

Skipped where Java or the referee's packages are absent.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from payer_endpoints.harness.scenarios import Scenario, load_scenarios
from tests.harness_case import ENDPOINT, Case, MailBox, running, wait_for, write_form
from tests.harness_messages import (
    Resource,
    as_old,
    attachment,
    cancel_bundle,
    document_reference,
    hook_request,
    inquiry_bundle,
    old_hook_request,
    old_update,
    package_request,
    request_bundle,
    sealed_document,
    subscription,
)
from tests.referee import require_referee

CRD_ORDER = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/profile-servicerequest"
PAS_ORDER = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/profile-servicerequest"

CANCELLED = ("approved", "modified", "mixed")
INQUIRED = ("approved", "modified", "pended-information")
GUIDE_FAULTS: dict[str, tuple[str, ...]] = {
    "": ("purpose-named",),
    "/2.0.1": ("not-covered", "member-not-found"),
}
"""Answers that are meant so and that the guide's own invariants refuse: crd-ci-q4 of 2.2.1 fails for every `withpa`,
and crd-ci-q2 of 2.0.1 for every `not-covered` without pa-needed (a where() without exists() in both)."""


class Collected:
    """Writes every emitted resource to its own file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(self, name: str, resource: Resource) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(resource))


def payer_of(scenario: Scenario) -> str:
    return "example-medicare" if scenario.payer == "*" else scenario.payer


def member_of(scenario: Scenario) -> str:
    return scenario.member_ids[0] if scenario.member_ids else "SYN-SOMEBODY"


def answered(reply: httpx.Response) -> Resource:
    assert reply.status_code == 200, reply.text
    found: Resource = reply.json()
    return found


def claims(
    case: Case, scenario: Scenario, out: Collected, prefix: str, form: Callable[[Resource], Resource]
) -> Resource:
    """Submit, documents and inquiry of one scenario; the request as it was sent."""
    payer, member = payer_of(scenario), member_of(scenario)
    base = f"/{payer}{prefix}/fhir"
    codes = ("72141", "72156") if scenario.id in CANCELLED else ("72141",)
    sent = form(request_bundle(member, payer, codes=codes, document=b"%PDF-1.7", media_type="application/pdf"))
    answer = answered(case.post(f"{base}/Claim/$submit", sent))
    out.add(f"{scenario.id}-answer", answer)
    for entry in answer["entry"]:
        if entry["resource"]["resourceType"] == "CommunicationRequest":
            tracking = entry["resource"]["identifier"][0]["value"]
            paper = document_reference("Patient/1", sealed_document())
            answered(case.post(f"{base}/$submit-attachment", attachment(member, tracking, paper)))
    if scenario.id in INQUIRED:
        found = answered(case.post(f"{base}/Claim/$inquire", form(inquiry_bundle(member, payer))))
        returned = [found] if prefix else [parameter["resource"] for parameter in found.get("parameter", [])]
        for place, bundle in enumerate(returned):
            out.add(f"{scenario.id}-inquiry-{place}", bundle)
    return sent


def cancel(case: Case, scenario: Scenario, out: Collected, prefix: str, sent: Resource) -> None:
    """Take the first item back."""
    body = old_update(sent, (1,)) if prefix else cancel_bundle(sent, (1,))
    path = f"/{payer_of(scenario)}{prefix}/fhir/Claim/$submit"
    out.add(f"{scenario.id}-cancelled", answered(case.post(path, body)))


def orders(case: Case, scenario: Scenario, out: Collected, prefix: str) -> None:
    """The annotated order of one scenario."""
    payer, member = payer_of(scenario), member_of(scenario)
    body = old_hook_request(member) if prefix else hook_request(member, payer)
    body["prefetch"]["coverage"]["entry"][0]["resource"]["payor"][0].pop("identifier")
    order = body["context"]["draftOrders"]["entry"][0]["resource"]
    order["meta"] = {"profile": [CRD_ORDER if prefix else PAS_ORDER]}
    answer = answered(case.post(f"/{payer}{prefix}/cds-services/order-sign-coverage", body))
    out.add(f"{scenario.id}-order", answer["systemActions"][0]["resource"])


def packages(case: Case, out: Collected) -> None:
    """2.0.1 packages (2.2 has no validator package here)."""
    for member in ("SYN-APPROVE-01", "SYN-CONDITIONAL-01"):
        path = "/example-medicare/2.0.1/fhir/Questionnaire/$questionnaire-package"
        out.add(f"{member}-package", answered(case.post(path, package_request(member))))


def collect(tmp_path: Path, prefix: str, form: Callable[[Resource], Resource]) -> Collected:
    out = Collected(tmp_path / "emitted")
    mail = MailBox()
    scenarios = list(load_scenarios().by_id.values())
    with running(mail, forms=write_form(tmp_path / "forms"), slow_seconds=0) as case:
        body = subscription(ENDPOINT)
        body["_criteria"]["extension"][0]["valueString"] = "org-identifier=1234567893"
        case.post(f"/example-medicare{prefix}/fhir/Subscription", body)
        for scenario in distinct(scenarios, lambda row: row.crd.model_dump_json()):
            if scenario.id not in GUIDE_FAULTS[prefix]:
                orders(case, scenario, out, prefix)
        if prefix:
            packages(case, out)
        asked = distinct(scenarios, lambda row: f"{row.submit!r}{row.notify!r}")
        sent = [claims(case, scenario, out, prefix, form) for scenario in asked]
        told = sum(scenario.notify is not None for scenario in asked)
        wait_for(lambda: len(mail.events()) == told)
        for scenario, request in zip(asked, sent, strict=True):
            if scenario.id in CANCELLED:
                cancel(case, scenario, out, prefix, request)
    for place, message in enumerate([*mail.of_type("handshake")[:1], *mail.events()]):
        out.add(f"notification-{place}", message)
    return out


def distinct(scenarios: list[Scenario], key: Callable[[Scenario], str]) -> list[Scenario]:
    """One scenario of each kind of answer."""
    return list({key(scenario): scenario for scenario in reversed(scenarios)}.values())


def judge(shared: Path, preset: str, out: Collected, *packages: str) -> None:
    referee = require_referee()
    extra = [word for package in packages for word in ("--ig", package)]
    command = [str(referee), "--preset", preset, *extra, str(out.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)
    wrong = [line for line in done.stdout.splitlines() if not line.startswith(("ok ", "#"))]
    assert done.returncode == 0, "\n".join(wrong[:60]) + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.requirement("pas:spec-1")
def test_what_is_emitted_in_2_2_has_no_error(shared: Path, tmp_path: Path) -> None:
    judge(shared, "pas-2.2.1", collect(tmp_path, "", lambda bundle: bundle))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_is_emitted_in_2_0_1_has_no_error(shared: Path, tmp_path: Path) -> None:
    out = collect(tmp_path, "/2.0.1", as_old)
    judge(shared, "pas-2.0.1", out, "hl7.fhir.us.davinci-crd#2.0.1", "hl7.fhir.us.davinci-dtr#2.0.1")
