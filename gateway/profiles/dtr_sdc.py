"""Readers of Questionnaires: the SDC and DTR extensions on a form and its items, in every version.

A reader answers None or an empty tuple when an extension is absent or cannot be read; it never guesses.
Source: spec/dtr.md §5, §6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from gateway.fhir import Json
from gateway.profiles import dtr_urls as urls

FHIRPATH: Final = "text/fhirpath"
QUERY: Final = "application/x-fhir-query"
ELM: Final = "application/elm+json"
CQL_LANGUAGES: Final = frozenset({"text/cql", "text/cql-identifier", "text/cql-expression", "text/cql.identifier"})
EXPRESSION_KINDS: Final = (
    "initialExpression",
    "calculatedExpression",
    "candidateExpression",
    "contextExpression",
    "enableWhenExpression",
    "answerExpression",
    "itemPopulationContext",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormExpression:
    """One Expression of a form."""

    language: str
    """Mime type as written."""
    expression: str
    name: str = ""
    """Variable name that later expressions may use; empty when unnamed."""
    alternative: str = ""
    """ELM text given beside an inline CQL expression; empty when absent."""

    @property
    def is_cql(self) -> bool:
        """Whether CQL or its compiled form, in whatever spelling of the mime type."""
        return self.language in CQL_LANGUAGES or self.language == ELM

    @property
    def elm(self) -> str:
        """ELM of inline logic: beside it, or, as real packages have it, in its place; empty when there is none."""
        return self.expression if self.language == ELM else self.alternative


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchContextName:
    """A context that a form expects: its `%name` and the resource types it may be."""

    name: str
    types: tuple[str, ...]


def extensions(element: Json, url: str) -> Iterator[Json]:
    """Extensions of an element with a url, in order."""
    for extension in element.get("extension") or ():
        if isinstance(extension, Mapping) and extension.get("url") == url:
            yield extension


def extension_value(element: Json, url: str) -> Any:
    """`value[x]` of the first extension with a url; None when absent."""
    for extension in extensions(element, url):
        return value_of(extension)
    return None


def value_of(element: Json) -> Any:
    """The value of `value[x]`, whatever its type; None when there is none."""
    for key, value in element.items():
        if key.startswith("value") and key[5:6].isupper():
            return value
    return None


def read_expression(element: Json, kind: str) -> FormExpression | None:
    """The SDC expression of a kind, e.g. `initialExpression`; None when absent or empty."""
    return _expression(extension_value(element, urls.SDC + kind))


def read_expressions(element: Json, kind: str) -> tuple[FormExpression, ...]:
    """Every repetition of an SDC expression."""
    found = (_expression(value_of(extension)) for extension in extensions(element, urls.SDC + kind))
    return tuple(expression for expression in found if expression)


def read_variables(element: Json) -> tuple[FormExpression, ...]:
    """Named variables of a form or item, in document order."""
    found = (_expression(value_of(extension)) for extension in extensions(element, urls.VARIABLE))
    return tuple(expression for expression in found if expression and expression.name)


def _expression(value: Any) -> FormExpression | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("expression"), str) or not value["expression"]:
        return None
    return FormExpression(
        language=str(value.get("language", "")),
        expression=value["expression"],
        name=str(value.get("name", "")),
        alternative=_alternative(value),
    )


def _alternative(value: Json) -> str:
    for url in (urls.ALTERNATIVE_EXPRESSION, urls.ECR_ALTERNATIVE_EXPRESSION):
        other = extension_value(value, url)
        if isinstance(other, Mapping) and other.get("language") == ELM:
            return str(other.get("expression", ""))
    return ""


def read_launch_contexts(questionnaire: Json) -> tuple[LaunchContextName, ...]:
    """Launch contexts that a form names; the name may come as Coding, code or id."""
    found = []
    for extension in extensions(questionnaire, urls.LAUNCH_CONTEXT):
        name = extension_value(extension, "name")
        text = name.get("code") if isinstance(name, Mapping) else name
        types = tuple(str(value_of(part)) for part in extensions(extension, "type"))
        if text:
            found.append(LaunchContextName(name=str(text), types=types))
    return tuple(found)


def read_libraries(questionnaire: Json) -> tuple[str, ...]:
    """Canonicals of the form's logic libraries; an adaptive form may have them too (field case B49)."""
    return tuple(str(value_of(extension)) for extension in extensions(questionnaire, urls.CQF_LIBRARY))


