"""Faults of a payer's form, told to the payer: what is reported, when, and that it was (`$log-questionnaire-errors`).

A report is built from an allow-list and holds nothing of the patient (gateway.profiles.dtr_errors). It goes to the
payer whose package it was, after everything else of the case: it never holds anybody up, and one that cannot be
delivered is given up (spec/dtr.md §9; dtr:spec-78, spec-124, oper-1, oper-2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.cases.facts import Facts, FormFact
from gateway.clients.payer import Exchange
from gateway.errors import PayerRejected
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.ledger import FHIR_JSON, Act, Item
from gateway.flows.services import Services
from gateway.forms.populate import Draft
from gateway.forms.session import EXPIRED
from gateway.profiles.dtr_errors import FormIssue, build_error_report
from gateway.store.rows import CaseRow

APPLICATION = "davinci-pa-gateway"
"""Name under which the gateway reports."""


def noted(services: Services, form: FormFact, draft: Draft, evaluator: object = None) -> tuple[FormFact, list[Any]]:
    """The form with the report that its faults call for, and the bytes to keep beside the event.

    Faults that were reported before make no second report; a form without any has none.
    `evaluator` is what ran the form's logic: it knows where in a library an error lies.
    """
    issues = sorted(issues_of(draft, evaluator), key=lambda one: (one.link_id, one.code, one.library, one.define))
    faults = hashlib.sha256(repr(issues).encode()).hexdigest() if issues else ""
    if faults == form.faults:
        return form, []
    if not issues:
        return replace(form, faults="", report=""), []
    body = dump_json(
        build_error_report(
            form.canonical,
            issues,
            application=f"{APPLICATION} {services.version}",
            provider=services.settings.server.base_url.rstrip("/"),
            now=services.clock.now(),
        )
    )
    return replace(form, faults=faults, report=hashlib.sha256(body).hexdigest()), [(body, FHIR_JSON)]


def issues_of(draft: Draft, evaluator: object = None) -> Iterator[FormIssue]:
    """What of a populated form is reported: its problems, each with its place, and why it cannot be completed."""
    if EXPIRED in draft.blockers:
        yield FormIssue(code="form.expired")
    if any(sentence != EXPIRED for sentence in draft.blockers):
        yield FormIssue(code="form.content")
    places = _places(getattr(evaluator, "failures", {}))
    for problem in draft.problems:
        code, locator = places.get(problem.define, ("", "")) if problem.code == "logic.failed" else ("", "")
        yield FormIssue(
            code=code or problem.code,
            link_id=problem.link_id.partition("@")[0],
            library=problem.library,
            define=problem.define,
            locator=locator,
        )


def _places(failures: Mapping[Any, Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """(code of the error, its locator) by define, as the engine tells them."""
    return {
        str(key[0]): (str(found.get("code") or ""), str((found.get("frame") or {}).get("locator") or ""))
        for key, found in failures.items()
    }


def waiting(forms: Iterable[FormFact]) -> FormFact | None:
    """The first form of which a report waits to be sent; None when there is none."""
    return next((form for form in forms if form.report), None)


def send(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Send one waiting report and record it. Raises PayerError where it is worth another try."""
    form = waiting(facts.forms)
    assert form is not None
    body = ledger.load_object(services, case, form.report)
    exchange = services.payer(case.payer).log_errors(body)
    if not exchange.is_success and _may_pass(exchange):
        raise PayerRejected(
            f"The payer did not take the report about its form (HTTP {exchange.status}).",
            http_answer=exchange.status,
            body=exchange.response_bytes,
            retry_after_seconds=exchange.retry_after_seconds,
        )
    received = exchange.response_bytes
    act = Act(
        verb="form-receive",
        about=(Item.body(received, exchange.media_type or FHIR_JSON) if received else Item.body(body),),
        sources=(Item.body(body),),
        payer=services.payer_row(case.payer).name if received else "",
        note={"form": form.title[:200], "kind": "error-report", "http_status": exchange.status},
    )
    changed = facts.succeeded("report-form-errors").with_form(replace(form, report=""))
    return ledger.append(services, case, act, facts=changed)


def given_up(services: Services, facts: Facts) -> Facts:
    """The facts without the report that could not be delivered; the faults stay known, so none is made anew."""
    form = waiting(facts.forms)
    kept = facts.succeeded("report-form-errors")
    return kept.with_form(replace(form, report="")) if form is not None else kept


def _may_pass(exchange: Exchange) -> bool:
    return exchange.status in (401, 408, 429) or exchange.status >= 500
