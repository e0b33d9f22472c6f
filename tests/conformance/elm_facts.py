"""Writes the facts that the ELM engine ships: FHIR model info and the UCUM table.

    python tests/conformance/elm_facts.py MODELINFO_FOLDER UCUM_ESSENCE.xml

Model info (cqframework/clinical_quality_language, Apache-2.0) is cut to what an engine needs: base types, element
types, code paths and the elements that lead to the patient. 4.0.0 is written as its differences from 4.0.1.
The UCUM table keeps code, value and unit of each unit, unchanged (https://ucum.org/license).
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

OUT = Path(__file__).resolve().parents[2] / "gateway" / "reasoning" / "elm" / "facts"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
UCUM = "{http://unitsofmeasure.org/ucum-essence}"


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _children(node: ET.Element, name: str) -> list[ET.Element]:
    return [child for child in node if _local(child.tag) == name]


def _plain(name: str) -> str:
    return name.removeprefix("FHIR.")


def _type_of(element: ET.Element) -> str:
    """`Quantity`, `Identifier*` for a list, `Quantity|string` for a choice."""
    if "elementType" in element.attrib:
        return _plain(element.attrib["elementType"])
    specifier = (_children(element, "elementTypeSpecifier") or _children(element, "typeSpecifier"))[0]
    kind = specifier.attrib[TYPE].split(":")[-1]
    if kind == "ListTypeSpecifier":
        return _type_of(specifier) + "*"
    if kind == "ChoiceTypeSpecifier":
        names = [choice.attrib["name"] for choice in _children(specifier, "choice") or _children(specifier, "type")]
        return "|".join(_plain(name) for name in names)
    return _plain(specifier.attrib["name"])


def _read_model(path: Path) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for info in _children(ET.parse(path).getroot(), "typeInfo"):
        elements = {element.attrib["name"]: _type_of(element) for element in _children(info, "element")}
        row: dict[str, Any] = {"base": _plain(info.attrib.get("baseType", "")), "elements": elements}
        if info.attrib.get("retrievable") == "true":
            row["code"] = info.attrib.get("primaryCodePath", "")
        paths = _patient_paths(info, elements)
        if paths:
            row["patient"] = paths
        types[_plain(info.attrib["name"])] = row
    return types


def _patient_paths(info: ET.Element, elements: dict[str, str]) -> list[str]:
    """Elements that say whose resource it is: the one it is about, else all that the compartment names.

    Context relationships name search parameters; their paths are listed beside them.
    """
    about = [name for name in ("subject", "patient", "beneficiary") if elements.get(name, "").startswith("Reference")]
    if about:
        return about[:1]
    searches = {one.attrib["name"]: one.attrib.get("path", "") for one in _children(info, "search")}
    found = []
    for relation in _children(info, "contextRelationship"):
        if relation.attrib["context"] == "Patient":
            key = relation.attrib["relatedKeyElement"]
            found.append(key if key in elements else searches.get(key, key))
    return [path for path in found if "(" not in path]


def write_model(folder: Path) -> None:
    new = _read_model(folder / "fhir-modelinfo-4.0.1.xml")
    old = _read_model(folder / "fhir-modelinfo-4.0.0.xml")
    for name, row in old.items():
        row.pop("patient", None)
        if "patient" in new.get(name, {}):
            row["patient"] = new[name]["patient"]
    changed = {name: row for name, row in old.items() if row != new.get(name)}
    body = {"4.0.1": new, "4.0.0": changed}
    (OUT / "fhir_model.json").write_text(json.dumps(body, separators=(",", ":"), sort_keys=True) + "\n")


def write_units(path: Path) -> None:
    root = ET.parse(path).getroot()
    prefixes = {one.attrib["Code"]: one.find(f"{UCUM}value").attrib["value"] for one in root.iter(f"{UCUM}prefix")}  # type: ignore[union-attr]
    units: dict[str, list[str]] = {}
    for base in root.iter(f"{UCUM}base-unit"):
        units[base.attrib["Code"]] = ["metric", "1", ""]
    for unit in root.iter(f"{UCUM}unit"):
        value = unit.find(f"{UCUM}value")
        assert value is not None
        function = value.find(f"{UCUM}function")
        kind = "metric" if unit.attrib.get("isMetric") == "yes" else "plain"
        if function is not None:
            units[unit.attrib["Code"]] = [
                kind,
                function.attrib["value"],
                function.attrib["Unit"],
                function.attrib["name"],
            ]
        elif unit.attrib.get("isArbitrary") == "yes":
            units[unit.attrib["Code"]] = [kind, "1", "", "arbitrary"]
        else:
            units[unit.attrib["Code"]] = [kind, value.attrib["value"], value.attrib["Unit"]]
    body = {
        "notice": "Facts of the UCUM table, version "
        + root.attrib["version"]
        + ". Unified Code for Units of Measure, Regenstrief Institute, https://ucum.org/license",
        "prefixes": prefixes,
        "units": units,
    }
    (OUT / "ucum.json").write_text(json.dumps(body, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))
    write_units(Path(sys.argv[2]))
