"""Trouble that others had with reading and writing FHIR: cases of area `fhir` and of attachments."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.bundle import BundleIndex
from gateway.fhir.check import check_structure
from gateway.fhir.instants import read_moment, write_instant
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.narrative import sanitise
from gateway.fhir.xml import parse_xml
from gateway.profiles.pas_supporting import attachment_hash, clean


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return {case["id"]: case for case in map(json.loads, lines)}


def test_b51_numbers_leave_as_they_came(cases: dict[str, Any]) -> None:
    body = cases["B51"]["input"]["body"].encode()
    loaded = parse_json(body)
    emitted = dump_json(loaded)
    assert emitted == body
    assert loaded["valueQuantity"]["value"] == 19
    assert str(loaded["referenceRange"][0]["low"]["value"]) == "1.00"
    assert loaded["referenceRange"][0]["high"]["value"] == Decimal("0.000000001")
    assert b"e-" not in emitted.lower()


def test_b53_times_carry_a_zone(cases: dict[str, Any]) -> None:
    given, expected = cases["B53"]["input"], cases["B53"]["expected"]
    for value in given["values"]:
        naive = datetime.fromisoformat(value["from"].removeprefix("naive "))
        assert write_instant(naive, given["practice_zone"]) == expected[value["element"]]
    incoming = parse_json(given["incoming"].encode())["effectiveDateTime"]
    moment = read_moment(incoming, given["practice_zone"])
    assert moment.note, "a data-quality note, not a refusal"
    assert write_instant(moment.starts_at) == expected["Observation.effectiveDateTime"]


def test_b55_relative_reference_takes_its_base_from_the_holder(cases: dict[str, Any]) -> None:
    bundle = cases["B55"]["input"]["bundle"]
    index = BundleIndex(bundle)
    claim, observation = bundle["entry"][0]["resource"], bundle["entry"][3]["resource"]
    found = index.resolve(claim["patient"]["reference"], holder=claim)
    assert found is not None
    assert found["gender"] == cases["B55"]["expected"]["Claim.patient"]
    assert index.resolve(observation["subject"]["reference"], holder=observation) is None
    assert index.resolve_loosely(observation["subject"]["reference"], holder=observation) is None


def test_b57_contained_belongs_to_its_own_container(cases: dict[str, Any]) -> None:
    bundle = cases["B57"]["input"]["bundle"]
    index = BundleIndex(bundle)
    for position, entry in enumerate(bundle["entry"]):
        found = index.resolve("#p", holder=entry["resource"])
        assert found is not None
        assert found["gender"] == cases["B57"]["expected"][f"entry{position}.subject"]


def test_b59_parallel_arrays_stay_aligned(cases: dict[str, Any]) -> None:
    body = cases["B59"]["input"]["body"].encode()
    loaded = parse_json(body)
    first, second = loaded["name"]
    assert (first["given"][1], first["_given"][1]["extension"][0]["valueString"]) == (None, "y")
    assert dump_json(loaded) == body, "nulls kept"
    assert second["_given"][0]["extension"][0]["valueString"] == "z"
    assert check_structure(body) == [], "accepted; the missing value array is legal"
    assert dump_json(clean(loaded)) == body, "deriving a resource keeps them too"


def test_b61_xml_without_the_namespace_is_refused(cases: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parse_xml(cases["B61"]["input"]["body"].encode())
    assert caught.value.http_status == cases["B61"]["expected"]["status"]
    assert cases["B61"]["expected"]["message_says"] in caught.value.diagnostics()


def test_b105_attachment_url_is_resolved_and_sent_inline(cases: dict[str, Any]) -> None:
    bundle, expected = cases["B105"]["input"]["bundle"], cases["B105"]["expected"]
    document = bundle["entry"][0]["resource"]
    attachment = document["content"][0]["attachment"]
    binary = BundleIndex(bundle).resolve(attachment["url"], holder=document)
    assert binary is not None
    body = base64.b64decode(binary["data"])
    assert body.decode() == expected["bytes"]
    assert (attachment_hash(body) == attachment["hash"]) is expected["hash_ok"]
    sent = clean(document, {bundle["entry"][1]["fullUrl"]: binary})["content"][0]["attachment"]
    assert base64.b64decode(sent["data"]) == body
    assert "url" not in sent


def test_b113_narrative_links_cannot_hide_their_scheme(cases: dict[str, Any]) -> None:
    shown, expected = sanitise(cases["B113"]["input"]["div"]), cases["B113"]["expected"]
    assert all(f">{text}<" in shown for text in ("a", "b", "c", "d"))
    assert shown.count("href=") == len(expected["links_left"])
    assert f'href="{expected["links_left"][0]}"' in shown
    assert not [word for word in ("script", "data:", "style", "x.example.net", "<img") if word in shown.lower()]
