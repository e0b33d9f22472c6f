"""Small ELM libraries written by hand, for tests of the engine."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gateway.fhir.json import dump_json
from gateway.reasoning.elm import Engine, LibrarySet, compile_library
from gateway.reasoning.record import RecordSnapshot

NOW = datetime.fromisoformat("2026-03-15T10:00:00.000-07:00")
SYSTEM = "{urn:hl7-org:elm-types:r1}"
FHIR = "{http://hl7.org/fhir}"
Elm = dict[str, Any]
PATIENT = {"resourceType": "Patient", "id": "p1", "meta": {"versionId": "3"}, "birthDate": "1990-01-01"}


def library(name: str = "T", version: str = "1", **sections: Any) -> Elm:
    """A library; `defines` maps names to expressions, `functions` is a list of FunctionDefs."""
    statements = [
        {"name": key, "context": sections.get("context", "Patient"), "expression": value}
        for key, value in sections.get("defines", {}).items()
    ]
    statements += sections.get("functions", [])
    body: Elm = {
        "identifier": {"id": name, "version": version},
        "usings": {"def": [{"localIdentifier": "FHIR", "uri": "http://hl7.org/fhir", "version": "4.0.1"}]},
        "statements": {"def": statements},
    }
    for section in ("includes", "parameters", "codeSystems", "valueSets", "codes", "concepts"):
        if section in sections:
            body[section] = {"def": sections[section]}
    if "annotation" in sections:
        body["annotation"] = sections["annotation"]
    return {"library": body}


def function(name: str, operands: Mapping[str, str], expression: Elm, **more: Any) -> Elm:
    """A FunctionDef; operand types by name, e.g. `{"x": "{…}Integer"}`."""
    typed = [{"name": key, "operandTypeSpecifier": named(kind)} for key, kind in operands.items()]
    return {
        "type": "FunctionDef",
        "name": name,
        "context": "Patient",
        "operand": typed,
        "expression": expression,
        **more,
    }


def named(name: str) -> Elm:
    return {"type": "NamedTypeSpecifier", "name": name}


def op(kind: str, *operands: Any, **more: Any) -> Elm:
    """An operator with one operand (as an object) or several."""
    return {"type": kind, "operand": operands[0] if len(operands) == 1 else list(operands), **more}


def lit(value: Any) -> Elm:
    """A literal of a Python value; None is Null."""
    if value is None:
        return {"type": "Null"}
    kind = {bool: "Boolean", int: "Integer", str: "String"}.get(type(value), "Decimal")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return {"type": "Literal", "valueType": SYSTEM + kind, "value": text}


def elements(*values: Any) -> Elm:
    """A list of literals or expressions."""
    return {"type": "List", "element": [value if isinstance(value, dict) else lit(value) for value in values]}


def ref(name: str, alias: str = "") -> Elm:
    return {"type": "ExpressionRef", "name": name, **({"libraryName": alias} if alias else {})}


def alias(name: str) -> Elm:
    return {"type": "AliasRef", "name": name}


def prop(source: Elm, *path: str) -> Elm:
    """Nested properties of an expression."""
    for step in path:
        source = {"type": "Property", "path": step, "source": source}
    return source


def retrieve(resource_type: str, **more: Any) -> Elm:
    return {"type": "Retrieve", "dataType": FHIR + resource_type, **more}


def query(source: Elm, **clauses: Any) -> Elm:
    """A query over one source called X."""
    return {"type": "Query", "source": [{"alias": "X", "expression": source}], **clauses}


def engine(*libraries: Elm, data: Any = (PATIENT,), value_sets: Any = (), **more: Any) -> Engine:
    """An engine over libraries and resources."""
    record = data if isinstance(data, RecordSnapshot) else RecordSnapshot(data)
    compiled = LibrarySet([compile_library(one) for one in libraries])
    return Engine(compiled, value_sets, record, now=more.pop("now", NOW), **more)


def value(expression: Elm, **more: Any) -> Any:
    """Engine value of an expression; raises its error."""
    outcome = engine(library(defines={"t": expression}), **more).outcome("t")
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def as_resource(elm: Elm | bytes, name: str = "", **more: Any) -> dict[str, Any]:
    """A FHIR Library resource with ELM in it."""
    body = elm if isinstance(elm, bytes) else dump_json(elm)
    content = {"contentType": "application/elm+json", "data": base64.b64encode(body).decode()}
    return {"resourceType": "Library", "name": name, "content": [content], **more}


def observation(number: int, code: str, amount: Any, day: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"versionId": str(number)},
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "urn:codes", "code": code}]},
        "effectiveDateTime": day,
        "valueQuantity": {"value": amount, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
        **more,
    }
