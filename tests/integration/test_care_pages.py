"""The pages of conservative care: confirm, sign, hand in visits, end; and the coordinator's list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.settings import ClientSettings
from gateway.web import pages, sessions
from tests.care_house import SCREENS, Patient, chart, local, order_of
from tests.flows_house import BASE, open_house


class Browser:
    """One person's browser in front of the pages."""

    def __init__(self, patient: Patient, user: str) -> None:
        self._portal = patient.house.portal
        services = patient.house.services
        app = FastAPI(docs_url=None, redoc_url=None)
        app.state.services = services
        pages.install(app)
        cookies = {sessions.cookie_name(services): sessions.begin(services, user)}
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url=BASE,
            cookies=cookies,
            headers={"Accept": "text/html", "Origin": BASE, "Sec-Fetch-Site": "same-origin"},
        )

    def get(self, path: str) -> httpx.Response:
        return self._portal.call(self._client.get, path)

    def post(self, path: str, seen: httpx.Response, files: Any = None, **fields: Any) -> httpx.Response:
        """Post a form with the token of the page that was seen."""
        token = re.search(r'name="token" value="([^"]+)"', seen.text)
        assert token, seen.text[:400]
        data = {"token": token.group(1), **fields}
        if files is None:
            return self._portal.call(lambda: self._client.post(path, data=data))
        return self._portal.call(lambda: self._client.post(path, data=data, files=files))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Patient, str]]:
    folder, bundle = tmp_path_factory.mktemp("care-pages"), chart()
    with open_house(folder, [bundle]) as house:
        house.clock.instant = local(0, "10:00")
        people = {
            "olga": ClientSettings(
                password_argon2="x",
                roles=("clinician",),
                name="Olga Ordering",
                practitioner=order_of(bundle)["requester"]["reference"],
            ),
            "stan": ClientSettings(password_argon2="x", roles=("staff",), name="Stan Staff"),
        }
        clients = {**house.services.settings.clients, **people}
        house.services.settings = house.services.settings.model_copy(update={"clients": clients})
        patient = Patient(house, bundle)
        case_id = patient.post()
        patient.settle()
        yield patient, case_id


def test_a_case_walks_from_confirmation_to_its_end(held: tuple[Patient, str]) -> None:
    patient, case_id = held
    address = f"/cases/{case_id}/timer"
    staff, doctor = Browser(patient, "stan"), Browser(patient, "olga")

    asked = staff.get(address)
    assert asked.status_code == 200
    assert asked.text.count('name="negative"') == 6
    assert "checked" not in asked.text, "nothing is ticked beforehand"
    first = asked.text.index("acetaminophen 500 mg")
    assert first < asked.text.index("naproxen 500 mg"), "alternatives stand first from 65 on"
    assert "Alternatives stand first: age 65 or older" in asked.text

    refused = staff.post(address, asked, negative=sorted(SCREENS)[:5], drug="none")
    assert refused.status_code == 422
    assert "not confirmed: acute cord syndrome with sphincter signs" in refused.text
    refused = staff.post(address, refused, negative=sorted(SCREENS))
    assert (refused.status_code, "Choose a drug" in refused.text) == (422, True)

    started = staff.post(address, refused, negative=sorted(SCREENS), drug="naproxen-500")
    assert (started.status_code, started.headers["location"]) == (303, f"{address}?done=started")
    patient.settle()
    running = staff.get(address)
    assert "day 0 of 42" in running.text
    assert "/timer/sign" not in running.text, "staff do not sign"
    again = staff.post(address, running, negative=sorted(SCREENS), drug="none")
    assert again.status_code == 409

    waiting = doctor.get(address)
    assert waiting.text.count('name="order"') == 2
    assert "Negative screen: acute cord syndrome with sphincter signs" in waiting.text
    assert "screen rf" not in waiting.text.casefold()
    assert "Therapy request" in waiting.text
    hasty = doctor.post(f"{address}/sign", waiting)
    assert hasty.status_code == 422
    assert "every one of them would be declined" in hasty.text
    assert 'name="decline"' in hasty.text
    assert 'name="decline"' not in waiting.text
    signed = doctor.post(f"{address}/sign", hasty, order=["drug"])
    assert signed.headers["location"] == f"{address}?done=signed"
    told = doctor.get(signed.headers["location"]).text
    assert "Orders kept: the drug. Declined: the therapy request." in told
    patient.settle()
    assert {item["status"] for item in patient.find("CarePlan")} == {"active"}

    patient.at(8)
    staff = Browser(patient, "stan")  # the first session has ended meanwhile
    listed = staff.get("/care")
    assert "8 of 42" in listed.text
    assert "No baseline score is on file." in listed.text
    assert 'aria-current="page">Conservative care' in listed.text

    ended = staff.post(f"{address}/cancel", staff.get(address), reason="no")
    assert ended.status_code == 422
    ended = staff.post(f"{address}/cancel", staff.get(address), reason="The patient moved away.")
    assert ended.headers["location"] == f"{address}?done=cancelled"
    patient.settle()
    assert "The last timer: cancelled" in staff.get(address).text
    assert "Reason: a person ended it." in staff.get(address).text
    assert "a person ended it" in staff.get("/care?state=cancelled").text
    assert "as before" in staff.get(address).text, "a new timer of the episode keeps day 0"


