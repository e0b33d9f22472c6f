"""CRD: the order-sign service of the simulated payers.

Answers are systemActions with coverage-information and nothing else; `cards` is always there and always empty.
Source: spec/crd.md §6 (configuration), §7 (response).
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
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.hook_checks import (
    CONFIGURATION_KEY,
    HookFault,
    check_hook,
    coverages,
    draft_orders,
)
from payer_endpoints.harness.hook_rules import rules_of
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.reading import as_object, as_text, at, member_id, type_of
from payer_endpoints.harness.scenarios import Scenario, ScenarioBook


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

    def call(self, payer: Payer, guide: Guide, body: Json, message: int) -> HookAnswer:
        """Answer one request."""
        faults = check_hook(body, payer, rules_of(guide))
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
            self._action(payer, guide, order, coverages(body)[0], unsolicited)
            for order in draft_orders(body)
            if type_of(order) in names.ORDER_TYPES
        ]
        return HookAnswer(body={"cards": [], "systemActions": actions})

    def _action(self, payer: Payer, guide: Guide, order: Json, coverage: Json, unsolicited: bool) -> dict[str, Any]:
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
            guide,
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
