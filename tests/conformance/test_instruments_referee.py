"""Everything the pages of red flags, examination and scores write, judged by the HL7 validator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.clinical.instruments import instruments
from gateway.fhir.json import dump_json
from tests.acceptance.test_instruments import enter, ndi
from tests.acceptance.test_neuro_exam import STRONG, assert_it, examine
from tests.acceptance.test_red_flag import BY_CATEGORY, ORDER_ON, attest, fill, screens
from tests.instrument_house import Ward, open_ward
from tests.referee import judge, require_referee

KINDS = ("Observation", "Condition", "ClinicalImpression", "QuestionnaireResponse")


@pytest.fixture(scope="module", name="referee")
def _referee() -> Path:
    return require_referee()


def _written(ward: Ward) -> list[dict[str, Any]]:
    """Resources of ours in the EHR: by identifier, the order as changed, and each Provenance of them."""
    own = [item for kind in KINDS for item in ward.in_ehr(kind) if item.get("identifier")]
    order = ward.order()
    order.pop("extension", None)  # coverage-information: another guide's, judged elsewhere
    own.append(order)
    ehr = ward.house.services.ehr("ehr")
    targets = ",".join(f"{item['resourceType']}/{item['id']}" for item in own)
    return [*own, *(dict(item) for item in ehr.search("Provenance", {"target": targets}).resources)]


def _save(folder: Path, name: str, resources: list[dict[str, Any]]) -> list[Path]:
    files = []
    for position, resource in enumerate(resources):
        path = folder / f"{name}-{position:03d}-{resource['resourceType']}.json"
        path.write_bytes(dump_json(resource))
        files.append(path)
    return files


def _acted(folder: Path) -> list[Path]:
    """What every template and measure leaves in an EHR."""
    files: list[Path] = []
    for category, (slug, answers) in BY_CATEGORY.items():
        with open_ward(_new(folder / category)) as ward:
            case, browser = ward.held(), ward.browser()
            fill(browser, case, {"answer:exam-on": ORDER_ON, **screens(category.lower()), **answers}, slug)
            done = attest(browser, case, slug, code=["R29.2"] if category == "RF2" else [], expedited="yes")
            assert done.status_code == 303
            files += _save(folder, category, _written(ward))
    with open_ward(_new(folder / "exam")) as ward:
        case, browser = ward.held(), ward.browser()
        examine(browser, case, STRONG)
        ward.house.work()
        assert assert_it(browser, case, refines="yes").status_code == 303
        files += _save(folder, "exam", _written(ward))
    with open_ward(_new(folder / "scores")) as ward:
        case, browser = ward.held(), ward.browser("stella")
        activities = {f"answer:activity-{n}.{part}": value for n in (1, 2, 3) for part, value in _ACTIVITY.items()}
        for slug, fields in (
            ("ndi", ndi(2, 2, 2, 2, 2, 2, 2, None, 2, 2)),
            ("pain-nrs", {"answer:pain": "score-7"}),
            ("pain-vas", {"answer:pain": "64"}),
            ("psfs", activities),
        ):
            assert enter(browser, case, slug, fields).status_code == 303
        files += _save(folder, "scores", _written(ward))
    return files


_ACTIVITY = {"name": "lift a bag", "score": "score-4"}


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.timeout(600)
def test_what_is_written_to_the_ehr_is_valid(referee: Path, tmp_path: Path) -> None:
    files = _acted(tmp_path)
    count, errors = judge(referee, files, "us-core-7.0.0")
    assert count == len(files) > 80
    assert errors == []


def test_every_template_is_a_valid_questionnaire(referee: Path, tmp_path: Path) -> None:
    files = _save(tmp_path, "form", [dict(item.questionnaire) for item in instruments()])
    count, errors = judge(referee, files, "dtr-2.0.1")
    assert count == len(files) > 10
    assert errors == []
