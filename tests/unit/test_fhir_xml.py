"""FHIR XML: what becomes of it, and what is refused."""

from __future__ import annotations

import codecs
import json
import tarfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.elements import element_table, is_resource_type
from gateway.fhir.json import dump_json
from gateway.fhir.xml import parse_xml

NS = 'xmlns="http://hl7.org/fhir"'


def xml(inside: str, kind: str = "Patient") -> bytes:
    return f"<{kind} {NS}>{inside}</{kind}>".encode()


CONVERTED: list[tuple[str, str, dict[str, Any]]] = [
    ("scalar", '<gender value="female"/>', {"gender": "female"}),
    ("boolean", '<active value="true"/>', {"active": True}),
    ("integer", '<multipleBirthInteger value="2"/>', {"multipleBirthInteger": 2}),
    ("single of a list", '<name><family value="A"/></name>', {"name": [{"family": "A"}]}),
    ("blanks between elements", '\n  <id value="1"/>\n', {"id": "1"}),
    ("characters", '<name><family value="A &amp; &lt;B&gt; &#233;"/></name>', {"name": [{"family": "A & <B> é"}]}),
    (
        "primitive with id and extension",
        '<birthDate value="1960" id="b"><extension url="urn:x"><valueCode value="c"/></extension></birthDate>',
        {"birthDate": "1960", "_birthDate": {"id": "b", "extension": [{"url": "urn:x", "valueCode": "c"}]}},
    ),
    (
        "primitive without value",
        '<birthDate><extension url="urn:x"><valueCode value="c"/></extension></birthDate>',
        {"_birthDate": {"extension": [{"url": "urn:x", "valueCode": "c"}]}},
    ),
    (
        "parallel arrays",
        '<name><given value="A"/><given id="g"/><given value="C"/></name>',
        {"name": [{"given": ["A", None, "C"], "_given": [None, {"id": "g"}, None]}]},
    ),
    ("array of extensions only", '<name><given id="g"/></name>', {"name": [{"_given": [{"id": "g"}]}]}),
    ("element id", '<name id="n"><family value="A"/></name>', {"name": [{"id": "n", "family": "A"}]}),
    (
        "contained",
        '<contained><Organization><id value="o"/></Organization></contained>',
        {"contained": [{"resourceType": "Organization", "id": "o"}]},
    ),
    (
        "nested extension",
        '<extension url="a"><extension url="b"><valueString value="c"/></extension></extension>',
        {"extension": [{"url": "a", "extension": [{"url": "b", "valueString": "c"}]}]},
    ),
    ("comments and instructions", '<!-- x --><?php y ?><id value="1"/>', {"id": "1"}),
]


@pytest.mark.parametrize(("what", "inside", "expected"), CONVERTED, ids=[case[0] for case in CONVERTED])
def test_xml_becomes_fhir_json(what: str, inside: str, expected: dict[str, Any]) -> None:
    assert parse_xml(xml(inside)) == {"resourceType": "Patient", **expected}


@pytest.mark.parametrize("digits", ["87.50", "0.000000001", "1E-9", "-0.0", "100", "12345678901234567890.123456789"])
def test_decimals_keep_their_digits(digits: str) -> None:
    body = xml(f'<valueQuantity><value value="{digits}"/></valueQuantity>', "Observation")
    value = parse_xml(body)["valueQuantity"]["value"]
    assert Decimal(value) == Decimal(digits)
    if "E" not in digits:
        assert digits.encode() in dump_json(parse_xml(body))


def test_narrative_is_one_string_with_its_namespace() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml" lang="fi" xml:lang="fi"><p>a &lt; <b>b</b><br/>é</p></div>'
    found = parse_xml(xml(f'<text><status value="generated"/>{div}</text>'))["text"]
    assert found == {"status": "generated", "div": div}