def test_visits_are_shown_before_they_count(held: tuple[Patient, str]) -> None:
    patient, case_id = held
    patient.house.clock.instant = local(8)
    address = f"/cases/{case_id}/timer"
    staff = Browser(patient, "stan")
    started = staff.post(address, staff.get(address), negative=sorted(SCREENS), drug="none")
    assert started.status_code == 303
    patient.settle()
    page = staff.get(address)
    nothing = staff.post(f"{address}/visits", page, files={"other": ("", b"")})
    assert (nothing.status_code, "Choose a file." in nothing.text) == (422, True)

    rows = "mrn,birth_date,date,code,status\nSYN-MRN-P02,1949-07-02,2026-03-05,97110,completed\n"
    formula = rows.replace("completed", "=1+1")
    bad = staff.post(f"{address}/visits", page, files={"visits": ("v.csv", formula.encode())})
    assert (bad.status_code, "begins like a formula" in bad.text) == (422, True)
    wrong = staff.post(f"{address}/visits", page, files={"visits": ("v.exe", rows.encode())})
    assert wrong.status_code == 422

    taken = staff.post(f"{address}/visits", page, files={"visits": ("v.csv", rows.encode())})
    assert taken.status_code == 303, taken.text
    shown = staff.get(taken.headers["location"])
    assert "1 of 1 visit would be added" in shown.text
    patient.settle()
    assert not patient.find("Procedure", performedDateTime="2026-03-05")
    counted = staff.post(taken.headers["location"], shown, then="count")
    assert counted.headers["location"] == f"{address}?done=counted"
    patient.at(8, "13:00")
    assert len(patient.find("Procedure", performedDateTime="2026-03-05")) == 1
    staff = Browser(patient, "stan")
    twice = staff.post(taken.headers["location"], staff.get(taken.headers["location"]), then="count")
    assert twice.status_code == 409
    assert patient.timer_facts(case_id).progress["sessions"] == 1

    doctor = Browser(patient, "olga")
    signed = doctor.post(f"{address}/sign", doctor.get(address), decline="all")
    told = doctor.get(signed.headers["location"]).text
    assert "Orders kept: nothing. Declined: the therapy request." in told


def test_a_second_timer_for_the_problem_leads_to_the_one_that_runs(held: tuple[Patient, str]) -> None:
    patient, case_id = held
    body = {key: value for key, value in patient.order.items() if key not in ("id", "identifier", "meta")}
    stored, _ = patient.house.ehr_store.create("ServiceRequest", body, None)
    own = patient.order
    patient.order = {**body, "id": str(stored.key).partition("/")[2]}
    second = patient.post()
    patient.order = own
    patient.settle()
    assert second != case_id
    staff = Browser(patient, "stan")
    shown = staff.get(f"/cases/{second}/timer")
    assert f'href="/cases/{case_id}/timer">Open the timer that runs' in shown.text
    assert shown.text.count("Conservative care already runs") == 1
    posted = staff.post(f"/cases/{second}/timer", shown, negative=sorted(SCREENS), drug="none")
    assert posted.status_code == 409
    assert f'href="/cases/{case_id}/timer">Open the timer that runs' in posted.text


def test_a_stranger_and_a_wrong_address_find_nothing(held: tuple[Patient, str]) -> None:
    patient, case_id = held
    staff = Browser(patient, "stan")
    assert staff.get(f"/cases/{case_id}/timer/visits/nothing").status_code == 404
    assert staff.get("/cases/nothing/timer").status_code == 404
    assert staff.get("/care?state=strange").status_code == 200
