"""The EHR client against a FHIR server that we did not write.

The server is HAPI FHIR JPA from the shared tools, started once, with small pages, a token and its own
search cache of a minute switched on, which is its harshest setting. Skipped where Java or the built
server is absent.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.clients.ehr import EhrClient
from gateway.clients.endpoint import Endpoint
from gateway.clients.retries import ReadRetries
from gateway.clients.tokens import StaticToken
from gateway.clients.transport import Transport
from gateway.errors import Conflict, EhrRejected, EhrUnreadable, NotFound
from gateway.fhir.json import parse_json

pytestmark = pytest.mark.slow

TOKEN = "hapi-test-token"
START_SECONDS = 60
TOOL = Path("tools") / "hapi-ehr"


@pytest.fixture(scope="module")
def base(shared: Path) -> Iterator[str]:
    """Base address of a running server; the process ends with the module."""
    tool = shared / TOOL / "hapi-ehr"
    home = Path(os.environ.get("HAPI_EHR_HOME", Path.home() / ".cache" / "hapi-ehr"))
    if not tool.is_file() or not (home / "hapi-ehr.jar").is_file() or shutil.which("java") is None:
        pytest.skip("Java or the built HAPI server is absent (hapi-ehr --setup builds it)")
    command = [str(tool), "--port", "0", "--max-page-size", "20", "--search-cache-ms", "60000"]
    environment = os.environ | {"HAPI_EHR_TOKEN": TOKEN}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield _ready(process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout:
            process.stdout.close()


def _ready(process: subprocess.Popen[str]) -> str:
    """The base address from the ready line; skips when the server does not come up in time."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert process.stdout is not None
    threading.Thread(target=lambda out: lines.put(out.readline()), args=(process.stdout,), daemon=True).start()
    try:
        words = lines.get(timeout=START_SECONDS).split()
    except queue.Empty:
        words = []
    if len(words) < 2 or words[0] != "ready":
        pytest.skip("the HAPI server did not start here")
    return words[1]


@pytest.fixture(scope="module")
def chart_file(corpora: Path) -> Path:
    return corpora / "clinical" / "P01.json"


@pytest.fixture(scope="module")
def loaded(base: str, shared: Path, chart_file: Path) -> dict[str, Any]:
    """Chart P01 on the server, as a map from reference to resource."""
    loader = shared / TOOL / "hapi-ehr-load"
    subprocess.run([str(loader), "--token", TOKEN, base, str(chart_file)], check=True, capture_output=True, timeout=60)
    entries = parse_json(chart_file.read_bytes())["entry"]
    return {f"{entry['resource']['resourceType']}/{entry['resource']['id']}": entry["resource"] for entry in entries}


@pytest.fixture(scope="module")
def client(base: str, loaded: dict[str, Any]) -> Iterator[EhrClient]:
    client = EhrClient(_transport(base), StaticToken(TOKEN), page_size=7)
    yield client
    client.close()


def _transport(base: str) -> Transport:
    return Transport(Endpoint(id="hapi", base_url=base, networks=("127.0.0.0/8",), plain_http=True))


@pytest.fixture(scope="module")
def patient_id(loaded: dict[str, Any]) -> str:
    return next(reference.partition("/")[2] for reference in loaded if reference.startswith("Patient/"))


def order(patient_id: str, **fields: Any) -> dict[str, Any]:
    coding = {"system": "http://www.ama-assn.org/go/cpt", "code": "72141"}
    subject = {"reference": f"Patient/{patient_id}"}
    return {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "code": {"coding": [coding]},
        "subject": subject,
        **fields,
    }


def _plain(resource: Any) -> Any:
    return {name: value for name, value in resource.items() if name != "meta"}


def test_the_whole_chart_is_read_digit_for_digit(client: EhrClient, loaded: dict[str, Any], patient_id: str) -> None:
    chart = client.chart(patient_id)
    read = {item.reference: item for item in chart}
    not_read = {reference for reference in loaded if reference not in read}
    assert {reference.partition("/")[0] for reference in not_read} == {"Immunization"}
    for reference, item in read.items():
        assert _plain(item.resource) == _plain(loaded[reference])
        assert parse_json(item.raw) == item.resource
        assert item.etag == f'W/"{item.version}"'
    assert chart.findings == ()
    assert sum(record.url_path_template.endswith("(next page)") for record in chart.exchanges) >= 3


