"""Prefetch: a payer's query templates filled for one hook call.

Three different empties (spec/crd.md §5, cdsh 49-53): evaluated and nothing found gives `null`; a
token without value, or a template that cannot be fetched, leaves its key out; a failure that can be
told becomes an OperationOutcome. A key that was not asked for is never sent, and of all coverages only
the one chosen appears (crd:dev-29).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from gateway.errors import GatewayError, NotFound
from gateway.fhir import Json
from gateway.fhir.bundle import build_bundle, resources
from gateway.fhir.outcome import build_operation_outcome, issue_of
from gateway.fhir.references import full_url
from gateway.profiles.crd_tokens import Find, TokenReader

_TOKEN = re.compile(r"\{\{(?P<expression>[^{}]{1,4000})\}\}")
_OMIT = object()
"""Marks a key that must not be sent."""


def fill_prefetch(
    templates: Mapping[str, str],
    context: Json,
    find: Find,
    *,
    today: date | None = None,
    coverage: Json | None = None,
    base: str = "",
    omit_nulls: bool = False,
) -> dict[str, Any]:
    """Prefetch values by key for the templates of one service.

    `find` runs a read or search and gives the resource, the searchset Bundle, or None for nothing
    found; what a payer's template may reach is for `find` to limit. `coverage` is the one that answers
    every Coverage search (None: `find` is asked). `base` makes fullUrls of it. `omit_nulls` is the
    switch for payers that refuse null. A GatewayError of `find` becomes an OperationOutcome value.
    """
    filled = _Filler(templates, context, find, today or date.min, coverage, base)
    values = {key: filled.value(key) for key in templates}
    return {key: value for key, value in values.items() if value is not _OMIT and not (omit_nulls and value is None)}


class _Filler:
    """Fills keys on demand, so that a template may stand before the one it depends on."""

    def __init__(
        self, templates: Mapping[str, str], context: Json, find: Find, today: date, coverage: Json | None, base: str
    ) -> None:
        self._templates = templates
        self._find = find
        self._coverage = coverage
        self._base = base
        self._done: dict[str, Any] = {}
        self._answers: dict[str, Json | None] = {}
        self._open: set[str] = set()
        self._reader = TokenReader(context, self._ask, today, self._known)

    def value(self, key: str) -> Any:
        """The value of a key, `_OMIT` when it must not be sent; a cycle of templates is omitted."""
        if key in self._done:
            return self._done[key]
        if key in self._open:
            return _OMIT
        self._open.add(key)
        try:
            self._done[key] = self._evaluate(self._templates[key])
        except NotFound:
            self._done[key] = None
        except GatewayError as error:
            self._done[key] = build_operation_outcome([issue_of(error)])
        finally:
            self._open.discard(key)
        return self._done[key]

    def _known(self, key: str) -> Any:
        value = self.value(key) if key in self._templates else None
        return None if value is _OMIT else value

    def _evaluate(self, template: str) -> Any:
        whole = _TOKEN.fullmatch(template.strip())
        if whole:
            return self._whole(whole["expression"])
        query = _TOKEN.sub(self._substitute, template)
        return _OMIT if "{{" in query or "\x00" in query else self._query(query)

    def _substitute(self, match: re.Match[str]) -> str:
        """Values joined by commas; the NUL marks a token without value, which no query may survive."""
        return ",".join(self._reader.values(match["expression"])) or "\x00"

    def _whole(self, expression: str) -> Any:
        """A template that is one token: a reference to read, or resources taken from the context."""
        nodes = self._reader.nodes(expression)
        if not nodes:
            return _OMIT
        if len(nodes) == 1 and isinstance(nodes[0], str):
            values = self._reader.values(expression)
            return self._query(values[0]) if values and "/" in values[0] else _OMIT
        found = [item for item in map(self._reader.resource, nodes) if item is not None]
        if not found:
            return None
        return (
            found[0] if len(found) == 1 else build_bundle("collection", [(full_url(self._base, i), i) for i in found])
        )

    def _query(self, query: str) -> Any:
        if query.startswith("Coverage?") and self._coverage is not None:
            return self._only_coverage(self._coverage)
        answer = self._ask(query)
        is_empty = answer is None or (answer.get("resourceType") == "Bundle" and not resources(answer))
        return None if is_empty else answer

    def _only_coverage(self, coverage: Json) -> dict[str, Any]:
        entry: dict[str, Any] = {"resource": coverage, "search": {"mode": "match"}}
        url = full_url(self._base, coverage) if self._base else ""
        entry = {"fullUrl": url, **entry} if url else entry
        return {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]}

    def _ask(self, query: str) -> Json | None:
        if query not in self._answers:
            self._answers[query] = self._find(query)
        return self._answers[query]