def test_bundle_and_parameters_hold_resources() -> None:
    entry = '<entry><fullUrl value="urn:uuid:1"/><resource><Patient><id value="p"/></Patient></resource></entry>'
    bundle = parse_xml(xml(f'<type value="collection"/>{entry}', "Bundle"))
    assert bundle["entry"] == [{"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "p"}}]
    held = "<parameter><name value='n'/><resource><Basic/></resource></parameter>"
    assert parse_xml(xml(held, "Parameters"))["parameter"] == [{"name": "n", "resource": {"resourceType": "Basic"}}]


@pytest.mark.threat("T4")
def test_prefixed_root_and_schema_hint_are_fine() -> None:
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<f:Patient xmlns:f="http://hl7.org/fhir" '
        b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir patient.xsd">'
        b'<f:id value="1"/></f:Patient>'
    )
    assert parse_xml(body) == {"resourceType": "Patient", "id": "1"}
    assert parse_xml(codecs.BOM_UTF8 + body) == {"resourceType": "Patient", "id": "1"}


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
XXE = '<!DOCTYPE Patient [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
REFUSED = [
    ("empty", b"", "xml.syntax"),
    ("not xml", b"{}", "xml.syntax"),
    ("cut off", xml("")[:-3], "xml.syntax"),
    ("no namespace", b"<Patient/>", "xml.namespace"),
    ("other namespace", b'<Patient xmlns="urn:x"/>', "xml.namespace"),
    ("doctype", f"<!DOCTYPE Patient><Patient {NS}/>".encode(), "xml.doctype"),
    ("external entity", f"{XXE}<Patient {NS}><id value='&x;'/></Patient>".encode(), "xml.doctype"),
    (
        "billion laughs",
        f'<!DOCTYPE P [<!ENTITY e0 "x">{BOMB}]><Patient {NS}><id value="&e9;"/></Patient>'.encode(),
        "xml.doctype",
    ),
    (
        "parameter entity",
        f'<!DOCTYPE P [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;]><Patient {NS}/>'.encode(),
        "xml.doctype",
    ),
    ("undeclared entity", xml('<id value="&nope;"/>'), "xml.syntax"),
    (
        "inclusion",
        xml('<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/passwd"/>'),
        "xml.element",
    ),
    ("utf-16", f'<?xml version="1.0"?><Patient {NS}/>'.encode("utf-16"), "xml.encoding"),
    ("utf-16 without mark", f"<Patient {NS}/>".encode("utf-16-le"), "xml.encoding"),
    ("utf-7 declared", b'<?xml version="1.0" encoding="UTF-7"?>+ADw-Patient/+AD4-', "xml.encoding"),
    ("latin-1 declared", f'<?xml version="1.0" encoding="iso-8859-1"?><Patient {NS}/>'.encode(), "xml.encoding"),
    ("latin-1 undeclared", f"<Patient {NS}><id value='\xe9'/></Patient>".encode("latin-1"), "xml.encoding"),
    ("unknown type", f"<Patiant {NS}/>".encode(), "xml.resource-type"),
    ("data type as root", f"<HumanName {NS}/>".encode(), "xml.resource-type"),
    ("abstract type as root", f"<Resource {NS}/>".encode(), "xml.resource-type"),
    ("module name as root", f"<fhirtypes {NS}/>".encode(), "xml.resource-type"),
    ("unknown element", xml('<shoeSize value="43"/>'), "xml.element"),
    ("element twice", xml('<gender value="male"/><gender value="female"/>'), "xml.cardinality"),
    ("empty element", xml("<gender/>"), "xml.empty"),
    ("empty value", xml('<gender value=""/>'), "xml.value"),
    ("boolean as number", xml('<active value="1"/>'), "xml.value"),
    ("float as integer", xml('<multipleBirthInteger value="2.0"/>'), "xml.value"),
    ("NaN", xml('<valueQuantity><value value="NaN"/></valueQuantity>', "Observation"), "xml.value"),
    ("huge integer", xml(f'<multipleBirthInteger value="{"9" * 40}"/>'), "json.number"),
    ("text", xml("Sam"), "xml.text"),
    ("text after an element", xml('<id value="1"/>Sam'), "xml.text"),
    ("attribute", xml('<gender value="male" onload="x"/>'), "xml.attribute"),
    ("url on no extension", xml('<name url="x"/>'), "xml.attribute"),
    ("two resources in contained", xml("<contained><Basic/><Basic/></contained>"), "xml.element"),
    ("no resource in contained", xml("<contained/>"), "xml.element"),
    ("html in the fhir namespace", xml('<text><status value="generated"/><div value="x"/></text>'), "xml.value"),
    ("deep", xml('<extension url="a">' * 120 + "</extension>" * 120), "xml.depth"),
]


@pytest.mark.threat("T4")
@pytest.mark.parametrize(("what", "body", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_not_fhir_xml_is_refused_whole(what: str, body: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_xml(body)
    assert caught.value.reason == reason
    assert "Sam" not in caught.value.diagnostics()


@pytest.mark.threat("T4")
def test_size_and_depth_are_bounded_and_quick() -> None:
    with pytest.raises(InputError) as caught:
        parse_xml(b" " * 100, max_bytes=99)
    assert caught.value.http_status == 413
    begun = time.monotonic()
    with pytest.raises(InputError):
        parse_xml(b"<a>" * 200_000)
    assert time.monotonic() - begun < 5


def test_element_tables_know_types_and_repetition() -> None:
    table = element_table("Observation")
    assert (table["component"].is_list, table["component"].kind, table["component"].type_name) == (
        True,
        "complex",
        "ObservationComponent",
    )
    assert (table["valueQuantity"].is_list, table["valueBoolean"].kind, table["valueInteger"].kind) == (
        False,
        "boolean",
        "integer",
    )
    assert element_table("Encounter")["class"].type_name == "Coding"
    assert element_table("BundleEntry")["resource"].kind == "resource"
    assert element_table("Nothing") == {}
    assert [is_resource_type(n) for n in ("Bundle", "Patient", "HumanName", "DomainResource", "../x", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_published_examples_know_no_element_we_do_not(shared: Path) -> None:
    """Every member of the guides' JSON examples is in the tables, with the right repetition."""
    seen = 0
    with tarfile.open(shared / "packages" / "hl7.fhir.us.davinci-pas-2.2.1.tgz") as package:
        for member in package:
            if "/example/" in member.name and member.name.endswith(".json"):
                body = package.extractfile(member)
                assert body is not None
                resource = json.load(body)
                _compare(resource, resource["resourceType"])
                seen += 1
    assert seen > 30


def _compare(value: dict[str, Any], type_name: str) -> None:
    table = element_table(type_name)
    for name, held in value.items():
        element = table.get(name.removeprefix("_")) if name != "resourceType" else None
        assert element is not None or name == "resourceType", (type_name, name)
        if element is None or name.startswith("_"):
            continue
        assert isinstance(held, list) is element.is_list, (type_name, name)
        for item in held if element.is_list else [held]:
            if element.kind in ("complex", "resource"):
                _compare(item, item.get("resourceType", element.type_name))
