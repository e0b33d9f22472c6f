"""`ValueSet/$expand` of the simulated payers: the value sets of their forms, by canonical. Source: spec/dtr.md §7."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.form_shelf import FormShelf
from payer_endpoints.harness.ledger import Ledger
from payer_endpoints.harness.outcomes import Issue, errors_of
from payer_endpoints.harness.reading import as_objects, as_text, at, type_of

_URLS = ("valueUri", "valueUrl", "valueCanonical")
_NAMES = frozenset({"url", "filter"})


class Expansions:
    """The desk that lists codes, for every payer."""

    def __init__(self, ledger: Ledger, shelf: FormShelf) -> None:
        self._ledger, self._shelf = ledger, shelf

    def expand(self, payer: Payer, body: Json, message: int) -> tuple[dict[str, Any] | None, list[Issue]]:
        """(the value set with the codes that the filter leaves, []) or (None, what is wrong)."""
        canonical, text = read_request(body)
        issues = list(check_request(body))
        known = self._shelf.value_set(canonical) if canonical else None
        if canonical and known is None:
            issues.append(Issue(text="No such value set here.", code="not-found", at="Parameters.parameter"))
        self._ledger.find(payer.slug, "expand", message, *issues)
        if errors_of(issues) or known is None:
            return None, errors_of(issues)
        return filtered(known, text), []


def read_request(body: Json) -> tuple[str, str]:
    """(canonical, filter); empty where absent."""
    parameters = {as_text(one.get("name")): one for one in as_objects(body.get("parameter"))}
    url = parameters.get("url", {})
    return next((as_text(url[key]) for key in _URLS if key in url), ""), as_text(
        at(parameters, "filter", "valueString")
    )


def check_request(body: Json) -> Iterator[Issue]:
    """Everything wrong with the request's shape."""
    if type_of(body) != "Parameters":
        yield Issue(text="The body must be Parameters.", code="structure", at="Parameters")
        return
    named = [as_text(one.get("name")) for one in as_objects(body.get("parameter"))]
    if named.count("url") != 1 or not read_request(body)[0]:
        yield Issue(text="Exactly one url.", code="required", at="Parameters.parameter", source="dtr.md §7")
    if not _NAMES.issuperset(named):
        yield Issue(text="Only url and filter.", severity="warning", at="Parameters.parameter", source="dtr.md §7")


def filtered(value_set: Json, text: str) -> dict[str, Any]:
    """The value set with those of its codes whose words hold the text; all of them without one."""
    listed = as_objects(at(value_set, "expansion", "contains"))
    words = text.casefold()
    kept = [one for one in listed if words in f"{one.get('code', '')} {one.get('display', '')}".casefold()]
    return {**value_set, "expansion": {**value_set["expansion"], "total": len(kept), "contains": kept}}
