"""`ValueSet/$expand` of the simulated payers."""

from __future__ import annotations

from typing import Any

import pytest

from payer_endpoints.harness.expansions import Expansions, check_request
from payer_endpoints.harness.form_shelf import FormShelf
from payer_endpoints.harness.journal import Journal
from payer_endpoints.harness.ledger import Ledger
from tests.harness_case import HarnessConfig

ROOMS = "https://payer.example.org/fhir/ValueSet/reading-rooms"
PAYER = HarnessConfig().payers[0]


def asked(*parameters: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(parameters)}


def expand(*parameters: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(codes, kinds of what is wrong)."""
    desk = Expansions(Ledger(Journal(None), 10), FormShelf(None))
    found, issues = desk.expand(PAYER, asked(*parameters), 1)
    return [one["code"] for one in (found or {}).get("expansion", {}).get("contains", [])], [one.code for one in issues]


@pytest.mark.requirement("dtr:oper-4")
@pytest.mark.parametrize(
    ("url", "text", "count"),
    [
        ({"valueUri": ROOMS}, None, 60),
        ({"valueCanonical": f"{ROOMS}|1.0.0"}, None, 60),
        ({"valueUri": ROOMS}, "Room 1", 11),
        ({"valueUri": ROOMS}, "nowhere", 0),
    ],
)
def test_codes_are_listed_whole_or_by_their_words(url: dict[str, str], text: str | None, count: int) -> None:
    more = [{"name": "filter", "valueString": text}] if text else []
    codes, wrong = expand({"name": "url", **url}, *more)
    assert (len(codes), wrong) == (count, [])


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ([{"name": "url", "valueUri": f"{ROOMS}|9"}], "not-found"),
        ([{"name": "url", "valueUri": "https://payer.example.org/fhir/ValueSet/none"}], "not-found"),
        ([], "required"),
        ([{"name": "url", "valueUri": ROOMS}, {"name": "url", "valueUri": ROOMS}], "required"),
        ([{"name": "url"}], "required"),
    ],
)
def test_what_cannot_be_listed_is_refused(parameters: list[dict[str, Any]], code: str) -> None:
    assert expand(*parameters) == ([], [code])


def test_further_parameters_are_noted() -> None:
    body = asked({"name": "url", "valueUri": ROOMS}, {"name": "count", "valueInteger": 5})
    assert [(one.severity, one.text) for one in check_request(body)] == [("warning", "Only url and filter.")]
    assert [one.code for one in check_request({"resourceType": "ValueSet"})] == ["structure"]
