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
