"""Properties of forms: filling again changes nothing, a person's answers survive, what leaves is valid."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.fhir.json import dump_json, parse_json
from gateway.forms.answers import clear_answer, set_answer
from gateway.forms.complete import complete
from gateway.forms.session import FormSession
from gateway.forms.validate import check_response
from tests.form_samples import AUTHOR, NOW, expression, filled, form, item, package

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TYPES = ("boolean", "integer", "decimal", "string", "text", "date", "choice", "open-choice")
OPTIONS = [{"valueCoding": {"system": "s", "code": code}} for code in ("a", "b")]
PATHS = (
    "%patient.name.family",
    "%patient.birthDate",
    "1",
    "true",
    "'a'",
    "%patient.name.given",
    "{}",
    "%nobody",
    "1 +",
)


@st.composite
def questions(draw: st.DrawFn, number: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(TYPES))
    more: dict[str, Any] = {"required": draw(st.booleans())}
    if kind in ("choice", "open-choice"):
        more["answerOption"] = OPTIONS
    if number and draw(st.booleans()):
        other = f"q{draw(st.integers(0, number - 1))}"
        more["enableWhen"] = [{"question": other, "operator": "exists", "answerBoolean": draw(st.booleans())}]
    rule = draw(st.sampled_from(["none", "initialExpression", "calculatedExpression"]))
    extensions = [] if rule == "none" else [expression(rule, draw(st.sampled_from(PATHS)))]
    return item(f"q{number}", kind, *extensions, **more)


@st.composite
def forms(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 6))
    plain = [draw(questions(number)) for number in range(count)]
    split = draw(st.integers(0, count))
    group = [item("g", "group", item=plain[split:])] if plain[split:] else []
    return form(*plain[:split], *group)


ENTRIES = st.sampled_from(["yes", "no", "1", "2.5", "2026-01-02", "a", "b", "some words", ""])
STEPS = st.lists(st.tuples(st.integers(0, 5), ENTRIES), max_size=8)


def played(questionnaire: dict[str, Any], steps: list[tuple[int, str]]) -> dict[str, Any]:
    """The working response after a person's steps; what does not fit is refused and left out."""
    parts = package(questionnaire)
    response: Any = filled(parts).response
    for number, text in steps:
        try:
            response = set_answer(parts, response, f"q{number}", [text], AUTHOR, NOW)
        except GatewayError:
            continue
        response = filled(parts, response).response
    return dict(response)


@QUICK
@given(forms(), STEPS)
def test_filling_again_changes_nothing(questionnaire: dict[str, Any], steps: list[tuple[int, str]]) -> None:
    response = played(questionnaire, steps)
    assert filled(package(questionnaire), response).response == response


@QUICK
@given(forms(), STEPS)
def test_a_draft_survives_being_stored(questionnaire: dict[str, Any], steps: list[tuple[int, str]]) -> None:
    response = played(questionnaire, steps)
    assert parse_json(dump_json(response)) == response


@QUICK
@given(forms(), STEPS)
def test_what_is_completed_is_valid_and_tells_each_origin_once(
    questionnaire: dict[str, Any], steps: list[tuple[int, str]]
) -> None:
    response = played(questionnaire, steps)
    try:
        done = complete(questionnaire, response, AUTHOR, NOW)
    except GatewayError:
        assert check_response(questionnaire, response)
        return
    assert check_response(questionnaire, done) == []
    session = FormSession.of_response(questionnaire)
    sheet = session.sheet(done)
    enabled = session.enabled(sheet).addresses
    for slot in sheet.walk():
        assert slot.address in enabled or not slot.answers
        for answer in slot.answers:
            origins = [one for one in answer["extension"] if one["url"].endswith("information-origin")]
            assert len(origins) == 1


@QUICK
@given(forms(), STEPS, st.integers(0, 5))
def test_what_a_person_cleared_stays_empty(
    questionnaire: dict[str, Any], steps: list[tuple[int, str]], number: int
) -> None:
    parts = package(questionnaire)
    response = played(questionnaire, steps)
    try:
        cleared = clear_answer(parts, response, f"q{number}", AUTHOR, NOW)
    except GatewayError:
        return
    session = FormSession.of_response(questionnaire)
    was = session.sheet(response).find(f"q{number}")
    again = session.sheet(filled(parts, cleared).response).find(f"q{number}")
    assert was is not None
    assert again is not None
    if was.answers:
        assert again.answers == []
