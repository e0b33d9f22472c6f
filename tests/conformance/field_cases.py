"""Which test proves which field case, for the areas that carrying an order touches.

A test of case B51 is called `test_b51_…`. What is not tested yet is listed with the reason; a case that is in neither
list fails `test_field_cases_listed.py`.
"""

from __future__ import annotations

AREAS = frozenset({"fhir", "clients", "pas", "crd", "profiles", "evidence"})
"""Areas of the corpus that are listed here."""
TESTED: dict[str, tuple[str, ...]] = {
    "tests/acceptance/test_big_input.py": ("B107",),
    "tests/conformance/test_field_cases_clients.py": ("B63", "B65", "B67", "B69", "B71", "B73", "B75", "B81"),
    "tests/conformance/test_field_cases_clinical.py": ("B85", "B87", "B109"),
    "tests/conformance/test_field_cases_crd.py": ("B77", "B79", "B83"),
    "tests/conformance/test_field_cases_evidence.py": ("B103", "B107"),
    "tests/conformance/test_field_cases_fhir.py": ("B51", "B53", "B55", "B57", "B59", "B61", "B105"),
    "tests/conformance/test_field_cases_profiles.py": (
        "B79",
        "B83",
        "B85",
        "B87",
        "B89",
        "B91",
        "B95",
        "B97",
        "B99",
        "B101",
    ),
    "tests/conformance/test_pas_lost_answer.py": ("B93",),
}
"""Test file → the cases it tests."""
LATER = {
    "B128": "the launch from within an EHR (SMART App Launch) is not built yet; nothing reads fhirContext",
}
"""Case → why no test covers it yet."""
