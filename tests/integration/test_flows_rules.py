"""Which rule judged a chart is said in the packet, and how far it can be trusted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.flows_house import open_house


def test_the_packet_says_that_an_illustrative_rule_is_no_payer_policy(tmp_path: Path) -> None:
    with open_house(tmp_path, {"one": "SYN-APPROVE-01"}) as house:
        case_id = house.post("one")
        house.run()
        house.answer_forms(case_id)
        house.run()
        with house.services.store.read() as tx:
            listed = tx.objects.list("main", case_id)
            bodies = [tx.objects.get("main", case_id, row.digest) for row in listed]
    composition = next(body for body in bodies if b'"resourceType":"Composition"' in body[:40])
    sections = {section["title"]: section for section in json.loads(composition)["section"]}
    said = sections["Clinical rule"]["text"]["div"]
    assert "Judged by rule " in said
    assert "illustrative, not a payer policy" in said
    assert "Verdict: " in said