def read_source_queries(questionnaire: Json) -> dict[str, Json]:
    """Contained Bundles of queries that the form names as its sources, by id."""
    named = [value_of(extension) for extension in extensions(questionnaire, f"{urls.SDC}sourceQueries")]
    ids = {str(one.get("reference", "")).removeprefix("#") for one in named if isinstance(one, Mapping)}
    contained = questionnaire.get("contained") or ()
    return {str(one["id"]): one for one in contained if one.get("id") in ids and one.get("resourceType") == "Bundle"}


def is_adaptive(questionnaire: Json) -> bool:
    """Whether the form is filled question by question by the payer's server.

    The extension decides, not the profile; `valueBoolean` false (2.0.1) means it is not.
    """
    return any(value_of(extension) is not False for extension in extensions(questionnaire, urls.ADAPTIVE))


def read_adaptive_urls(questionnaire: Json) -> tuple[str, ...]:
    """Addresses of the adaptive service, in order of preference; empty when only a flag is given."""
    found = (value_of(extension) for extension in extensions(questionnaire, urls.ADAPTIVE))
    return tuple(value for value in found if isinstance(value, str))


def read_item_controls(item: Json) -> frozenset[str]:
    """Codes of `itemControl`: help, prompt, drop-down and so on."""
    found: set[str] = set()
    for extension in extensions(item, urls.ITEM_CONTROL):
        concept = value_of(extension)
        codings = concept.get("coding") or () if isinstance(concept, Mapping) else ()
        found.update(str(coding.get("code")) for coding in codings)
    return frozenset(found)


def is_hidden(item: Json) -> bool:
    """Whether the form asks not to show an item."""
    return extension_value(item, urls.HIDDEN) is True


def is_signature_required(element: Json) -> bool:
    """Whether a signature is demanded on the form or item."""
    return any(value_of(extension) for extension in extensions(element, urls.SIGNATURE_REQUIRED))


def read_support_links(item: Json) -> tuple[str, ...]:
    """Links to material that supports a question, under either name of the extension."""
    found = [value_of(extension) for url in urls.SUPPORT_LINKS for extension in extensions(item, url)]
    return tuple(value for value in found if isinstance(value, str))


def read_unit_options(item: Json) -> tuple[Json, ...]:
    """Units that a quantity may have: `unitOption` repetitions, else the single `unit`."""
    found = [value_of(extension) for extension in extensions(item, urls.UNIT_OPTION)]
    if not found:
        found = [value_of(extension) for extension in extensions(item, urls.UNIT)]
    return tuple(value for value in found if isinstance(value, Mapping))


def read_whole_number(item: Json, url: str) -> int | None:
    """Integer of an extension such as minOccurs; None when absent or not an integer."""
    value = extension_value(item, url)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_limit(item: Json, url: str) -> int | Decimal | str | None:
    """minValue or maxValue: a number, or the text of a date, dateTime or time."""
    value = extension_value(item, url)
    return value if isinstance(value, int | Decimal | str) and not isinstance(value, bool) else None


def read_pattern(item: Json) -> str | None:
    """Regular expression that text must match; foreign, so run it only when safe."""
    value = extension_value(item, urls.REGEX)
    return value if isinstance(value, str) else None


def is_exclusive(option: Json) -> bool:
    """Whether an option excludes all others."""
    return extension_value(option, urls.OPTION_EXCLUSIVE) is True


def read_reference_types(item: Json) -> tuple[str, ...]:
    """Resource types that a reference item may point to."""
    return tuple(str(value_of(extension)) for extension in extensions(item, urls.REFERENCE_RESOURCE))


def read_effective_end(questionnaire: Json) -> str:
    """End of the form's effective period as written; empty when it is open."""
    period = questionnaire.get("effectivePeriod")
    return str(period.get("end", "")) if isinstance(period, Mapping) else ""