def test_small_pages_with_includes_give_each_resource_once(client: EhrClient, patient_id: str) -> None:
    found = client.search("Procedure", {"_include": "Procedure:patient", "_count": "2"}, patient_id=patient_id)
    references = [item.reference for item in found]
    assert len(references) == len(set(references))
    assert references[-1] == f"Patient/{patient_id}"
    assert len(found.matches) == len(references) - 1 >= 10
    assert len(found.exchanges) >= 5


def test_a_patient_who_is_not_there_is_not_an_empty_chart(client: EhrClient) -> None:
    with pytest.raises(NotFound) as caught:
        client.chart("no-such-patient")
    assert caught.value.reason == "ehr.not-found"
    assert len(client.search("Condition", patient_id="no-such-patient")) == 0


def test_an_expired_page_is_told_as_gone(base: str, loaded: dict[str, Any]) -> None:
    transport = _transport(base)
    asked = transport.endpoint.locate("Procedure")
    link = f"{base}?_getpages={uuid.uuid4()}&_getpagesoffset=2&_count=2&_bundletype=searchset"
    assert transport.follow(link, asked, headers={"authorization": f"Bearer {TOKEN}"}).status == 410
    with pytest.raises(EhrUnreadable):
        transport.follow(link.replace("127.0.0.1", "localhost"), asked)
    transport.close()


def test_answers_come_packed_and_as_fhir_json(base: str, loaded: dict[str, Any]) -> None:
    transport = _transport(base)
    reply = transport.send("GET", "metadata", headers={"authorization": f"Bearer {TOKEN}"})
    assert (reply.media_type, reply.headers["content-encoding"]) == ("application/fhir+json", "gzip")
    assert json.loads(reply.body)["fhirVersion"] == "4.0.1"
    transport.close()


@pytest.mark.parametrize(
    "resource_type, query, least",
    [
        ("ServiceRequest", {"code": "http://www.ama-assn.org/go/cpt|72141"}, 1),
        ("ServiceRequest", {"code": "72141"}, 1),
        ("ServiceRequest", {"code": "http://www.ama-assn.org/go/cpt|72141", "status": "active"}, 1),
        ("Procedure", {"date": ["ge2026-01-01", "le2026-12-31"]}, 10),
        ("QuestionnaireResponse", {"questionnaire": "urn:oid:2.25.94492686211768030265051248232142081200.4"}, 2),
        ("Observation", {"category": "survey"}, 6),
    ],
)
def test_searches_find_what_is_there(
    client: EhrClient, patient_id: str, resource_type: str, query: dict[str, Any], least: int
) -> None:
    found = client.search(resource_type, query, patient_id=patient_id)
    assert len(found.matches) >= least
    assert found.findings == ()


def test_a_search_that_names_a_person_goes_by_post_and_pages(
    client: EhrClient, loaded: dict[str, Any], patient_id: str
) -> None:
    identifier = loaded[f"Patient/{patient_id}"]["identifier"][0]
    found = client.search("Patient", {"identifier": f"{identifier['system']}|{identifier['value']}"})
    assert [item.reference for item in found] == [f"Patient/{patient_id}"]
    assert found.exchanges[0].method == "POST"
    ids = [reference.partition("/")[2] for reference in loaded if reference.startswith("Observation/")]
    many = client.search("Observation", {"_id": ",".join(ids + [str(uuid.uuid4()) for _ in range(300)])})
    assert len(many) == len(ids)
    assert many.exchanges[0].method == "POST"


def test_an_unknown_parameter_is_refused_by_this_server(client: EhrClient, patient_id: str) -> None:
    with pytest.raises(EhrRejected) as caught:
        client.search("Condition", {"no-such-parameter": "1"}, patient_id=patient_id)
    assert caught.value.http_answer == 400


class LateToken(StaticToken):
    """A token that the server stops taking after some requests, until it is renewed."""

    def __init__(self, good_for: int) -> None:
        super().__init__(TOKEN)
        self.left = good_for
        self.renewals = 0

    def authorization(self) -> str:
        self.left -= 1
        return super().authorization() if self.left >= 0 else "Bearer expired"

    def renew(self) -> bool:
        self.left = 100
        self.renewals += 1
        return True


def test_a_token_that_ends_while_paging_is_renewed(client: EhrClient, patient_id: str) -> None:
    token = LateToken(2)
    found = client.with_token(token).search("Procedure", {"_count": "3"}, patient_id=patient_id)
    assert len(found) == len(client.search("Procedure", patient_id=patient_id))
    assert token.renewals == 1


def test_a_wrong_token_is_a_login_error(base: str, loaded: dict[str, Any]) -> None:
    stranger = EhrClient(_transport(base), StaticToken("wrong"), retries=ReadRetries(attempts=1))
    with pytest.raises(EhrRejected) as caught:
        stranger.capability()
    assert caught.value.reason == "ehr.login"
    stranger.close()


