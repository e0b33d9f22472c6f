"""Elements of answers, observations, impressions, documents and claims that the criteria read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from gateway.clinical import criteria_readers as read
from gateway.clinical.criteria_readers import Reader
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text

_ORDINAL = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
)


def shape_response(reader: Reader, resource: Json) -> dict[str, Any]:
    """Answers of a questionnaire, its items without their nesting, the first answer of each."""
    return {
        "meta": {"lastUpdated": read.instant_or(reader.instant(resource.get("authored")))},
        "status": read.read_code(resource.get("status")),
        "questionnaire": text(resource.get("questionnaire")).partition("|")[0] or None,
        "authored": reader.day(resource.get("authored")),
        "item": _items(resource),
    }


def _flat(element: Json) -> Iterator[Json]:
    """Items without their nesting, which says nothing about a score."""
    for item in objects(element.get("item")):
        yield item
        yield from _flat(item)


def _items(resource: Json) -> list[dict[str, Any]]:
    """Each item once; one that is answered twice contradicts itself and counts as a blank."""
    every = list(_flat(resource))
    times = Counter(text(item.get("linkId")) for item in every if objects(item.get("answer")))
    return [_item(item) for item in every if times[text(item.get("linkId"))] < 2]


def _item(item: Json) -> dict[str, Any]:
    answers = [_answer(answer) for answer in objects(item.get("answer"))[:1]]
    return {"linkId": text(item.get("linkId")), **({"answer": answers} if answers else {})}


def _answer(answer: Json) -> dict[str, Any]:
    coding = one(answer.get("valueCoding"))
    code = text(coding.get("code"))
    weights = [item for item in objects(coding.get("extension")) if item.get("url") in _ORDINAL][:1]
    if code or weights:
        extension = [{"url": item["url"], **_decimal("valueDecimal", item.get("valueDecimal"))} for item in weights]
        return {"valueCoding": {**({"code": code} if code else {}), **({"extension": extension} if extension else {})}}
    if "valueInteger" in answer:
        return _decimal("valueDecimal", answer.get("valueInteger"))
    return _decimal("valueDecimal", answer.get("valueDecimal"))


def _decimal(name: str, value: Any) -> dict[str, Any]:
    number = read.read_amount(value)
    return {} if number is None else {name: number}


def shape_observation(reader: Reader, resource: Json) -> dict[str, Any]:
    """An observation with its components."""
    return {
        "meta": {"lastUpdated": read.instant_or(reader.instant(resource.get("effectiveDateTime")))},
        "status": read.read_code(resource.get("status")),
        "code": read.read_concept(resource.get("code")),
        "effectiveDateTime": reader.day(resource.get("effectiveDateTime")),
        "component": [
            {"code": read.read_concept(part.get("code")) or {}, **_value(reader, part)}
            for part in objects(resource.get("component"))
        ],
        **_value(reader, resource),
    }


def _value(reader: Reader, resource: Json) -> dict[str, Any]:
    """The value of an observation or component; one that cannot be read is a text without words."""
    quantity = one(resource.get("valueQuantity"))
    number = read.read_amount(quantity.get("value", resource.get("valueInteger")))
    if "comparator" in quantity and "status" in resource:  # an observation's own value: less than it is no number
        return {"valueString": "text"}
    if number is not None:
        unit = text(quantity.get("code")) or text(quantity.get("unit"))
        return {"valueQuantity": {"value": number, **({"code": unit} if unit else {})}}
    if "valueCodeableConcept" in resource:
        answer = reader.answer(resource["valueCodeableConcept"])
        if isinstance(answer, bool):
            return {"valueBoolean": answer}
        return {} if answer is None else {"valueCodeableConcept": answer}
    if isinstance(resource.get("valueBoolean"), bool):
        return {"valueBoolean": resource["valueBoolean"]}
    return {"valueString": "text"} if any(key.startswith("value") for key in resource) else {}


def shape_impression(reader: Reader, resource: Json) -> dict[str, Any]:
    """An assessment."""
    period = one(resource.get("effectivePeriod"))
    day = resource.get("effectiveDateTime") or period.get("start") or resource.get("date")
    return {
        "status": read.read_code(resource.get("status")),
        "code": read.read_concept(resource.get("code")),
        "effectiveDateTime": reader.day(day),
        "assessor": reader.person(resource.get("assessor")),
        "finding": [
            {"itemCodeableConcept": found}
            for item in objects(resource.get("finding"))
            if (found := read.read_concept(item.get("itemCodeableConcept"))) is not None
        ],
    }


def shape_provenance(reader: Reader, resource: Json) -> dict[str, Any]:
    """Who attested what."""
    return {
        "target": reader.references(resource.get("target")),
        "agent": [
            {"type": read.read_status(agent.get("type")), "role": read.read_statuses(agent.get("role")), "who": who}
            for agent in objects(resource.get("agent"))
            if (who := reader.person(agent.get("who"))) is not None
        ],
    }


def shape_document(reader: Reader, resource: Json) -> dict[str, Any]:
    """A document without its content."""
    return {
        "status": read.read_code(resource.get("status")),
        "type": read.read_concept(resource.get("type")),
        "date": reader.day(resource.get("date")),
        "context": {"event": read.read_concepts(one(resource.get("context")).get("event"))},
    }


def shape_claim(reader: Reader, resource: Json) -> dict[str, Any]:
    """A claim or explanation of benefit."""
    return {
        "status": read.read_code(resource.get("status")),
        "use": read.read_code(resource.get("use")),
        "diagnosis": [
            {
                "sequence": read.read_count(entry.get("sequence")),
                "diagnosisCodeableConcept": read.read_concept(entry.get("diagnosisCodeableConcept")),
            }
            for entry in objects(resource.get("diagnosis"))
        ],
        "item": [_claim_item(reader, item) for item in objects(resource.get("item"))],
    }


def _claim_item(reader: Reader, item: Json) -> dict[str, Any]:
    pointed = item.get("diagnosisSequence")
    numbers = [read.read_count(number) for number in pointed] if isinstance(pointed, list | tuple) else []
    return {
        "productOrService": read.read_concept(item.get("productOrService")),
        "servicedDate": reader.day(item.get("servicedDate"))
        or reader.day(one(item.get("servicedPeriod")).get("start")),
        "diagnosisSequence": [number for number in numbers if number is not None],
    }


def shape_report(reader: Reader, resource: Json) -> dict[str, Any]:
    """A diagnostic report without its results."""
    start = reader.day(one(resource.get("effectivePeriod")).get("start"))
    return {
        "status": read.read_code(resource.get("status")),
        "code": read.read_concept(resource.get("code")),
        "effectiveDateTime": reader.day(resource.get("effectiveDateTime")) or start,
        "basedOn": reader.references(resource.get("basedOn")),
    }
