"""`$next-question`: the request as each version wants it, and a reader that takes every shape of answer in use.

2.2 wraps the response in Parameters; 2.1 contradicts itself about the name, and 2.0.1 takes the response bare.
Servers of all versions answer bare or wrapped under any name, so the type of the resource decides.
Source: spec/dtr.md §8 (dtr:spec-24, spec-27).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.profiles import dtr_sdc
from gateway.profiles import dtr_urls as urls
from gateway.profiles.dtr_package import canonical_of

OPERATION: Final = "$next-question"
TYPED_PATH: Final = f"Questionnaire/{OPERATION}"
_LEFT_OUT: Final = ("url", "version", "item", "text", "contained", "derivedFrom", "identifier", "effectivePeriod")


def build_wrapped(response: Json) -> dict[str, Any]:
    """The request of 2.2: Parameters with the response under its name."""
    return {"resourceType": "Parameters", "parameter": [{"name": "questionnaire-response", "resource": response}]}


def read_next_question(body: Any) -> Json:
    """The QuestionnaireResponse of an answer, bare or inside Parameters.

    Raises InputError `adaptive.answer` for an answer with none, or with several.
    """
    found = [one for one in _resources(body) if one.get("resourceType") == "QuestionnaireResponse"]
    if len(found) != 1:
        raise InputError("The payer's answer holds no set of questions.", code="adaptive.answer")
    return found[0]


def contained_form(response: Json) -> Json | None:
    """The Questionnaire that a response carries and is of (`#id`); None when there is not exactly that one."""
    forms = [one for one in contained(response) if one.get("resourceType") == "Questionnaire"]
    named = str(response.get("questionnaire", ""))
    return forms[0] if len(forms) == 1 and named == f"#{forms[0].get('id', '')}" and named != "#" else None


def contained(response: Json) -> list[Json]:
    """Everything a response carries inside."""
    listed = response.get("contained")
    return [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []


def build_shell(questionnaire: Json) -> dict[str, Any]:
    """The contained form before the first question: the packaged one without questions, derived from it."""
    kept = {key: value for key, value in questionnaire.items() if key not in _LEFT_OUT}
    shell = {
        **kept,
        "id": str(questionnaire.get("id") or "adaptive-form"),
        "meta": {"profile": [urls.ADAPTIVE_FORM_PROFILE]},
    }
    canonical = canonical_of(questionnaire)
    return {**shell, "derivedFrom": [canonical]} if canonical else shell


def service_paths(questionnaire: Json, base_url: str) -> tuple[str, ...]:
    """Paths below the payer's base to ask, in order; empty when the form names only addresses outside it.

    A form that only says that it is adaptive (2.0.1) is asked for at the base, with the type and then without.
    """
    named = dtr_sdc.read_adaptive_urls(questionnaire)
    if not named:
        return (TYPED_PATH, OPERATION)
    found = (_path_below(_operation_url(url), base_url) for url in named)
    return tuple(dict.fromkeys(path for path in found if path))


def _resources(body: Any) -> list[Json]:
    if not isinstance(body, Mapping):
        return []
    if body.get("resourceType") != "Parameters":
        return [body]
    listed = body.get("parameter")
    parts = listed if isinstance(listed, list) else []
    held = (part.get("resource") for part in parts if isinstance(part, Mapping))
    return [one for one in held if isinstance(one, Mapping)]


def _operation_url(url: str) -> str:
    plain = url.rstrip("/")
    if plain.endswith(OPERATION):
        return plain
    return f"{plain}/{OPERATION}" if plain.endswith("/Questionnaire") else f"{plain}/{TYPED_PATH}"


def _path_below(url: str, base_url: str) -> str:
    """The part of `url` below the base; empty when it is elsewhere or not plain (dtr:spec-24)."""
    try:
        there, base = urlsplit(url), urlsplit(base_url.rstrip("/"))
        is_same = _origin(there) == _origin(base)
    except ValueError:  # Defensive: a port that is no number.
        return ""
    path = there.path.removeprefix(f"{base.path}/")
    is_plain = not (there.query or there.fragment or there.username or "%" in path)
    segments = path.split("/")
    if not is_same or not is_plain or path == there.path or any(part in ("", ".", "..") for part in segments):
        return ""
    return path


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    return url.scheme, (url.hostname or "").lower(), url.port or {"https": 443, "http": 80}.get(url.scheme)
