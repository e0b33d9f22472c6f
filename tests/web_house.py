"""A small house for the tests of the staff pages: real store, real flows, hand-made cases, a browser in process."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from pydantic import SecretStr

import provenance
from gateway.api import cases as api_cases
from gateway.api.errors import install_error_handlers
from gateway.cases.facts import Facts, FormFact, read_facts
from gateway.cases.states import CaseState
from gateway.clinical.rules import load_concepts
from gateway.clock import FixedClock
from gateway.fhir.json import dump_json
from gateway.flows import forms, ledger
from gateway.flows.actors import GATEWAY
from gateway.flows.ledger import Act, Item, NewCase
from gateway.flows.services import NPI, Services
from gateway.flows.subjects import case_task
from gateway.jobs.memory import MemoryJobs
from gateway.settings import Settings
from gateway.store import Store
from gateway.store.rows import CaseRow
from gateway.web import pages
from payer_endpoints.directory import load_directory

NOW = datetime(2026, 3, 16, 17, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
BASE = "http://gateway.test"
EHR = "https://ehr.example.org/fhir"
CORE = "http://hl7.org/fhir/StructureDefinition/"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"versionId": "3"},
    "text": {
        "status": "generated",
        "div": '<div xmlns="http://www.w3.org/1999/xhtml"><a href=" java&#10;script:alert(1)">Zzyxqa</a>'
        "<script>alert(1)</script></div>",
    },
    "identifier": [{"type": {"coding": [{"code": "MR"}]}, "system": "urn:example:mrn", "value": "MRN-4711"}],
    "name": [{"use": "official", "family": "Zzyxqa", "given": ["Canary"]}],
    "gender": "female",
    "birthDate": "2012-02-19",
}
ORDER: dict[str, Any] = {
    "resourceType": "ServiceRequest",
    "id": "o1",
    "meta": {"versionId": "1"},
    "status": "active",
    "intent": "order",
    "authoredOn": "2026-03-14T10:00:00-07:00",
    "subject": {"reference": "Patient/p1"},
}
COVERAGE: dict[str, Any] = {"resourceType": "Coverage", "id": "c1", "status": "active", "subscriberId": "S-1"}
DOCUMENT: dict[str, Any] = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "status": "current",
    "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}], "text": "Progress note"},
    "date": "2026-03-10T09:00:00Z",
    "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}],
}
SIDES = [
    {"valueCoding": {"system": "urn:s", "code": code, "display": text}}
    for code, text in (("l", "Left"), ("r", "Right"))
]
QUESTIONNAIRE: dict[str, Any] = {
    "resourceType": "Questionnaire",
    "url": "http://payer.example.org/Questionnaire/spine",
    "version": "1.0.0",
    "title": "Spine imaging <b>request</b>",
    "status": "active",
    "item": [
        {
            "linkId": "g",
            "text": "About the patient",
            "type": "group",
            "item": [
                {
                    "linkId": "born",
                    "text": "Date of birth",
                    "type": "date",
                    "required": True,
                    "extension": [
                        {
                            "url": f"{SDC}initialExpression",
                            "valueExpression": {"language": "text/fhirpath", "expression": "%patient.birthDate"},
                        }
                    ],
                },
                {"linkId": "weeks", "text": "Weeks of symptoms", "type": "integer", "required": True},
                {"linkId": "hurts", "text": "Pain at night", "type": "boolean", "required": True},
            ],
        },
        {
            "linkId": "side",
            "text": "Side",
            "type": "choice",
            "answerOption": SIDES,
        },
        {"linkId": "note", "text": "Anything else", "type": "text"},
        {"linkId": "dose", "text": "Dose", "type": "quantity"},
        {"linkId": "ratio", "text": "Ratio", "type": "decimal"},
    ],
}


def settings(folder: Path, base_url: str = BASE) -> Settings:
    """Settings with three people, two tenants and one EHR."""
    hashed = _hashed()
    return Settings.model_validate(
        {
            "server": {"base_url": base_url},
            "store": {"url": f"sqlite:///{folder / 'gateway.db'}"},
            "tenant": {"id": "main", "name": "Example Clinic"},
            "ehr": {"ehr": {"base_url": EHR}},
            "clients": {
                "sam": {"password_argon2": hashed, "roles": ["staff"], "name": "Sam Staff"},
                "cleo": {"password_argon2": hashed, "roles": ["clinician"], "name": "Cleo Clinician"},
                "ada": {"password_argon2": hashed, "roles": ["auditor"], "name": "Ada Auditor"},
                "otto": {"password_argon2": hashed, "roles": ["staff"], "tenant": "other", "name": "Otto Other"},
                "machine": {"secret_sha256": hashlib.sha256(b"machine-secret").hexdigest(), "roles": ["system"]},
            },
            "session_secret": SecretStr("test-secret"),
        }
    )


@functools.cache
def _hashed() -> str:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@functools.cache
def _ring() -> provenance.KeyRing:
    """Made once per run: RSA keys take a while."""
    folder = Path(tempfile.mkdtemp(prefix="pa-web-keys-")) / "keys"
    made_at = NOW - timedelta(days=30)
    return provenance.KeyRing.create(folder, "Example Clinic", NPI, "1234567893", made_at, allow_development=True)


@functools.cache
def _empty_database() -> Path:
    """Migrated once per run; each house gets a copy."""
    folder = Path(tempfile.mkdtemp(prefix="pa-web-db-"))
    Store.open(f"sqlite:///{folder / 'empty.db'}").close()
    return folder / "empty.db"


def open_house(folder: Path, base_url: str = BASE) -> Services:
    """Services over a new SQLite file; jobs stay in memory and do not run."""
    clock = FixedClock(NOW)
    chosen = settings(folder, base_url)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    shutil.copy(_empty_database(), folder / "gateway.db")
    return Services(
        settings=chosen,
        store=Store.open(chosen.store.url, create=False, clock=clock),
        jobs=MemoryJobs(clock),
        clock=clock,
        keys=_ring(),
        directory=load_directory(),
        rules=(),
        concepts=load_concepts(),
        secret=b"test-secret",
    )


def application(services: Services) -> FastAPI:
    """The pages, with the case routes of the API behind them."""
    app = FastAPI(docs_url=None, redoc_url=None)
    app.state.services = services
    install_error_handlers(app)
    app.include_router(api_cases.router)
    pages.install(app)
    return app


def add_case(services: Services, state: str = "received", facts: Facts | None = None, **fields: Any) -> CaseRow:
    """A case with its first two events, and then in any state, with the facts given."""
    case_id = services.new_id()
    row = CaseRow(
        tenant_id=fields.pop("tenant_id", "main"),
        case_id=case_id,
        order_key=case_id,
        state="received",
        created_at=services.clock.now(),
        updated_at=services.clock.now(),
        ehr_id="ehr",
        order_reference="ServiceRequest/o1",
        patient_reference="Patient/p1",
        coverage_reference="Coverage/c1",
        payer="example-open",
        case_tag=services.new_case_tag(),
        service_code="72141",
        service_display="MRI cervical spine without contrast",
        patient_label="Zzyxqa, Canary",
        patient_mrn="MRN-4711",
        patient_birth_on=date(2012, 2, 19),
    )
    body = dump_json(ORDER)
    draft = NewCase(
        row=row,
        facts=Facts(),
        actor=GATEWAY,
        task=case_task(row),
        order=body,
        order_address=f"{EHR}/ServiceRequest/o1",
        body=body,
        body_type="application/fhir+json",
    )
    ledger.open_cases(services, [draft])
    changes = {"state": state, **fields, "facts": (facts or Facts()).to_text()}
    with services.store.begin() as tx:
        return tx.cases.update(row.tenant_id, case_id, 1, **changes)


def with_chart(services: Services, case: CaseRow, *resources: Mapping[str, Any], **facts: Any) -> CaseRow:
    """The case after its chart was read."""
    read = [PATIENT, ORDER, COVERAGE, *resources]
    items = tuple(Item.resource(f"{EHR}/{one['resourceType']}/{one['id']}/_history/1", dump_json(one)) for one in read)
    lines = [
        {
            "reference": f"{one['resourceType']}/{one['id']}",
            "version": "1",
            "full_url": f"{EHR}/{one['resourceType']}/{one['id']}",
            "digest": item.digest,
        }
        for one, item in zip(read, items, strict=True)
    ]
    manifest = dump_json({"resources": lines, "exchanges": [], "findings": []})
    known = _facts(case)
    return ledger.append(
        services,
        case,
        Act(verb="ehr-extract", about=items, sources=(Item.body(manifest, "application/json"),)),
        facts=replace(known, snapshot=hashlib.sha256(manifest).hexdigest(), **facts),
    )


def with_form(
    services: Services, case: CaseRow, questionnaire: Mapping[str, Any] = QUESTIONNAIRE, *more: Mapping[str, Any]
) -> CaseRow:
    """The case with a payer form, filled from the chart, that waits for people. `more` is in its package too."""
    entries = [{"resource": one} for one in (questionnaire, *more)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    package = Item.body(dump_json(bundle))
    form = FormFact(
        form_id="1",
        canonical=f"{questionnaire['url']}|{questionnaire['version']}",
        title=str(questionnaire["title"]),
        package=package.digest,
        position=0,
    )
    facts = replace(_facts(case), forms_fetched=True, forms=(form,), need_action="document_then_submit")
    received = Act(verb="form-receive", about=(package,), payer="Example Open Access")
    case = ledger.append(services, case, received, facts=facts)
    return forms.populate_next(services, case, facts)


def documenting(services: Services, **fields: Any) -> CaseRow:
    """A case whose form waits for a person."""
    case = add_case(services, CaseState.DOCUMENTING.value, move="us", **fields)
    return with_form(services, with_chart(services, case))


def _facts(case: CaseRow) -> Facts:
    return read_facts(case.facts)


class Browser:
    """A browser without scripts: keeps cookies, sends what browsers send, fills in forms."""

    def __init__(self, app: FastAPI, base_url: str = BASE) -> None:
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.base_url = base_url
        self.cookies = httpx.Cookies()

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request as a browser would send it; `headers` replace its own."""
        headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", **more.pop("headers", {})}

        async def once() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url=self.base_url, cookies=self.cookies
            ) as client:
                response = await client.request(method, path, headers=headers, **more)
                self.cookies = client.cookies
                return response

        return asyncio.run(once())

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Open a page."""
        return self.send("GET", path, **more)

    def post(self, path: str, fields: Mapping[str, str | Sequence[str]], **more: Any) -> httpx.Response:
        """Post fields as they are, from one of our own pages."""
        headers = {"Sec-Fetch-Site": "same-origin", **more.pop("headers", {})}
        return self.send("POST", path, data=dict(fields), headers=headers, **more)

    def submit(self, path: str, action: str, fields: Mapping[str, str | Sequence[str]]) -> httpx.Response:
        """Open a page and post its form to `action`, hidden fields included."""
        page = self.get(path)
        found = re.search(rf'<form[^>]*action="{re.escape(action)}(?:\?[^"]*)?".*?</form>', page.text, re.DOTALL)
        assert found, f"no form for {action} on {path}: {page.status_code}"
        hidden: dict[str, Any] = {}
        for tag in re.findall(r'<input type="hidden"[^>]*>', found.group()):
            name, value = (unescape(re.search(rf'{part}="([^"]*)"', tag).group(1)) for part in ("name", "value"))  # type: ignore[union-attr]
            hidden.setdefault(name, []).append(value)
        return self.post(action, {**hidden, **fields})

    def sign_in(self, user: str = "sam", password: str = PASSWORD, wanted: str = "/") -> httpx.Response:
        """Sign in."""
        return self.post("/sign-in", {"user": user, "password": password, "next": wanted})
