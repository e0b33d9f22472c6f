"""`$questionnaire-package`: the request, and a reader that takes every shape of answer in use.

What payers and reference implementations send is listed in spec/dtr.md §4.2 and §4.3: a bare Bundle, or
Parameters whose names differ by version. The type of the resource decides, never the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class FormPackageParts:
    """One form with what it needs to be filled."""

    questionnaire: Json
    draft_response: Json | None = None
    """Response that the payer pre-filled; None when it sent none."""
    libraries: tuple[Json, ...] = ()
    value_sets: tuple[Json, ...] = ()
    sub_questionnaires: tuple[Json, ...] = ()
    """Further Questionnaires of the Bundle, in order."""
    findings: tuple[str, ...] = ()
    """What departs from the guide, in plain words; none of it stops the form."""

    @property
    def canonical(self) -> str:
        """`url|version` of the form; empty when it has no url."""
        return canonical_of(self.questionnaire)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageAnswer:
    """What a payer answered.

    No package is legal: nothing is to be filled. It does not mean that no authorization is needed.
    """

    packages: tuple[FormPackageParts, ...]
    outcomes: tuple[Json, ...] = ()
    """OperationOutcomes that came along; show them to staff."""
    findings: tuple[str, ...] = ()


def canonical_of(resource: Json) -> str:
    """`url|version`, `url` when unversioned, empty without url."""
    url, version = str(resource.get("url", "")), resource.get("version")
    return f"{url}|{version}" if url and version else url


def build_parameters(
    coverages: Sequence[Json],
    orders: Iterable[Json] = (),
    referenced: Iterable[Json] = (),
    questionnaires: Iterable[str] = (),
    context: str | None = None,
    changed_since: datetime | None = None,
) -> dict[str, Any]:
    """Input Parameters in the guide's order. Raises InputError when invariant dtr-1 is not met."""
    orders, questionnaires = tuple(orders), tuple(questionnaires)
    if not coverages:
        raise InputError("A coverage is needed to ask for forms.", code="dtr.coverage")
    if not orders and not questionnaires and not context:
        raise InputError("An order, a form or a context is needed to ask for forms.", code="dtr.dtr-1")
    parameters: list[dict[str, Any]] = [{"name": "coverage", "resource": coverage} for coverage in coverages]
    parameters += [{"name": "order", "resource": order} for order in orders]
    parameters += [{"name": "referenced", "resource": resource} for resource in referenced]
    parameters += [{"name": "questionnaire", "valueCanonical": canonical} for canonical in questionnaires]
    if context:
        parameters.append({"name": "context", "valueString": context})
    if changed_since:
        parameters.append({"name": "changedsince", "valueInstant": changed_since.isoformat(timespec="seconds")})
    return {"resourceType": "Parameters", "parameter": parameters}


def read_package_answer(body: Json | None) -> PackageAnswer:
    """Packages and outcomes of an answer; an empty body (nothing changed) has neither.

    Raises InputError `dtr.answer` for a body that is neither Bundle, Parameters nor OperationOutcome.
    """
    if not body:
        return PackageAnswer(packages=())
    kind = body.get("resourceType")
    if kind == "Bundle":
        return _answer([body], [])
    if kind == "OperationOutcome":
        return _answer([], [body])
    if kind != "Parameters":
        raise InputError("The payer's answer holds no form package.", code="dtr.answer")
    found = [part["resource"] for part in body.get("parameter") or () if isinstance(part.get("resource"), Mapping)]
    bundles = [resource for resource in found if resource.get("resourceType") == "Bundle"]
    outcomes = [resource for resource in found if resource.get("resourceType") == "OperationOutcome"]
    return _answer(bundles, outcomes)


def _answer(bundles: list[Json], outcomes: list[Json]) -> PackageAnswer:
    packages, findings = [], []
    for bundle in bundles:
        package = _package(bundle)
        if package is None:
            findings.append("A package without a Questionnaire was left out.")
        else:
            packages.append(package)
        outcomes += _of_type(bundle, "OperationOutcome")
    return PackageAnswer(packages=tuple(packages), outcomes=tuple(outcomes), findings=tuple(findings))


def _of_type(bundle: Json, resource_type: str) -> list[Json]:
    resources = (entry.get("resource") for entry in bundle.get("entry") or () if isinstance(entry, Mapping))
    return [one for one in resources if isinstance(one, Mapping) and one.get("resourceType") == resource_type]


def _package(bundle: Json) -> FormPackageParts | None:
    questionnaires = _of_type(bundle, "Questionnaire")
    if not questionnaires:
        return None
    main = questionnaires[0]
    responses = _of_type(bundle, "QuestionnaireResponse")
    draft = next((one for one in responses if _answers(one, main)), None)
    return FormPackageParts(
        questionnaire=main,
        draft_response=draft,
        libraries=tuple(_of_type(bundle, "Library")),
        value_sets=(*_of_type(bundle, "ValueSet"), *_contained(main, "ValueSet")),
        sub_questionnaires=tuple(questionnaires[1:]),
        findings=tuple(_findings(bundle, main, responses, draft)),
    )


def _contained(resource: Json, resource_type: str) -> list[Json]:
    return [one for one in resource.get("contained") or () if one.get("resourceType") == resource_type]


def _answers(response: Json, questionnaire: Json) -> bool:
    """Whether a response is of this form; a draft without version answers any version of it."""
    named = str(response.get("questionnaire", ""))
    if named.startswith("#"):
        return True
    url, _, version = named.partition("|")
    return url == questionnaire.get("url") and version in ("", str(questionnaire.get("version", version)))


def _findings(bundle: Json, main: Json, responses: list[Json], draft: Json | None) -> list[str]:
    found = []
    entries = bundle.get("entry") or [{}]
    if (entries[0].get("resource") or {}).get("resourceType") != "Questionnaire":
        found.append("The first entry of the package is not the Questionnaire (dtrb-1).")
    if not main.get("url"):
        found.append("The form has no canonical url.")
    elif not main.get("version"):
        found.append("The form has no version.")
    if not responses:
        found.append("The package has no draft response; one was made.")
    elif draft is None:
        found.append("The draft response is of another form and was not used.")
    return found
