"""DTR 2.2.0: what is exact to this version. Readers are liberal and shared.

Coverage has its own extension, origin codes tell EHR from payer, one coverage a call.
Source: spec/dtr.md §4.1, §10, §16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.profiles import dtr_urls as urls
from gateway.profiles.dtr_guide import Origin, OriginAuthor, ResponseContext
from gateway.profiles.dtr_next_question import build_wrapped
from gateway.profiles.dtr_origin import MACHINE_CODES, build_origin, intended_use, read_answer_origin, references
from gateway.profiles.dtr_package import FormPackageParts, PackageAnswer, build_parameters, read_package_answer

VERSION: Final = "2.2.0"
AUTO: Final = "auto-client"
AUTO_SERVER: Final = "auto-server"
OVERRIDE: Final = "override"
MANUAL: Final = "manual"
NEEDS_ITEM: Final = False
"""Whether a response has at least one item: its profile says 0..*."""
MERGES_BY_COVERAGE_ALONE: Final = False
"""Whether what a form says about a coverage replaces all that was said about it, whatever the assertion."""


def build_package_parameters(
    coverage: Json | Sequence[Json],
    order: Json | Iterable[Json] | None = None,
    referenced: Iterable[Json] = (),
    questionnaires: Iterable[str] = (),
    context: str | None = None,
    changed_since: datetime | None = None,
) -> dict[str, Any]:
    """Input of `$questionnaire-package` for exactly one coverage.

    `order` is one resource or several, `questionnaires` are canonicals (narrow the answer; usually none),
    `context` an assertion id or trace number. Raises InputError `dtr.coverage` for several coverages.
    """
    coverages = [coverage] if isinstance(coverage, Mapping) else list(coverage)
    if len(coverages) > 1:
        raise InputError("DTR 2.2 takes one coverage a call; ask once for each.", code="dtr.coverage")
    orders = [] if order is None else [order] if isinstance(order, Mapping) else list(order)
    return build_parameters(coverages, orders, referenced, questionnaires, context, changed_since)


def information_origin(source: str, author: OriginAuthor | None = None) -> dict[str, Any]:
    """The extension that says where an answer came from; `author` exactly for override and manual."""
    return build_origin(source, author)


def read_origin(answer: Json) -> Origin | None:
    """Origin of an answer of any version; None when it carries none."""
    return read_answer_origin(answer)


def is_machine(source: str) -> bool:
    """Whether a source code of any version means that no person set the value."""
    return source in MACHINE_CODES


def build_response_header(context: ResponseContext) -> dict[str, Any]:
    """`meta` and root extensions: orders in qr-context, coverage apart in qr-coverage (1..*)."""
    return {
        "meta": {"profile": [urls.QUESTIONNAIRE_RESPONSE_PROFILE]},
        "extension": [
            *references(urls.QR_CONTEXT, context.orders),
            *references(urls.QR_COVERAGE, context.coverages),
            *intended_use(context.intended_use, urls.CRD_CODES),
        ],
    }


def build_next_question(response: Json) -> dict[str, Any]:
    """Input of `$next-question`: Parameters with the response under its name."""
    return build_wrapped(response)


def adaptive_profile() -> str:
    """Profile of the response to an adaptive form."""
    return urls.ADAPTIVE_RESPONSE_PROFILE


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
