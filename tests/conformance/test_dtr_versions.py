"""What the response differs in between the guide versions: the rows of spec/dtr.md §16 that a writer touches.

The 2.0.1 response is the 2.2.0 response with exactly these replacements, for the package and chart of each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.charts import all_charts
from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json, parse_json
from gateway.flows.form_files import populate_files
from gateway.forms.session import FormSession, response_as_sent
from gateway.profiles.dtr_guide import dtr_guide
from tests.conformance.test_dtr_response import completed
from tests.form_samples import LAUNCH, NOW, filled, form, item, package
from tests.package_charts import FILLINGS
from tests.package_charts import NOW as CHART_NOW
from tests.referee import judge, require_referee

DTR = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
CRD = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/"
Rewrite = Callable[[dict[str, Any]], dict[str, Any]]


def coverage_among_contexts(response: dict[str, Any]) -> dict[str, Any]:
    """2.0.1: no qr-coverage; qr-context holds the Coverage before the orders."""
    moved = [{**one, "url": f"{DTR}qr-context"} for one in response["extension"] if one["url"] == f"{DTR}qr-coverage"]
    others = [one for one in response["extension"] if one["url"] != f"{DTR}qr-coverage"]
    return {**response, "extension": [*moved, *others]}


def old_code_system(response: dict[str, Any]) -> dict[str, Any]:
    """2.0.1: documentation reasons come from CRD's `temp`."""
    return _replaced(response, f'"{CRD}coverage-information-codes"', f'"{CRD}temp"')


def one_machine_code(response: dict[str, Any]) -> dict[str, Any]:
    """2.0.1: `auto` for every machine value."""
    return _replaced(response, '"auto-client"', '"auto"')


def _replaced(value: Any, old: str, new: str) -> dict[str, Any]:
    found: dict[str, Any] = parse_json(dump_json(value).decode().replace(old, new).encode())
    return found


REWRITES: tuple[Rewrite, ...] = (coverage_among_contexts, old_code_system, one_machine_code)


def as_2_0_1(response: dict[str, Any]) -> dict[str, Any]:
    """The response of 2.2.0 as the older guide wants it."""
    for rewrite in REWRITES:
        response = rewrite(response)
    return response


def populated(version: str, corpora: Path) -> Iterator[dict[str, Any]]:
    """Every response of the kit's packages, in progress."""
    for filling in FILLINGS:
        now = datetime.fromisoformat(CHART_NOW)
        found = populate_files(corpora / "dtr" / filling.package, filling.path, version, now=now)
        yield from (one["response"] for one in found["forms"])


@pytest.mark.requirement("dtr:spec-137")
@pytest.mark.parametrize("version", ["2.0.1", "2.1.0"])
@pytest.mark.parametrize("chart", ["P01", "P08"])
def test_a_completed_response_differs_exactly_as_the_guides_do(version: str, chart: str) -> None:
    new, old = completed("2.2.0", chart), completed(version, chart)
    assert new != old
    assert as_2_0_1(new) == old


@pytest.mark.parametrize("version", ["2.0.1", "2.1.0"])
def test_responses_in_progress_differ_exactly_as_the_guides_do(version: str, corpora: Path) -> None:
    new, old = list(populated("2.2.0", corpora)), list(populated(version, corpora))
    assert len(new) == len(old) == 7
    assert [as_2_0_1(one) for one in new] == old


@pytest.mark.parametrize(("rewrite"), REWRITES)
def test_each_difference_is_needed(rewrite: Rewrite) -> None:
    assert rewrite(completed("2.2.0")) != completed("2.2.0")
    assert rewrite(completed("2.0.1")) == completed("2.0.1")


@pytest.mark.parametrize(
    ("version", "machine", "server"),
    [("2.2.0", "auto-client", "auto-server"), ("2.1.0", "auto", "auto"), ("2.0.1", "auto", "auto")],
)
def test_origin_codes(version: str, machine: str, server: str) -> None:
    guide = dtr_guide(version)
    codes = [guide.AUTO, guide.AUTO_SERVER, guide.OVERRIDE, guide.MANUAL]
    assert codes == [machine, server, "override", "manual"]


@pytest.mark.parametrize(("version", "items"), [("2.2.0", None), ("2.0.1", [{"linkId": "a", "text": "a"}])])
def test_a_response_without_answers_has_an_item_where_the_guide_wants_one(version: str, items: Any) -> None:
    parts = package(form(item("a", "string"), item("b", "string")))
    guide = dtr_guide(version)
    draft = filled(parts, guide=guide)
    session = FormSession(package=parts, launch=LAUNCH, now=NOW, guide=guide)
    assert response_as_sent(session, session.sheet(draft.response)).get("item") == items


@pytest.mark.parametrize("version", ["2.2.0", "2.0.1"])
def test_every_response_is_r4(version: str, corpora: Path) -> None:
    assert [check_structure(dump_json(one)) for one in populated(version, corpora)] == [[]] * 7


def test_a_form_without_url_is_named_by_its_content(corpora: Path) -> None:
    names = [one["questionnaire"] for one in populated("2.0.1", corpora)]
    assert [name.startswith("urn:uuid:") for name in names] == [True] * 6 + [False]
    assert len(set(names)) == 4
    assert names == [one["questionnaire"] for one in populated("2.2.0", corpora)]


@pytest.mark.slow
def test_the_validator_accepts_every_2_0_1_response(corpora: Path, tmp_path: Path) -> None:
    """By the profiles of the 2.0.1 package: answers in progress of the kit's forms, and completed ones of ours."""
    command = require_referee()
    responses = [*populated("2.0.1", corpora), *(completed("2.0.1", one.chart_id) for one in all_charts()[:3])]
    files = []
    for position, response in enumerate(responses):
        files.append(tmp_path / f"{position:02d}.json")
        files[-1].write_bytes(dump_json(response))
    assert judge(command, files, "dtr-2.0.1") == (len(files), [])
