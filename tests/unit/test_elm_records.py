"""The engine over a record: retrieves, choices, overloads, parameters, and the trace of what decided a value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.errors import ReasoningError
from gateway.reasoning.defines import DefineEvaluator
from gateway.reasoning.elm import ElmDefines, compile_library
from gateway.reasoning.elm.binding import bind_parameters
from gateway.reasoning.elm.codes import Code, Concept, ValueSet
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.quantities import Quantity
from gateway.reasoning.elm.results import fhir_json, result_json
from gateway.reasoning.elm.terminology import Terminology
from gateway.reasoning.record import RecordSnapshot
from tests.elm_samples import (
    FHIR,
    NOW,
    PATIENT,
    SYSTEM,
    alias,
    as_resource,
    elements,
    engine,
    function,
    library,
    lit,
    named,
    observation,
    op,
    prop,
    query,
    ref,
    retrieve,
    value,
)

CODES = [{"name": "C", "id": "urn:codes"}]
A_CODE = [{"name": "A", "id": "a", "codeSystem": {"name": "C"}}]
VALUE_SET = {"url": "urn:vs", "expansion": {"contains": [{"system": "urn:codes", "code": "a"}]}}
DATA = [
    PATIENT,
    observation(1, "a", 4, "2026-01-01"),
    observation(2, "b", Decimal("5.50"), "2026-02-01"),
    observation(3, "a", 6, "2026-03-01"),
    observation(4, "a", 9, "2026-03-01", subject={"reference": "Patient/other"}),
]


def ids(expression: Any, **more: Any) -> list[str]:
    """Ids of the resources of an expression."""
    return [node.value["id"] for node in value_of(expression, **more)]


def value_of(expression: Any, **more: Any) -> Any:
    data = more.pop("data", DATA)
    sections = {
        key: more.pop(key) for key in ("codeSystems", "codes", "valueSets", "parameters", "functions") if key in more
    }
    outcome = engine(library(defines={"t": expression}, **sections), data=data, **more).outcome("t")
    if outcome.error is not None:
        raise outcome.error
    return outcome.value


def test_a_retrieve_takes_the_patient_only() -> None:
    assert ids(retrieve("Observation")) == ["o1", "o2", "o3"]


def test_a_retrieve_by_code_list_and_value_set() -> None:
    by_code = retrieve("Observation", codes=op("ToList", {"type": "CodeRef", "name": "A"}))
    assert ids(by_code, codeSystems=CODES, codes=A_CODE) == ["o1", "o3"]
    sets = [{"name": "V", "id": "urn:vs"}]
    by_set = retrieve(
        "Observation", codeProperty="code", codeComparator="in", codes={"type": "ValueSetRef", "name": "V"}
    )
    assert ids(by_set, valueSets=sets, value_sets=[VALUE_SET]) == ["o1", "o3"]
    with pytest.raises(ReasoningError) as caught:
        ids(by_set, valueSets=sets)
    assert caught.value.reason == "elm.valueset"


def test_a_value_set_that_is_not_in_the_package_fails_only_its_define() -> None:
    wanted = retrieve("Observation", codes={"type": "ValueSetRef", "name": "V"})
    elm = library(
        valueSets=[{"name": "V", "id": "urn:none"}],
        defines={"t": wanted, "other": op("Count", retrieve("Observation"))},
    )
    session = engine(elm, data=DATA)
    assert session.outcome("t").error is not None
    assert session.outcome("other").value == 3


def test_a_retrieve_by_code_path_and_date_range() -> None:
    status = retrieve("Observation", codeProperty="status", codes=elements("final"))
    assert ids(status) == ["o1", "o2", "o3"]
    day = {"type": "DateTime", "year": lit(2026), "month": lit(2), "day": lit(1)}
    late = {"type": "Interval", "low": day, "high": {"type": "Null"}, "lowClosed": True, "highClosed": True}
    assert ids(retrieve("Observation", dateProperty="effective", dateRange=late)) == ["o2", "o3"]
    assert ids(retrieve("Observation", dateFilter=[{"property": "effective", "value": late}])) == ["o2", "o3"]
    assert ids(retrieve("Observation", id=lit("o2"))) == ["o2"]
    with pytest.raises(ReasoningError):
        ids(retrieve("Observation", codeProperty="colour", codes=elements("red")))


def test_types_without_a_patient_and_related_context() -> None:
    practitioners = [{"resourceType": "Practitioner", "id": one} for one in ("d1", "d2")]
    visit = {
        "resourceType": "Encounter",
        "id": "e1",
        "subject": {"reference": "Patient/p1"},
        "participant": [{"individual": {"reference": "Practitioner/d1"}}],
    }
    other = {"resourceType": "Encounter", "id": "e2", "subject": {"reference": "Patient/p1"}}
    data = [PATIENT, *practitioners, visit, other]
    assert ids(retrieve("Practitioner"), data=data) == ["d1", "d2"]
    doctor = {"type": "First", "source": retrieve("Practitioner")}
    assert ids(retrieve("Encounter", context=doctor), data=data) == ["e1"]
    assert ids(retrieve("Practitioner", context=doctor), data=data) == ["d1"]


def test_absolute_and_versioned_references_lead_to_the_patient() -> None:
    texts = [
        "Patient/p1",
        "https://ehr.example/fhir/Patient/p1",
        "Patient/p1/_history/3",
        "Patient/p2",
        "urn:uuid:1",
        "",
    ]
    data = [
        PATIENT,
        *(observation(n, "a", 1, "2026-01-01", subject={"reference": text}) for n, text in enumerate(texts)),
    ]
    assert ids(retrieve("Observation"), data=data) == ["o0", "o1", "o2"]


def test_choices_are_read_under_each_of_their_names() -> None:
    first = {"type": "First", "source": retrieve("Observation")}
    for name, wanted in (("Quantity", "4"), ("SimpleQuantity", "4"), ("string", None)):
        as_type = op("As", prop(first, "value"), asTypeSpecifier=named(FHIR + name))
        found = value_of(prop(as_type, "value", "value") if wanted else as_type)
        assert (None if found is None else str(found)) == wanted
    is_quantity = op("Is", prop(first, "value"), isTypeSpecifier=named(FHIR + "Quantity"))
    assert value_of(is_quantity) is True
    converted = op("As", prop(first, "value"), asTypeSpecifier=named(SYSTEM + "Quantity"))
    assert value_of(converted) == Quantity(Decimal(4), "mg")
    strict = op("As", prop(first, "value"), asTypeSpecifier=named(FHIR + "string"), strict=True)
    with pytest.raises(ReasoningError):
        value_of(strict)


def test_a_primitive_with_only_an_extension_has_no_value() -> None:
    patient = {**PATIENT, "birthDate": None, "_birthDate": {"extension": [{"url": "u", "valueString": "x"}]}}
    patient.pop("birthDate")
    born = prop(op("SingletonFrom", retrieve("Patient")), "birthDate")
    assert value_of(op("IsNull", born), data=[patient]) is False
    assert value_of(prop(born, "value"), data=[patient]) is None
    text = prop({"type": "First", "source": prop(born, "extension")}, "value", "value")
    assert value_of(text, data=[patient]) == "x"


def test_overloads_are_told_apart_by_run_time_types() -> None:
    first = {"type": "First", "source": retrieve("Observation")}
    functions = [
        function("kind", {"x": FHIR + "Quantity"}, lit("quantity")),
        function("kind", {"x": FHIR + "string"}, lit("string")),
        function("kind", {"x": FHIR + "Element"}, lit("element")),
        function("kind", {"x": SYSTEM + "Integer"}, lit("integer")),
        function("kind", {"x": SYSTEM + "Any"}, lit("any")),
    ]

    def kind(argument: Any, **more: Any) -> Any:
        return value_of({"type": "FunctionRef", "name": "kind", "operand": [argument], **more}, functions=functions)

    assert kind(prop(first, "value")) == "quantity"
    assert kind(prop(first, "code")) == "element"
    assert kind(lit(1)) == "integer"
    assert kind(lit("x")) == "any"
    assert kind(lit(1), signature=[named(SYSTEM + "Any")]) == "any"
    with pytest.raises(ReasoningError):
        value_of({"type": "FunctionRef", "name": "kind", "operand": [lit(1), lit(2)]}, functions=functions)


def test_helpers_are_native_when_the_package_has_none() -> None:
    first = {"type": "First", "source": retrieve("Observation")}
    includes = [{"localIdentifier": "H", "path": "FHIRHelpers", "version": "4.0.1"}]

    def helped(name: str, argument: Any) -> Any:
        call = {"type": "FunctionRef", "libraryName": "H", "name": name, "operand": [argument]}
        outcome = engine(library(includes=includes, defines={"t": call}), data=DATA).outcome("t")
        assert outcome.error is None, outcome.error
        return outcome.value

    assert helped("ToString", prop(first, "status")) == "final"
    assert helped("ToConcept", prop(first, "code")) == Concept((Code("a", "urn:codes"),))
    assert helped("ToQuantity", op("As", prop(first, "value"), asTypeSpecifier=named(FHIR + "Quantity"))) == Quantity(
        Decimal(4), "mg"
    )
    assert helped("ToInterval", lit(None)) is None


def test_parameters_are_read_by_their_declared_type() -> None:
    period = {"type": "IntervalTypeSpecifier", "pointType": named(SYSTEM + "DateTime")}
    declared = [
        {"name": "p", "parameterTypeSpecifier": period},
        {"name": "n", "parameterTypeSpecifier": named(SYSTEM + "Integer"), "default": lit(7)},
        {"name": "order", "parameterTypeSpecifier": named(FHIR + "ServiceRequest")},
    ]

    def with_given(name: str, given: dict[str, Any]) -> Any:
        session = engine(
            library(parameters=declared, defines={"t": {"type": "ParameterRef", "name": name}}), parameters=given
        )
        outcome = session.outcome("t")
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    assert with_given("n", {}) == 7
    assert with_given("n", {"n": 3}) == 3
    assert with_given("order", {}) is None
    assert with_given("order", {"order": {"resourceType": "ServiceRequest", "id": "s"}}).value["id"] == "s"
    assert with_given("p", {"p": {"low": "2026-01-01", "high": None}}).low.text() == "2026-01-01"
    for wrong in ({"n": "three"}, {"n": 2**40}, {"order": {"resourceType": "Patient"}}):
        with pytest.raises(ReasoningError):
            with_given(next(iter(wrong)), wrong)


@pytest.mark.parametrize(
    ("declared", "contexts", "order", "bound"),
    [
        ({"patient": "Patient"}, {"patient": {"resourceType": "Patient", "id": "p"}}, None, {"patient": "p"}),
        (
            {"device_request": "DeviceRequest", "service_request": "ServiceRequest"},
            {},
            "ServiceRequest",
            {"service_request": "o"},
        ),
        ({"anything": "ServiceRequest"}, {}, "ServiceRequest", {"anything": "o"}),
        ({"one": "ServiceRequest", "two": "ServiceRequest"}, {}, "ServiceRequest", {}),
        ({"patient": "Encounter"}, {"patient": {"resourceType": "Patient", "id": "p"}}, None, {}),
        ({"service_request": "DomainResource"}, {}, "ServiceRequest", {"service_request": "o"}),
    ],
)
def test_contexts_and_the_order_are_bound(declared: Any, contexts: Any, order: Any, bound: Any) -> None:
    parameters = [{"name": name, "parameterTypeSpecifier": named(FHIR + kind)} for name, kind in declared.items()]
    compiled = compile_library(library(parameters=parameters, defines={"t": lit(1)}))
    found = bind_parameters([compiled], contexts, {"resourceType": order, "id": "o"} if order else None)
    assert {name: resource["id"] for name, resource in found.items()} == bound


def joined(kind: str, keys: list[Any], *more: Any) -> list[Any]:
    """Rows 1 to 3 with or without a tuple whose key is theirs."""
    rows = elements(*({"type": "Tuple", "element": [{"name": "k", "value": lit(key)}]} for key in ("1", "2", "3")))
    others = elements(*({"type": "Tuple", "element": [{"name": "k", "value": lit(key)}]} for key in keys))
    same = op("Equal", prop(alias("Y"), "k"), prop(alias("X"), "k"))
    condition = op("And", same, more[0]) if more else same
    relation = {"type": kind, "alias": "Y", "expression": others, "suchThat": condition}
    return [row["k"] for row in value(query(rows, relationship=[relation]))]


def test_joins_find_their_rows_by_key() -> None:
    assert joined("With", ["3", None, "1", "9"]) == ["1", "3"]
    assert joined("Without", ["3", None, "1", "9"]) == ["2"]
    assert joined("With", []) == []
    assert joined("Without", []) == ["1", "2", "3"]
    assert joined("With", ["3", "1"], op("Equal", prop(alias("Y"), "k"), lit("3"))) == ["3"]
    assert joined("With", [3, 1]) == []


WHEN = prop({"type": "IdentifierRef", "name": "effective"}, "value")
LATEST = {
    "type": "Last",
    "source": query(
        retrieve("Observation"),
        where=op("Equal", prop(alias("X"), "status", "value"), lit("final")),
        sort={"by": [{"type": "ByExpression", "direction": "asc", "expression": WHEN}]},
    ),
}


def traced(expression: Any, **more: Any) -> list[tuple[str, str, str]]:
    elm = library(defines={"base": expression, "t": more.pop("through", ref("base"))})
    session = ElmDefines([as_resource(elm)], (), RecordSnapshot(DATA), now=NOW)
    return [(one.reference, one.version, one.element) for one in session.evaluate("t").sources]


def test_the_trace_names_the_row_that_was_picked_and_no_other() -> None:
    amount = prop(op("As", prop(ref("base"), "value"), asTypeSpecifier=named(FHIR + "Quantity")), "value", "value")
    assert traced(LATEST, through=amount) == [
        ("Observation/o3", "3", "Observation.status"),
        ("Observation/o3", "3", "Observation.value.value"),
    ]


def test_rows_that_a_query_drops_leave_no_trace() -> None:
    only_b = query(retrieve("Observation"), where=op("Equal", prop(alias("X"), "id"), lit("o2")))
    assert traced(op("Exists", only_b)) == [("Observation/o2", "2", "")]


def test_an_explanation_is_two_plain_lines() -> None:
    elm = library(defines={"base": LATEST, "t": op("IsNull", ref("base")), "none": op("Exists", retrieve("Condition"))})
    session = ElmDefines([as_resource(elm)], (), RecordSnapshot(DATA), now=NOW)
    assert session.explain("t").lines() == (
        "Read from Observation/o3 version 3 (Observation.status).",
        "Computed by t of T|1 through T.base.",
    )
    assert session.explain("none").lines()[0] == "The chart has no Condition that fits."


def test_elm_defines_is_a_define_evaluator() -> None:
    session: DefineEvaluator = ElmDefines(
        [as_resource(library(defines={"t": lit(1)}))], (), RecordSnapshot([]), now=NOW
    )
    found = session.evaluate("t")
    assert (found.value, found.library, found.error) == (1, "T|1", "")


def test_codes_by_membership() -> None:
    session = engine(
        library(
            codeSystems=CODES,
            codes=A_CODE,
            valueSets=[{"name": "V", "id": "urn:vs"}],
            defines={
                "in": {"type": "InValueSet", "code": {"type": "CodeRef", "name": "A"}, "valueset": {"name": "V"}},
                "text": {"type": "InValueSet", "code": lit("zzz"), "valueset": {"name": "V"}},
                "null": {"type": "InValueSet", "code": lit(None), "valueset": {"name": "V"}},
            },
        ),
        value_sets=[VALUE_SET],
    )
    assert [session.outcome(name).value for name in ("in", "text", "null")] == [True, False, False]


@pytest.mark.parametrize(
    ("value_set", "known"),
    [
        ({"url": "v", "compose": {"include": [{"system": "s", "concept": [{"code": "x"}]}]}}, True),
        ({"url": "v", "compose": {"include": [{"system": "s"}]}}, False),
        ({"url": "v", "compose": {"include": [{"system": "s", "filter": [{"property": "p"}]}]}}, False),
        ({"url": "v", "compose": {"include": [{"valueSet": ["v"]}]}}, False),
        ({"url": "v"}, False),
        (
            {
                "url": "v",
                "expansion": {
                    "contains": [{"abstract": True, "code": "g", "contains": [{"system": "s", "code": "x"}]}]
                },
            },
            True,
        ),
        (
            {
                "url": "v",
                "compose": {
                    "include": [{"system": "s", "concept": [{"code": "x"}, {"code": "y"}]}],
                    "exclude": [{"system": "s", "concept": [{"code": "y"}]}],
                },
            },
            True,
        ),
    ],
)
def test_value_sets_are_listed_or_refused(value_set: Any, known: bool) -> None:
    terminology = Terminology([value_set])
    if not known:
        with pytest.raises(ReasoningError):
            terminology.expand(ValueSet("v"))
        return
    assert terminology.expand(ValueSet("v")).has(Code("x", "s"))
    assert not terminology.expand(ValueSet("v")).has(Code("y", "s"))


def test_a_value_set_of_another_version_is_not_used() -> None:
    terminology = Terminology([{**VALUE_SET, "version": "2"}])
    assert terminology.expand(ValueSet("urn:vs", "2")).has(Code("a", "urn:codes"))
    with pytest.raises(ReasoningError):
        terminology.expand(ValueSet("urn:vs", "1"))


@pytest.mark.parametrize(
    ("given", "plain", "fhir"),
    [
        (Quantity(Decimal("5.50"), "mg"), {"value": Decimal("5.50"), "unit": "mg"}, "mg"),
        (Quantity(Decimal(3), "days"), {"value": Decimal(3), "unit": "days"}, "d"),
        (Code("a", "s", None, "d"), {"code": "a", "system": "s", "display": "d"}, None),
        (Interval(1, None, True, False), {"low": 1, "high": None, "lowClosed": True, "highClosed": False}, None),
        (None, None, None),
    ],
)
def test_results_as_json(given: Any, plain: Any, fhir: str | None) -> None:
    assert result_json(given) == plain
    if fhir:
        assert fhir_json(given)["code"] == fhir


def test_periods_and_ranges_come_back_as_fhir() -> None:
    one, two = Quantity(Decimal(1), "mg"), Quantity(Decimal(2), "mg")
    assert [fhir_json(Interval(one, two))[name]["value"] for name in ("low", "high")] == [1, 2]
    assert fhir_json(Concept((Code("a", "s"),), "text")) == {"coding": [{"system": "s", "code": "a"}], "text": "text"}


def test_quantities_with_a_comparator_are_no_numbers() -> None:
    data = [PATIENT, observation(1, "a", 4, "2026-01-01")]
    data[1]["valueQuantity"]["comparator"] = "<"
    first = prop({"type": "First", "source": retrieve("Observation")}, "value")
    with pytest.raises(ReasoningError):
        value_of(op("Greater", first, {"type": "Quantity", "value": 1, "unit": "mg"}), data=data)


def test_nothing_of_one_evaluation_reaches_the_next() -> None:
    elm = library(defines={"t": op("Count", retrieve("Observation"))})
    assert engine(elm, data=DATA).outcome("t").value == 3
    assert engine(elm, data=[PATIENT]).outcome("t").value == 0
    assert value(op("Count", retrieve("Observation")), data=DATA[:2]) == 1
