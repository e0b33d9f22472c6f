"""CRD: discovery and the order-sign service of the simulated payers.

Answers are systemActions with coverage-information and nothing else; `cards` is always there and always empty.
Source: spec/crd.md §4 (discovery), §5 (prefetch), §6 (configuration), §7 (response).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.book import Assertion, Book
from payer_endpoints.harness.config import HarnessConfig, Payer
from payer_endpoints.harness.coverage_information import annotate, build_coverage_information, without_unsolicited
from payer_endpoints.harness.hook_checks import (
    CONFIGURATION_KEY,
    HookFault,
    HookRules,
    check_hook,
    coverages,
    draft_orders,
)
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.reading import as_object, as_text, at, member_id, type_of
from payer_endpoints.harness.scenarios import Scenario, ScenarioBook

SERVICE_ID = "order-sign-coverage"
_ROLE = (
    "PractitionerRole?_id={{context.draftOrders.entry.resource.ofType(ServiceRequest).requester.resolve()"
    ".ofType(PractitionerRole).id|context.draftOrders.entry.resource.ofType(DeviceRequest).requester.resolve()"
    ".ofType(PractitionerRole).id}}"
)
PREFETCH = {
    "patient": "Patient/{{context.patientId}}",
    "encounter": "Encounter/{{context.encounterId}}",
    "coverage": "Coverage?patient={{context.patientId}}&status=active",
    "practitionerRoles": _ROLE,
    "practitioners": "Practitioner?_id={{%practitionerRoles.entry.resource.ofType(PractitionerRole).practitioner"
    ".resolve().id|context.draftOrders.entry.resource.ofType(ServiceRequest).requester.resolve()"
    ".ofType(Practitioner).id}}",
    "organizations": "Organization?_id={{%practitionerRoles.entry.resource.ofType(PractitionerRole).organization"
    ".resolve().id|%coverage.entry.resource.ofType(Coverage).payor.resolve().ofType(Organization).id}}",
}
"""Templates in the 2.2 grammar: simple FHIRPath tokens, chained through earlier keys."""
_OPTIONS = (
    ("coverage-info", "Coverage information", "Whether the service is covered and what is needed for it."),
    ("unsolicited-determ", "Unsolicited determinations", "Authorizations given without being asked."),
    ("claim", "Claim", "Help with filling in claims."),
    ("cost", "Cost", "What the patient will pay."),
)
RULES = HookRules(
    hook="order-sign",
    versions=("2.2",),
    prefetch_keys=frozenset(PREFETCH),
    needs_access=True,
    draft_only=False,
    booleans=frozenset(code for code, _, _ in _OPTIONS),
)


def discovery() -> dict[str, Any]:
    """The service list."""
    options = [
        {"code": code, "type": "boolean", "name": name, "description": text, "default": True}
        for code, name, text in _OPTIONS
    ]
    service = {
        "hook": "order-sign",
        "id": SERVICE_ID,
        "title": "Coverage requirements",
        "description": "Coverage, prior authorization and documentation needs of the orders being signed.",
        "prefetch": PREFETCH,
        "extension": {"davinci-crd.version": ["2.2"], "davinci-crd.configuration-options": options},
    }
    return {"services": [service]}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookAnswer:
    """What the service answers: the response, or what is wrong."""

    body: dict[str, Any] | None
    faults: tuple[HookFault, ...] = ()


class Hooks:
    """The order-sign service of every payer. `canonicals` names the questionnaires of a scenario."""

    def __init__(
        self,
        config: HarnessConfig,
        scenarios: ScenarioBook,
        book: Book,
        ledger: Ledger,
        canonicals: Callable[[Scenario], list[str]],
    ) -> None:
        self._config, self._scenarios, self._book, self._ledger = config, scenarios, book, ledger
        self._canonicals = canonicals

    def call(self, payer: Payer, body: Json, message: int) -> HookAnswer:
        """Answer one request."""
        faults = check_hook(body, payer, RULES)
        self._ledger.find(payer.slug, "hook", message, *(fault.issue for fault in faults))
        refusing = tuple(fault for fault in faults if fault.issue.severity == "error")
        if refusing:
            return HookAnswer(body=None, faults=refusing)
        self._ledger.count(payer.slug, "hooks")
        configuration = as_object(at(body, "extension", CONFIGURATION_KEY))
        if configuration.get("coverage-info") is False:
            return HookAnswer(body={"cards": []})
        unsolicited = configuration.get("unsolicited-determ") is not False
        actions = [
            self._action(payer, order, coverages(body)[0], unsolicited)
            for order in draft_orders(body)
            if type_of(order) in names.ORDER_TYPES
        ]
        return HookAnswer(body={"cards": [], "systemActions": actions})

    def _action(self, payer: Payer, order: Json, coverage: Json, unsolicited: bool) -> dict[str, Any]:
        member = member_id(coverage)
        scenario = self._scenarios.choose(payer.slug, member)
        plan = scenario.crd if unsolicited else without_unsolicited(scenario.crd)
        reference = f"{type_of(order)}/{as_text(order.get('id'))}"
        assertion = str(uuid5(NAMESPACE_URL, "/".join((payer.slug, member, reference, plan.pa_needed))))
        self._book.keep_assertion(
            Assertion(payer=payer.slug, id=assertion, member=member, order=reference, scenario=scenario.id)
        )
        information = build_coverage_information(
            plan,
            coverage=f"Coverage/{as_text(coverage.get('id'))}",
            assertion_id=assertion,
            on=self._config.now().date(),
            questionnaires=self._canonicals(scenario),
        )
        return {
            "type": "update",
            "description": "Added coverage information.",
            "resource": annotate(order, information),
        }