def test_an_update_rests_on_its_version_and_a_stale_one_conflicts(client: EhrClient, patient_id: str) -> None:
    made = client.create(order(patient_id, quantityQuantity={"value": Decimal("87.50")}))
    assert (made.is_created, made.version, made.lost_elements) == (True, "1", ())
    assert b"87.50" in made.fetched.raw
    same = client.update(made.resource, made.fetched.etag)
    assert same.version == "1"
    changed = client.update({**made.resource, "status": "active"}, made.fetched.etag)
    assert (changed.version, changed.is_created) == ("2", False)
    assert changed.fetched.etag == 'W/"2"'
    with pytest.raises(Conflict):
        client.update({**made.resource, "status": "revoked"}, made.version)
    assert client.read("ServiceRequest", made.fetched.resource["id"]).resource["status"] == "active"


def test_of_writers_at_one_moment_one_wins(client: EhrClient, patient_id: str) -> None:
    made = client.create(order(patient_id))
    results: list[str] = []

    def write(number: int) -> None:
        try:
            client.update({**made.resource, "patientInstruction": f"writer {number}"}, made.version)
            results.append("won")
        except Conflict:
            results.append("conflict")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == ["conflict"] * 5 + ["won"]


def test_our_own_write_is_seen_by_our_next_search(client: EhrClient, patient_id: str) -> None:
    """The server would answer an equal search from its cache for a minute."""
    before = client.search("Task", patient_id=patient_id)
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "for": {"reference": f"Patient/{patient_id}"},
    }
    client.create(task)
    assert len(client.search("Task", patient_id=patient_id)) == len(before) + 1


def test_a_conditional_create_makes_one_resource(client: EhrClient, patient_id: str) -> None:
    identifier = {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{uuid.uuid4()}"}
    resource = order(patient_id, identifier=[identifier])
    key = (identifier["system"], identifier["value"])
    first = client.create(resource, if_none_identifier=key)
    second = client.create({**resource, "status": "active"}, if_none_identifier=key)
    assert (first.is_created, second.is_created) == (True, False)
    assert (second.reference, second.resource["status"]) == (first.reference, "draft")
    copy = client.create(resource)
    assert copy.reference != first.reference
    with pytest.raises(Conflict):
        client.create(resource, if_none_identifier=key)


def test_absolute_references_to_the_server_itself_are_written_relative(
    base: str, client: EhrClient, patient_id: str
) -> None:
    made = client.create(order(patient_id, subject={"reference": f"{base}/Patient/{patient_id}"}))
    assert made.resource["subject"]["reference"] == f"Patient/{patient_id}"
    assert made.lost_elements == ()


def test_what_the_server_drops_without_a_word_is_named(client: EhrClient, patient_id: str) -> None:
    target = client.create(order(patient_id))
    task = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "for": {"reference": f"Patient/{patient_id}"},
        "focus": {"reference": f"{target.reference}/_history/1"},
        "noSuchElement": 1,
    }
    assert set(client.create(task).lost_elements) == {"focus.reference", "noSuchElement"}


def test_deleted_is_another_fact_than_never_there(base: str, client: EhrClient, patient_id: str) -> None:
    made = client.create(order(patient_id))
    with httpx.Client(trust_env=False) as plain:
        plain.delete(f"{base}/{made.reference}", headers={"authorization": f"Bearer {TOKEN}"}).raise_for_status()
    resource_type, _, resource_id = made.reference.partition("/")
    with pytest.raises(NotFound) as caught:
        client.read(resource_type, resource_id)
    assert caught.value.reason == "ehr.gone"
    again = client.update(made.resource, "2")
    assert int(again.version) > 2


def test_provenance_of_the_chart_comes_with_it(client: EhrClient, patient_id: str) -> None:
    target = client.create(order(patient_id))
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": target.reference}],
        "recorded": "2026-02-16T10:00:00Z",
        "agent": [{"who": {"display": "test"}}],
    }
    made = client.create(provenance)
    chart = client.chart(patient_id, ("ServiceRequest",))
    assert chart.find(made.reference) is not None
    assert chart.unseen_types == ()


def test_a_redirect_free_server_needs_its_exact_base(base: str, loaded: dict[str, Any]) -> None:
    wrong = EhrClient(_transport(base.replace("/fhir", "/elsewhere")), StaticToken(TOKEN))
    with pytest.raises(NotFound):
        wrong.capability()
    wrong.close()
