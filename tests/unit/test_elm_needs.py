"""What logic will ask for, told before it runs: types that it retrieves, value sets whose codes are not at hand."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.fhir.json import dump_json
from gateway.reasoning.elm import ElmDefines
from gateway.reasoning.record import RecordSnapshot
from tests.elm_samples import NOW, as_resource, elements, function, library, lit, op, ref, retrieve

CALL = {"type": "FunctionRef", "name": "helper", "libraryName": "C", "operand": [lit(1)]}
MAIN = library(
    "Main",
    includes=[{"localIdentifier": "C", "path": "Common", "version": "1"}],
    defines={
        "own": op("Exists", retrieve("Immunization")),
        "through": op("And", ref("own"), op("Exists", ref("shared", "C"))),
        "called": CALL,
        "none": lit(1),
        "circle": op("Or", ref("circle"), op("Exists", retrieve("Goal"))),
        "broken": op("And", ref("nowhere", "X"), op("Exists", retrieve("CarePlan"))),
        "two": elements(retrieve("Device"), retrieve("Device"), retrieve("Account")),
    },
)
COMMON = library(
    "Common",
    defines={"shared": retrieve("Procedure"), "unused": retrieve("Appointment")},
    functions=[function("helper", {"x": "{urn:hl7-org:elm-types:r1}Integer"}, op("Exists", retrieve("Claim")))],
)


def defines(*value_sets: Any) -> ElmDefines:
    return ElmDefines([as_resource(MAIN), as_resource(COMMON)], value_sets, RecordSnapshot(()), now=NOW)


@pytest.mark.requirement("dtr:spec-69")
@pytest.mark.parametrize(
    ("names", "types"),
    [
        ([("own", "Main")], ("Immunization",)),
        ([("through", "Main")], ("Immunization", "Procedure")),
        ([("called", None)], ("Claim",)),
        ([("circle", None)], ("Goal",)),
        ([("broken", None)], ("CarePlan",)),
        ([("two", None)], ("Account", "Device")),
        ([("none", None)], ()),
        ([("none", None), ("unknown", "Nowhere")], ()),
        ([("shared", "Common")], ("Procedure",)),
    ],
)
def test_types_are_those_of_what_is_asked_and_all_it_uses(names: Any, types: tuple[str, ...]) -> None:
    assert defines().retrieved_types(names) == types


def test_without_names_every_define_of_the_main_libraries_counts() -> None:
    found = defines().retrieved_types(())
    assert found == ("Account", "CarePlan", "Claim", "Device", "Goal", "Immunization", "Procedure")


def test_inline_logic_counts_with_what_it_includes() -> None:
    links = [{"localIdentifier": "M", "path": "Main", "version": "1"}]
    inline = library("", includes=links, defines={"t": op("And", ref("own", "M"), op("Exists", retrieve("Slot")))})
    assert defines().retrieved_types((), [dump_json(inline).decode(), "no logic"]) == ("Immunization", "Slot")


def vs(name: str, version: str = "") -> dict[str, str]:
    return {"name": name, "id": f"urn:vs:{name}", **({"version": version} if version else {})}


def expanded(name: str, version: str = "", **expansion: Any) -> dict[str, Any]:
    contains = {"contains": [{"system": "urn:codes", "code": "a"}], **expansion}
    return {"resourceType": "ValueSet", "url": f"urn:vs:{name}", "version": version, "expansion": contains}


@pytest.mark.requirement("dtr:spec-163")
def test_value_sets_are_asked_for_when_their_codes_are_not_all_here() -> None:
    declared = [vs("here"), vs("missing"), vs("newer", "2"), vs("partly"), vs("filter"), vs("enumerated")]
    filtered = {"system": "urn:codes", "filter": [{"property": "concept", "op": "is-a", "value": "a"}]}
    codes = {"system": "urn:codes", "concept": [{"code": "a"}]}
    value_sets = [
        expanded("here"),
        expanded("newer", "1"),
        expanded("partly", total=70),
        {"resourceType": "ValueSet", "url": "urn:vs:filter", "compose": {"include": [filtered]}},
        {"resourceType": "ValueSet", "url": "urn:vs:enumerated", "compose": {"include": [codes]}},
    ]
    elm = as_resource(library("V", valueSets=declared, defines={"t": lit(1)}))
    session = ElmDefines([elm], value_sets, RecordSnapshot(()), now=NOW)
    assert session.unlisted_value_sets() == ("urn:vs:missing", "urn:vs:newer|2", "urn:vs:partly", "urn:vs:filter")
