"""What may be wrong or unusual with a form package: named switches that a scenario turns on.

Each takes a package Bundle, made for this answer alone, and changes it. Most are faults seen in real packages, some are
attacks (spec/dtr.md §4.3, §6; spec/security.md). None of them is for a real payer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.fhir import Json
from payer_endpoints.harness.reading import as_objects, as_text, type_of

CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
ELM: Final = "application/elm+json"
Bundle = dict[str, Any]


def damage(bundle: Bundle, names: tuple[str, ...]) -> Bundle:
    """The Bundle with every named switch applied, in order; its resources are copies."""
    found: Bundle = json.loads(json.dumps(bundle))
    for name in names:
        DAMAGES[name](found)
    return found


def _resources(bundle: Bundle, kind: str) -> Iterator[dict[str, Any]]:
    for entry in bundle["entry"]:
        if type_of(entry.get("resource")) == kind:
            yield entry["resource"]


def _form(bundle: Bundle) -> dict[str, Any]:
    return next(_resources(bundle, "Questionnaire"))


def _add(bundle: Bundle, *items: Json) -> None:
    form = _form(bundle)
    form["item"] = [*as_objects(form.get("item")), *items]


def _item(link_id: str, kind: str, *extensions: Json, **more: Any) -> dict[str, Any]:
    return {"extension": list(extensions), "linkId": link_id, "text": link_id, "type": kind, **more}


def _elms(bundle: Bundle) -> Iterator[dict[str, Any]]:
    for library in _resources(bundle, "Library"):
        yield from (one for one in library.get("content", ()) if one.get("contentType") == ELM)


def _rewrite(bundle: Bundle, change: Callable[[dict[str, Any]], None]) -> None:
    for content in _elms(bundle):
        elm = json.loads(base64.b64decode(content["data"]))
        change(elm)
        content["data"] = base64.b64encode(json.dumps(elm).encode()).decode("ascii")


def _no_elm(bundle: Bundle) -> None:
    for library in _resources(bundle, "Library"):
        library["content"] = [one for one in as_objects(library.get("content")) if one.get("contentType") != ELM]


def _no_library(bundle: Bundle) -> None:
    bundle["entry"] = [one for one in bundle["entry"] if type_of(one.get("resource")) != "Library"]


def _first_library_only(bundle: Bundle) -> None:
    first = next(_resources(bundle, "Library"), None)
    bundle["entry"] = [
        one for one in bundle["entry"] if type_of(one["resource"]) != "Library" or one["resource"] is first
    ]


def _truncated_elm(bundle: Bundle) -> None:
    for content in _elms(bundle):
        raw = base64.b64decode(content["data"])
        content["data"] = base64.b64encode(raw[: len(raw) // 2]).decode("ascii")


def _not_elm(bundle: Bundle) -> None:
    for content in _elms(bundle):
        content["data"] = base64.b64encode(b'{"hello": "world"}').decode("ascii")


def _unknown_operator(bundle: Bundle) -> None:
    def change(elm: dict[str, Any]) -> None:
        for define in elm["library"]["statements"]["def"]:
            if define["name"] != "Patient":
                define["expression"] = {"type": "Frobnicate", "operand": define["expression"]}

    _rewrite(bundle, change)


def _self_recursion(bundle: Bundle) -> None:
    def change(elm: dict[str, Any]) -> None:
        for define in elm["library"]["statements"]["def"]:
            if define["name"] != "Patient":
                define["expression"] = {"type": "ExpressionRef", "name": define["name"]}

    _rewrite(bundle, change)


def _same_name(bundle: Bundle) -> None:
    library = next(_resources(bundle, "Library"), None)
    if library is not None:
        other = json.loads(json.dumps({**library, "version": "9.9.9", "url": f"{as_text(library.get('url'))}-other"}))
        single: Bundle = {"entry": [{"resource": other}]}
        _rewrite(single, lambda elm: elm["library"]["identifier"].update(version="9.9.9"))
        bundle["entry"].append({"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": other})


def _placed(node: Json, link_id: str, answer: Json) -> list[dict[str, Any]]:
    """Items of a response with one answer at its place of the form; none where the form has no such question."""
    for item in as_objects(node.get("item")):
        if item.get("linkId") == link_id:
            return [{"linkId": link_id, "answer": [answer]}]
        inner = _placed(item, link_id, answer)
        if inner:
            return [{"linkId": item["linkId"], "item": inner}]
    return []


def _foreign_draft(bundle: Bundle) -> None:
    for draft in _resources(bundle, "QuestionnaireResponse"):
        draft["subject"] = {"reference": "Patient/somebody-else"}
        draft["item"] = _placed(_form(bundle), "words", {"valueString": "About somebody else"})


def _elsewhere_draft(bundle: Bundle) -> None:
    for draft in _resources(bundle, "QuestionnaireResponse"):
        where = {"reference": "https://payer.example.org/fhir/Condition/1"}
        draft["item"] = [{"linkId": "pointer", "answer": [{"valueReference": where}]}]
    _add(bundle, _item("pointer", "reference"))


def _prefilled_draft(bundle: Bundle) -> None:
    for draft in _resources(bundle, "QuestionnaireResponse"):
        draft["item"] = _placed(_form(bundle), "words", {"valueString": "Known to the plan"})


def _no_draft(bundle: Bundle) -> None:
    bundle["entry"] = [one for one in bundle["entry"] if type_of(one["resource"]) != "QuestionnaireResponse"]


def _expired(bundle: Bundle) -> None:
    _form(bundle)["effectivePeriod"] = {"end": "2020-01-01"}


def _cyclic_switches(bundle: Bundle) -> None:
    def switch(question: str) -> list[dict[str, Any]]:
        return [{"question": question, "operator": "exists", "answerBoolean": True}]

    _add(bundle, _item("c1", "string", enableWhen=switch("c2")), _item("c2", "string", enableWhen=switch("c1")))


def _circular_sums(bundle: Bundle) -> None:
    def sum_of(link_id: str) -> dict[str, Any]:
        text = f"iif(%resource.item.where(linkId='{link_id}').answer.value.exists(), "
        text += f"%resource.item.where(linkId='{link_id}').answer.value + 1, 1)"
        return {
            "url": f"{SDC}calculatedExpression",
            "valueExpression": {"language": "text/fhirpath", "expression": text},
        }

    _add(bundle, _item("s1", "integer", sum_of("s2")), _item("s2", "integer", sum_of("s1")))


def _required_hidden(bundle: Bundle) -> None:
    _add(bundle, _item("h1", "string", {"url": f"{CORE}questionnaire-hidden", "valueBoolean": True}, required=True))


def _unknown_type(bundle: Bundle) -> None:
    _add(bundle, _item("u1", "hologram"))


def _duplicate_links(bundle: Bundle) -> None:
    _add(bundle, _item("twin", "string"), _item("twin", "string"))


def _scripts(bundle: Bundle) -> None:
    markup = (
        '<div xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script>'
        '<img src="https://evil.example/p.png" onerror="alert(2)"/><a href="javascript:alert(3)">more</a></div>'
    )
    text = {"extension": [{"url": f"{CORE}rendering-xhtml", "valueString": markup}]}
    link = {"url": f"{CORE}questionnaire-supportLink", "valueUri": "javascript:alert(4)"}
    _add(bundle, {**_item("x1", "string", link), "text": "<script>alert(5)</script>", "_text": text})


def _evil_pattern(bundle: Bundle) -> None:
    pattern = {"url": f"{CORE}regex", "valueString": "^(([a-z])+.)+[A-Z]([a-z])+$"}
    text = f"'{'a' * 40}'.matches('^(a+)+$b')"
    asked = {"url": f"{SDC}initialExpression", "valueExpression": {"language": "text/fhirpath", "expression": text}}
    _add(bundle, _item("p1", "string", pattern), _item("p2", "string", asked))


def _deep(bundle: Bundle) -> None:
    inner: dict[str, Any] = {"linkId": "d40", "text": "deep", "type": "string"}
    for depth in range(39, 0, -1):
        inner = {"linkId": f"d{depth}", "text": f"level {depth}", "type": "group", "item": [inner]}
    _add(bundle, inner)


def _no_version(bundle: Bundle) -> None:
    _form(bundle).pop("version", None)
    for draft in _resources(bundle, "QuestionnaireResponse"):
        draft["questionnaire"] = as_text(draft.get("questionnaire")).partition("|")[0]


def _library_first(bundle: Bundle) -> None:
    bundle["entry"].sort(key=lambda one: type_of(one["resource"]) == "Questionnaire")


def _no_form(bundle: Bundle) -> None:
    bundle["entry"] = [one for one in bundle["entry"] if type_of(one["resource"]) != "Questionnaire"]


def _unlisted_codes(bundle: Bundle) -> None:
    _add(bundle, _item("v1", "choice", answerValueSet="https://payer.example.org/fhir/ValueSet/not-listed"))


def _codes_elsewhere(bundle: Bundle) -> None:
    """Leave value sets to `$expand`, as is right for long ones (dtr:spec-163)."""
    bundle["entry"] = [one for one in bundle["entry"] if type_of(one["resource"]) != "ValueSet"]


def _signature(bundle: Bundle) -> None:
    kind = {"coding": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}]}
    wanted = {"url": f"{CORE}questionnaire-signatureRequired", "valueCodeableConcept": kind}
    form = _form(bundle)
    form["extension"] = [*as_objects(form.get("extension")), wanted]


def _in_parts(bundle: Bundle) -> None:
    """Put the last question into a part of its own, with a placeholder for it, as reference implementations do."""
    form = _form(bundle)
    *kept, last = as_objects(form["item"])
    url = f"{as_text(form.get('url'))}-part"
    part = {"resourceType": "Questionnaire", "url": url, "version": "1.0.0", "status": "active", "item": [last]}
    place = _item("part", "display", {"url": f"{SDC}subQuestionnaire", "valueCanonical": f"{url}|1.0.0"})
    form["item"] = [*kept, place]
    bundle["entry"].append({"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000002", "resource": part})


DAMAGES: Final[Mapping[str, Callable[[Bundle], None]]] = {
    "no-elm": _no_elm,
    "no-library": _no_library,
    "first-library-only": _first_library_only,
    "truncated-elm": _truncated_elm,
    "not-elm": _not_elm,
    "unknown-operator": _unknown_operator,
    "self-recursion": _self_recursion,
    "same-name": _same_name,
    "foreign-draft": _foreign_draft,
    "elsewhere-draft": _elsewhere_draft,
    "prefilled-draft": _prefilled_draft,
    "no-draft": _no_draft,
    "expired": _expired,
    "cyclic-switches": _cyclic_switches,
    "circular-sums": _circular_sums,
    "required-hidden": _required_hidden,
    "unknown-type": _unknown_type,
    "duplicate-links": _duplicate_links,
    "scripts": _scripts,
    "evil-pattern": _evil_pattern,
    "deep": _deep,
    "no-version": _no_version,
    "library-first": _library_first,
    "no-form": _no_form,
    "unlisted-codes": _unlisted_codes,
    "codes-elsewhere": _codes_elsewhere,
    "signature": _signature,
    "in-parts": _in_parts,
}
"""Every switch by its name in a scenario's `[package]`."""
