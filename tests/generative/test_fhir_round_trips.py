"""What goes in comes out: JSON, XML, references and codes under generated input."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from xml.sax.saxutils import quoteattr

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import InputError
from gateway.fhir.bundle import BundleIndex, build_bundle
from gateway.fhir.codes import normalise_icd10
from gateway.fhir.instants import read_instant, write_instant
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.narrative import sanitise
from gateway.fhir.references import read_reference
from gateway.fhir.xml import parse_xml

words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029\ufffe\uffff"),
    min_size=1,
    max_size=30,
)
ids = st.from_regex(r"[A-Za-z0-9\-.]{1,20}", fullmatch=True)
decimals = st.from_regex(r"-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?", fullmatch=True).filter(lambda text: text != "-0")
"""FHIR decimals; a bare minus zero is a JSON integer and has no sign to keep."""


@st.composite
def patients(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """A Patient in JSON and the same one in XML."""
    family, given_names, gender = (
        draw(words),
        draw(st.lists(words, min_size=1, max_size=3)),
        draw(st.sampled_from(["male", "other"])),
    )
    amount = draw(decimals)
    extension = {"url": "urn:x", "valueDecimal": Decimal(amount)}
    resource = {
        "resourceType": "Patient",
        "id": draw(ids),
        "extension": [extension],
        "name": [{"family": family, "given": given_names}],
        "gender": gender,
    }
    names = "".join(f"<given value={quoteattr(name)}/>" for name in given_names)
    xml = (
        f'<Patient xmlns="http://hl7.org/fhir"><id value={quoteattr(str(resource["id"]))}/>'
        f'<extension url="urn:x"><valueDecimal value="{amount}"/></extension>'
        f"<name><family value={quoteattr(family)}/>{names}</name><gender value={quoteattr(gender)}/></Patient>"
    )
    return resource, xml


@settings(max_examples=60, deadline=None)
@given(patients())
def test_xml_and_json_say_the_same(pair: tuple[dict[str, Any], str]) -> None:
    resource, xml = pair
    assert dump_json(parse_xml(xml.encode())) == dump_json(resource)


@settings(max_examples=60, deadline=None)
@given(patients())
def test_json_round_trip_is_byte_for_byte(pair: tuple[dict[str, Any], str]) -> None:
    body = dump_json(pair[0])
    assert dump_json(parse_json(body)) == body


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | words.map(str.encode) | patients().map(lambda pair: pair[1].encode()[:-9]))
def test_hostile_bytes_end_in_a_typed_error(body: bytes) -> None:
    for parse in (parse_xml, parse_json):
        reason = "xml.json."
        try:
            parse(body)
        except InputError as error:
            reason = error.reason
        assert reason.startswith(("xml.", "json."))


@settings(max_examples=100, deadline=None)
@given(words | st.text(st.sampled_from("<>/&\"' abdiv=:;#x1"), max_size=60))
def test_narrative_never_grows_markup_of_its_own(text: str) -> None:
    shown = sanitise(f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>')
    assert "<script" not in shown.lower()
    assert " on" not in shown.partition(">")[0]


@given(st.sampled_from(["Patient", "Claim", "QuestionnaireResponse"]), ids, st.sampled_from(["", "https://e.org/fhir"]))
def test_reference_parts_rebuild_the_reference(kind: str, identity: str, base: str) -> None:
    text = f"{base}/{kind}/{identity}" if base else f"{kind}/{identity}"
    read = read_reference(text)
    assert (read.type, read.id, read.base, read.url) == (kind, identity, base, text)


@given(st.lists(ids, min_size=1, max_size=6, unique=True))
def test_every_entry_is_found_under_its_own_url(names: list[str]) -> None:
    bundle = build_bundle(
        "collection", [(f"https://e.org/fhir/Basic/{n}", {"resourceType": "Basic", "id": n}) for n in names]
    )
    index = BundleIndex(bundle)
    for name in names:
        found = index.resolve(f"Basic/{name}", from_full_url=f"https://e.org/fhir/Basic/{names[0]}")
        assert found is not None
        assert found["id"] == name


@given(st.datetimes(timezones=st.timezones() | st.none(), allow_imaginary=False))
def test_written_instants_are_read_back(moment: Any) -> None:
    try:
        text = write_instant(moment, "America/Denver")
        back = read_instant(text)
    except (InputError, OverflowError, ValueError):
        return  # offsets with seconds and years near the ends are outside FHIR's form
    assert write_instant(back) == write_instant(read_instant(text))


@given(words)
def test_icd10_normalising_is_idempotent(code: str) -> None:
    assert normalise_icd10(normalise_icd10(code)) == normalise_icd10(code)
