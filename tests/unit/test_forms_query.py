"""Queries over the record: filters, dates, order, and what is refused rather than ignored."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from gateway.errors import ReasoningError
from gateway.forms.query import run_query
from gateway.reasoning.record import RecordSnapshot

CPT = "http://www.ama-assn.org/go/cpt"
ZONE = ZoneInfo("America/Los_Angeles")


def procedure(
    key: str, status: str = "completed", code: str = "1", start: str = "2026-01-12T16:30:00-08:00"
) -> dict[str, object]:
    return {
        "resourceType": "Procedure",
        "id": key,
        "status": status,
        "code": {"coding": [{"system": CPT, "code": code}]},
        "subject": {"reference": "Patient/p"},
        "basedOn": [{"reference": "ServiceRequest/s/_history/2"}],
        "performedPeriod": {"start": start},
    }


RECORD = RecordSnapshot(
    [
        procedure("a", start="2026-02-01T10:00:00-08:00"),
        procedure("b", code="2"),
        procedure("c", status="not-done"),
        {
            "resourceType": "MedicationRequest",
            "id": "m",
            "status": "active",
            "authoredOn": "2026-01-05",
            "medicationCodeableConcept": {"coding": [{"system": "http://rx", "code": "7"}]},
            "subject": {"reference": "Patient/p"},
        },
        {
            "resourceType": "QuestionnaireResponse",
            "id": "q",
            "questionnaire": "urn:oid:1.2|1.0.0",
            "status": "completed",
            "subject": {"reference": "Patient/p"},
        },
        {
            "resourceType": "CarePlan",
            "id": "k",
            "status": "active",
            "subject": {"reference": "Patient/p"},
            "activity": [{"detail": {"status": "completed", "code": {"coding": [{"code": "advice"}]}}}],
        },
        {"resourceType": "Condition", "id": "d", "subject": {"reference": "Patient/p"}, "onsetDateTime": "2026-01"},
    ]
)


@pytest.mark.parametrize(
    "query, found",
    [
        ("Procedure", ["a", "b", "c"]),
        ("Procedure?patient=p&status=completed", ["a", "b"]),
        ("Procedure?patient=Patient/p&status:not=completed", ["c"]),
        ("Procedure?patient=somebody", []),
        (f"Procedure?code={CPT}|1&status=completed", ["a"]),
        ("Procedure?code=urn:oid:2.16.840.1.113883.6.12|2", ["b"]),
        ("Procedure?code=1,2&status=completed", ["a", "b"]),
        (f"Procedure?code={CPT}|", ["a", "b", "c"]),
        ("Procedure?code=http%3A%2F%2Fwww.ama-assn.org%2Fgo%2Fcpt%7C2", ["b"]),
        ("Procedure?based-on=ServiceRequest/s", ["a", "b", "c"]),
        ("Procedure?date=ge2026-01-20", ["a", "b", "c"]),
        ("Procedure?date=lt2026-01-20&status=completed", ["b"]),
        ("Procedure?date=sa2026-01-20", ["a"]),
        ("Procedure?_id=a,c", ["a", "c"]),
        ("Procedure?_sort=date&status=completed", ["b", "a"]),
        ("Procedure?_sort=-date&_count=1", ["a"]),
        ("MedicationRequest?code=http://rx|7", ["m"]),
        ("MedicationRequest?authoredon=2026-01-05", ["m"]),
        ("QuestionnaireResponse?questionnaire=urn:oid:1.2", ["q"]),
        ("QuestionnaireResponse?questionnaire=urn:oid:1.2|1.0.0", ["q"]),
        ("CarePlan?activity-code=advice", ["k"]),
        ("Condition?onset-date=2026-01", ["d"]),
        ("Condition?onset-date:missing=true", []),
        ("Procedure/b", ["b"]),
        ("Procedure/zzz", []),
        ("Immunization?patient=p", []),
    ],
)
def test_queries(query: str, found: list[str]) -> None:
    bundle = run_query(query, RECORD, ZONE).bundle
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == found
    assert bundle["total"] == len(found)


@pytest.mark.parametrize(
    "query, code",
    [
        ("Procedure?colour=red", "query.parameter"),
        ("Procedure?code:in=http://example.org/vs", "query.parameter"),
        ("Procedure?subject.name=x", "query.parameter"),
        ("Procedure?_sort=colour", "query.parameter"),
        ("Procedure?date=yesterday", "query.date"),
        ("http://elsewhere.example.org/Procedure", "query.address"),
        ("", "query.address"),
        ("Procedure?code=" + "1" * 20_001, "query.limit"),
    ],
)
def test_what_cannot_be_asked_is_refused_not_ignored(query: str, code: str) -> None:
    with pytest.raises(ReasoningError) as caught:
        run_query(query, RECORD, ZONE)
    assert caught.value.reason == code
