"""DTR packages of the conformance kit: read, populated and answered without a slip, whatever they carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import parse_json
from gateway.forms.populate import Draft, populate
from gateway.forms.view import form_view
from gateway.profiles import dtr_2_0_1, dtr_2_2_0
from gateway.profiles.dtr_2_2_0 import FormPackageParts, read_package_answer
from gateway.profiles.dtr_guide import DtrGuide, dtr_guide
from gateway.reasoning.record import RecordSnapshot
from tests.form_samples import LAUNCH, NOW

PACKAGES = {
    "home_oxygen_package_parameters.json": 1,
    "questionnaire_dinner_order_static.json": 1,
    "questionnaire_dinner_order_adaptive.json": 1,
}


@pytest.fixture(params=sorted(PACKAGES))
def package(request: pytest.FixtureRequest, corpora: Path) -> FormPackageParts:
    answer = read_package_answer(parse_json((corpora / "dtr" / request.param).read_bytes()))
    assert len(answer.packages) == PACKAGES[request.param]
    return answer.packages[0]


def drafted(package: FormPackageParts, version: str = "2.2.0", previous: Any = None) -> Draft:
    guide: DtrGuide = dtr_guide(version)
    return populate(package, LAUNCH, RecordSnapshot(()), previous, NOW, lambda: "qr", None, guide)


def answers(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for answer in node.get("answer", ()):
        yield answer
        yield from answers(answer)
    for item in node.get("item", ()):
        yield from answers(item)


@pytest.mark.requirement("dtr:spec-14")
def test_an_unseen_form_is_shown_whole(package: FormPackageParts) -> None:
    draft = drafted(package)
    rows = form_view(package, draft).rows
    assert {row.link_id for row in rows} == set(form_links(package.questionnaire))
    assert [row for row in rows if row.enabled and row.is_question and not row.values and row.trace is None] == []


def form_links(node: Mapping[str, Any]) -> Iterator[str]:
    for item in node.get("item", ()):
        yield item["linkId"]
        yield from form_links(item)


@pytest.mark.requirement("dtr:spec-79")
def test_logic_that_cannot_run_is_said_and_stops_nothing(package: FormPackageParts) -> None:
    draft = drafted(package)
    logic = [trace for trace in draft.answers if trace.language in ("text/cql", "application/elm+json")]
    assert all(trace.reason_if_empty == "logic cannot be run here" for trace in logic)
    assert {problem.code for problem in draft.problems} <= {"logic.unavailable", "form.value-set"}


@pytest.mark.requirement("dtr:spec-137")
@pytest.mark.parametrize("version", ["2.2.0", "2.0.1"])
def test_every_answer_has_exactly_one_origin_of_the_version(package: FormPackageParts, version: str) -> None:
    codes = {"2.2.0": {"auto-client", "auto-server"}, "2.0.1": {"auto"}}[version]
    for answer in answers(drafted(package, version).response):
        found = [one for one in answer["extension"] if one["url"].endswith("/information-origin")]
        assert len(found) == 1
        assert found[0]["extension"][0]["valueCode"] in codes
        assert answer["id"]


@pytest.mark.requirement("dtr:spec-71")
def test_filling_again_gives_the_same(package: FormPackageParts) -> None:
    first = drafted(package)
    assert drafted(package, previous=first.response).response == first.response


@pytest.mark.requirement("dtr:spec-72")
def test_a_response_of_the_kit_keeps_what_a_person_said(corpora: Path) -> None:
    body = parse_json((corpora / "dtr" / "dinner_questionnaire_response_conformant.json").read_bytes())
    (package,) = read_package_answer(
        parse_json((corpora / "dtr" / "questionnaire_dinner_order_static.json").read_bytes())
    ).packages
    guide = dtr_guide("2.0.1")
    draft = drafted(package, "2.0.1", {**body, "status": "in-progress"})
    before = [one for one in answers(body) if _is_person(guide, one)]
    after = [one for one in answers(draft.response) if _is_person(guide, one)]
    assert before
    assert [_value(one) for one in after] == [_value(one) for one in before]


def _is_person(guide: DtrGuide, answer: Mapping[str, Any]) -> bool:
    origin = guide.read_origin(answer)
    return origin is not None and not guide.is_machine(origin.source)


def _value(answer: Mapping[str, Any]) -> Any:
    return next(value for key, value in answer.items() if key.startswith("value"))


def test_both_versions_offer_the_same_functions() -> None:
    public = [name for name in dtr_2_2_0.__all__ if name[0].islower()]
    assert all(callable(getattr(dtr_2_0_1, name)) for name in public)
    assert sorted(dtr_2_0_1.__all__) == sorted(dtr_2_2_0.__all__)