def is_request_specific(questionnaire: Json) -> bool:
    """Whether each request needs its own response; so it is unless the form says false."""
    return extension_value(questionnaire, urls.REQUEST_SPECIFIC) is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormConstraint:
    """A rule of the form that its answers have to keep."""

    expression: FormExpression
    severity: str
    """`error` or `warning`, as written."""
    human: str
    """What to tell people; empty when the form says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionToggle:
    """Answers that may be chosen only while an expression gives true."""

    options: tuple[Json, ...]
    """`{"valueCoding": …}` and so on."""
    expression: FormExpression


def read_constraints(element: Json) -> tuple[FormConstraint, ...]:
    """Constraints of a form or item: `targetConstraint`, and `constraint` of 2.0.1 with its bare FHIRPath."""
    found = []
    for url in (urls.TARGET_CONSTRAINT, urls.CONSTRAINT):
        for extension in extensions(element, url):
            raw = extension_value(extension, "expression")
            expression = _expression({"language": FHIRPATH, "expression": raw} if isinstance(raw, str) else raw)
            if expression is not None:
                human, severity = extension_value(extension, "human"), extension_value(extension, "severity")
                found.append(FormConstraint(expression=expression, severity=str(severity), human=str(human or "")))
    return tuple(found)


def read_option_toggles(item: Json) -> tuple[OptionToggle, ...]:
    """Repetitions of `answerOptionsToggleExpression`."""
    found = []
    for extension in extensions(item, f"{urls.SDC}answerOptionsToggleExpression"):
        expression = _expression(extension_value(extension, "expression"))
        options = tuple(_answer_of(part) for part in extensions(extension, "option"))
        if expression is not None and options:
            found.append(OptionToggle(options=options, expression=expression))
    return tuple(found)


def _answer_of(extension: Json) -> Json:
    return {key: value for key, value in extension.items() if key.startswith("value")}


def read_unit_value_set(item: Json) -> str:
    """Canonical of the value set of units; empty when the form names none."""
    value = extension_value(item, urls.UNIT_VALUE_SET)
    return value if isinstance(value, str) else ""


def is_unit_open(item: Json) -> bool:
    """Whether units beside those offered may be given (SDC `unitOpen`)."""
    return extension_value(item, urls.UNIT_OPEN) is not None


def read_mime_types(item: Json) -> tuple[str, ...]:
    """Media types that an attachment may have; empty: any."""
    return tuple(str(value_of(extension)) for extension in extensions(item, urls.MIME_TYPE))


def read_max_size(item: Json) -> Decimal | None:
    """Largest size of an attachment, in megabytes as the extension has it; None when not limited."""
    value = extension_value(item, urls.MAX_SIZE)
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def read_markup(element: Json, name: str = "text") -> str:
    """Foreign XHTML given for a text (`rendering-xhtml`); sanitise it before it is shown. Empty when absent."""
    extended = element.get(f"_{name}")
    value = extension_value(extended, urls.RENDERING_XHTML) if isinstance(extended, Mapping) else None
    return value if isinstance(value, str) else ""


def read_signature_types(element: Json) -> tuple[Json, ...]:
    """Codings of the signatures that are demanded on a form or item."""
    concepts = [value_of(extension) for extension in extensions(element, urls.SIGNATURE_REQUIRED)]
    listed = (one.get("coding") or () for one in concepts if isinstance(one, Mapping))
    return tuple(coding for codings in listed for coding in codings if isinstance(coding, Mapping))


def read_audience(questionnaire: Json) -> tuple[str, ...]:
    """Who is to answer: clinical, admin, patient; empty when the form says nothing."""
    found: list[str] = []
    for extension in extensions(questionnaire, urls.AUDIENCE):
        value = value_of(extension)
        codings = value.get("coding") or () if isinstance(value, Mapping) else ({"code": value},)
        found += [str(coding["code"]) for coding in codings if isinstance(coding, Mapping) and coding.get("code")]
    return tuple(found)


def read_completion_times(questionnaire: Json) -> dict[str, str]:
    """`clinicalTime` and `totalTime` as the form estimates them, e.g. `under-5min`; empty when it says nothing."""
    found: dict[str, str] = {}
    for extension in extensions(questionnaire, urls.COMPLETION_TIME):
        for part in extension.get("extension") or ():
            value = value_of(part) if isinstance(part, Mapping) else None
            codings = value.get("coding") or ({},) if isinstance(value, Mapping) else ({"code": value},)
            if codings[0].get("code"):
                found[str(part.get("url", ""))] = str(codings[0]["code"])
    return found
