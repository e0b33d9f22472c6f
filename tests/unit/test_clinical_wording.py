"""Words of licensed questionnaires: where they come from, and whether answers to them count."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.clinical.instruments import require_instrument
from gateway.clinical.wording import (
    LicensedWording,
    NeutralDemoWording,
    TranscribedWording,
    choose_wording,
    countable,
    read_wording,
    stamp,
    wording_source,
)
from gateway.errors import SettingsError
from gateway.reasoning.record import RecordSnapshot

NDI = require_instrument("ndi").questionnaire
OPTIONS = [f"words {value}" for value in range(6)]


def wording_file(**changes: Any) -> dict[str, Any]:
    """A synthetic wording file; the words are invented."""
    items = {f"ndi-{number}": {"text": f"Topic {number}", "options": OPTIONS} for number in range(1, 11)}
    base = {"questionnaire": NDI["url"], "language": "en", "licence": "SYN-LICENCE-1", "items": items}
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def test_licensed_words_replace_topics_and_keep_codes() -> None:
    wording = read_wording(json.dumps(wording_file()).encode(), NDI)
    form = wording.worded(NDI)
    assert form["item"][0]["text"] == "Topic 1"
    option = form["item"][9]["answerOption"][5]["valueCoding"]
    assert (option["code"], option["display"]) == ("ordinal-5", "words 5")
    assert option["extension"][0]["valueDecimal"] == 5
    assert NDI["item"][0]["text"] == "Pain intensity", "the shipped form is not changed"
    assert "SYN-LICENCE-1" in wording.notice("index")


def _without(link_id: str) -> dict[str, Any]:
    items = dict(wording_file()["items"])
    del items[link_id]
    return items


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wording_file(licence=None), "licence"),
        (wording_file(licence="  "), "licence reference is needed"),
        (wording_file(licence="x"), "licence reference is needed"),
        (wording_file(colour="red"), "colour"),
        (wording_file(questionnaire="urn:oid:1.2.3"), "for another one"),
        (wording_file(items=_without("ndi-7")), "items.ndi-7"),
        (wording_file(items={**wording_file()["items"], "ndi-11": {"text": "x", "options": OPTIONS}}), "items.ndi-11"),
        (wording_file(items={**wording_file()["items"], "ndi-2": {"text": "x", "options": OPTIONS[:5]}}), "6 texts"),
        (wording_file(items={**wording_file()["items"], "ndi-2": {"text": "", "options": OPTIONS}}), "ndi-2.text"),
        (["not an object"], "the whole"),
    ],
)
def test_a_wording_file_with_a_fault_is_refused_with_its_place(content: Any, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_wording(json.dumps(content).encode(), NDI)
    assert words in refused.value.diagnostics()
    assert "instruments.wording_file" in refused.value.diagnostics()


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b'{"a": 1, "a": 2}', b" " * 1_000_001])
def test_a_wording_file_that_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(SettingsError, match=r"instruments\.wording_file"):
        read_wording(raw, NDI)


def test_the_words_follow_from_licence_and_mode() -> None:
    licensed = read_wording(json.dumps(wording_file()).encode(), NDI)
    assert choose_wording(licensed, is_production=True) is licensed
    assert isinstance(choose_wording(None, is_production=False), NeutralDemoWording)
    assert isinstance(choose_wording(None, is_production=True), TranscribedWording)


def test_generic_words_are_labelled_and_cover_every_topic() -> None:
    wording = NeutralDemoWording()
    assert "Not the validated Neck Disability Index" in wording.notice("Neck Disability Index")
    form = wording.worded(NDI)
    for item in form["item"]:
        shown = [option["valueCoding"]["display"] for option in item["answerOption"]]
        assert shown[0] == "not at all"
        assert len(set(shown)) == 6


def test_the_shipped_form_holds_topics_and_numbers_and_no_sentence() -> None:
    for item in NDI["item"]:
        assert len(item["text"].split()) <= 2
        assert [one["valueCoding"]["display"][0] for one in item["answerOption"]] == list("012345")
        assert item["code"][0]["system"] == "http://loinc.org"
    loinc = [item["code"][0]["code"] for item in NDI["item"]]
    assert loinc[0] == "82227-0"
    assert loinc[-1] == "82236-1"
    assert NDI["code"][0]["code"] == "82226-2"


@pytest.mark.parametrize(
    ("source", "is_production", "counts"),
    [
        ("neutral-demo", True, False),
        ("neutral-demo", False, True),
        ("licensed", True, True),
        ("transcribed", True, True),
        ("", True, True),
    ],
)
def test_production_refuses_to_count_answers_to_generic_words(source: Any, is_production: bool, counts: bool) -> None:
    response: dict[str, Any] = {"resourceType": "QuestionnaireResponse", "id": "r"}
    if source:
        response["extension"] = [stamp(source)]
    record = RecordSnapshot([response, {"resourceType": "Patient", "id": "p"}])
    assert wording_source(response) == source
    found = countable(record, is_production=is_production)
    assert (len(found.of_type("QuestionnaireResponse")) == 1) is counts
    assert len(found.of_type("Patient")) == 1


def test_the_stamp_names_the_licence() -> None:
    licensed = read_wording(json.dumps(wording_file()).encode(), NDI)
    assert isinstance(licensed, LicensedWording)
    assert {"url": "licence", "valueString": "SYN-LICENCE-1"} in stamp("licensed", licensed.licence)["extension"]
