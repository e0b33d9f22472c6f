"""Who appears in a chart: patient, coverage, payer, clinic and staff."""

from __future__ import annotations

from typing import Any

from gateway.demo.charts_sheet import Sheet


def add_people(sheet: Sheet) -> None:
    """Add patient, payer, clinic, staff and both coverages; everything later refers to them."""
    _add_patient(sheet)
    _add_payer(sheet)
    _add_clinic(sheet)
    for role in sheet.practice["staff"]:
        _add_staff(sheet, role)
    _add_coverage(sheet)
    _add_former_coverage(sheet)


def _add_patient(sheet: Sheet) -> None:
    person, practice = sheet.recipe.person, sheet.practice
    number = f"SYN-MRN-{sheet.recipe.chart_id.upper()}"
    identifier = {"use": "usual", "type": sheet.concept("mr"), "system": practice["mrn_system"], "value": number}
    sheet.add(
        "patient",
        "Patient",
        {
            "identifier": [identifier],
            "active": True,
            "name": [{"use": "official", "family": person.family, "given": [person.given, "Synthetic"]}],
            "telecom": [{"system": "phone", "value": "555-555-0100", "use": "home"}],
            "gender": person.gender,
            "birthDate": person.birth_date,
            "address": [{"use": "home", **_address(sheet, person.line)}],
        },
    )


def _address(sheet: Sheet, line: str) -> dict[str, Any]:
    clinic = sheet.practice["clinic"]
    town = {"city": clinic["city"], "state": clinic["state"], "postalCode": clinic["postal_code"], "country": "US"}
    return {"line": [line], **town}


def _add_payer(sheet: Sheet) -> None:
    value = sheet.recipe.payer
    sheet.add(
        f"payer:{value}",
        "Organization",
        {
            "identifier": [{"system": sheet.practice["payer_system"], "value": value}],
            "active": True,
            "type": [sheet.concept("payer")],
            "name": sheet.practice["payers"][value],
        },
        shared=True,
    )


def _add_clinic(sheet: Sheet) -> None:
    clinic, place = sheet.practice["clinic"], sheet.practice["location"]
    address = _address(sheet, clinic["line"])
    organization = sheet.add(
        "clinic",
        "Organization",
        {
            "identifier": [{"system": sheet.system("npi"), "value": clinic["npi"]}],
            "active": True,
            "type": [sheet.concept("provider")],
            "name": clinic["name"],
            "telecom": [{"system": "phone", "value": clinic["phone"], "use": "work"}],
            "address": [address],
        },
        shared=True,
    )
    location = {
        "extension": [{"url": sheet.url("timezone"), "valueCode": sheet.practice["zone"]}],
        "status": "active",
        "name": place["name"],
        "telecom": [{"system": "phone", "value": place["phone"], "use": "work"}],
        "address": address,
        "managingOrganization": organization,
    }
    sheet.add("location", "Location", location, shared=True)


def _add_staff(sheet: Sheet, role: str) -> None:
    row = sheet.practice["staff"][role]
    telecom = [
        {"system": "phone", "value": row["phone"], "use": "work"},
        {"system": "email", "value": row["email"], "use": "work"},
    ]
    practitioner = {
        "identifier": [{"system": sheet.system("npi"), "value": row["npi"]}],
        "active": True,
        "name": [{"use": "official", "family": row["family"], "given": [row["given"]], "suffix": [row["suffix"]]}],
        "telecom": telecom,
        "qualification": [{"code": sheet.concept(row["degree"])}],
    }
    reference = sheet.add(role, "Practitioner", practitioner, shared=True)
    held = {
        "active": True,
        "practitioner": reference,
        "organization": sheet.ref("clinic"),
        "specialty": [sheet.concept(row["specialty"])],
        "location": [sheet.ref("location")],
        "telecom": telecom,
    }
    sheet.add(f"role:{role}", "PractitionerRole", held, shared=True)


def _add_coverage(sheet: Sheet) -> None:
    recipe = sheet.recipe
    member = {"type": sheet.concept("member"), "system": sheet.practice["member_system"], "value": recipe.member_id}
    sheet.add(
        "coverage",
        "Coverage",
        {
            "identifier": [member],
            "status": "active",
            "type": sheet.concept("medicare"),
            "subscriber": sheet.ref("patient"),
            "subscriberId": recipe.member_id,
            "beneficiary": sheet.ref("patient"),
            "relationship": sheet.concept("self"),
            "period": {"start": "2025-01-01"},
            "payor": [sheet.ref(f"payer:{recipe.payer}")],
            "class": [{"type": sheet.concept("plan"), "value": "SYN-STD-01", "name": "Example plan"}],
            "order": 1,
        },
    )


def _add_former_coverage(sheet: Sheet) -> None:
    """An employer plan that ended; it must never be billed."""
    member = {"type": sheet.concept("member"), "system": sheet.practice["member_system"], "value": "SYN-FORMER-00"}
    sheet.add(
        "former-coverage",
        "Coverage",
        {
            "identifier": [member],
            "status": "cancelled",
            "type": sheet.concept("commercial"),
            "subscriberId": "SYN-FORMER-00",
            "beneficiary": sheet.ref("patient"),
            "relationship": sheet.concept("self"),
            "period": {"start": "2020-01-01", "end": "2024-12-31"},
            "payor": [{"display": "Former synthetic employer plan"}],
        },
    )
