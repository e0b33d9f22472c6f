"""DTR 2.0.1 (and 2.1, which agrees here): what is exact to these versions. Readers are liberal and shared.

The coverage stands among the contexts, one origin code serves every machine value, several coverages a call.
Source: spec/dtr.md §4.1, §10, §16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.fhir import Json
from gateway.profiles import dtr_urls as urls
from gateway.profiles.crd_request import ORDER_TYPES
from gateway.profiles.dtr_guide import Origin, OriginAuthor, ResponseContext
from gateway.profiles.dtr_origin import MACHINE_CODES, build_origin, intended_use, read_answer_origin, references
from gateway.profiles.dtr_package import FormPackageParts, PackageAnswer, build_parameters, read_package_answer

VERSION: Final = "2.0.1"
AUTO: Final = "auto"
AUTO_SERVER: Final = "auto"
OVERRIDE: Final = "override"
MANUAL: Final = "manual"
NEEDS_ITEM: Final = True
"""Whether a response has at least one item: its profile says 1..*."""
MERGES_BY_COVERAGE_ALONE: Final = True
"""Whether what a form says about a coverage replaces all that was said about it, whatever the assertion."""


def build_package_parameters(
    coverage: Json | Sequence[Json],
    order: Json | Iterable[Json] | None = None,
    referenced: Iterable[Json] = (),
    questionnaires: Iterable[str] = (),
    context: str | None = None,
    changed_since: datetime | None = None,
) -> dict[str, Any]:
    """Input of `$questionnaire-package` for one coverage or several; see `dtr_2_2_0` for the rest.

    Its order profiles fix the status `draft`: the copy that is sent says so, as in coverage discovery; payers take a
    change of status (dtr:spec-128).
    """
    coverages = [coverage] if isinstance(coverage, Mapping) else list(coverage)
    given = [] if order is None else [order] if isinstance(order, Mapping) else list(order)
    orders = [{**one, "status": "draft"} if one.get("resourceType") in ORDER_TYPES else one for one in given]
    return build_parameters(coverages, orders, referenced, questionnaires, context, changed_since)


def information_origin(source: str, author: OriginAuthor | None = None) -> dict[str, Any]:
    """The extension that says where an answer came from; `author` exactly for override and manual (dtrx-1)."""
    return build_origin(source, author)


def read_origin(answer: Json) -> Origin | None:
    """Origin of an answer of any version; None when it carries none."""
    return read_answer_origin(answer)


def is_machine(source: str) -> bool:
    """Whether a source code of any version means that no person set the value."""
    return source in MACHINE_CODES


def build_response_header(context: ResponseContext) -> dict[str, Any]:
    """`meta` and root extensions: coverage and orders together in qr-context (2..*)."""
    return {
        "meta": {"profile": [urls.QUESTIONNAIRE_RESPONSE_PROFILE]},
        "extension": [
            *references(urls.QR_CONTEXT, (*context.coverages, *context.orders)),
            *intended_use(context.intended_use, urls.CRD_CODES_BEFORE_2_2),
        ],
    }


def build_next_question(response: Json) -> dict[str, Any]:
    """Input of `$next-question`: the bare response, which 2.1 takes too (its own names contradict each other)."""
    return dict(response)


def adaptive_profile() -> str:
    """Empty: these versions have no profile of their own for it."""
    return ""


__all__ = [
    "AUTO",
    "AUTO_SERVER",
    "MANUAL",
    "MERGES_BY_COVERAGE_ALONE",
    "NEEDS_ITEM",
    "OVERRIDE",
    "VERSION",
    "FormPackageParts",
    "Origin",
    "OriginAuthor",
    "PackageAnswer",
    "ResponseContext",
    "adaptive_profile",
    "build_next_question",
    "build_package_parameters",
    "build_response_header",
    "information_origin",
    "is_machine",
    "read_origin",
    "read_package_answer",
]
