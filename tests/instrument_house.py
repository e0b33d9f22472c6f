"""The whole house with people who sign in: the week-three order of the worked cases, held, and its clinician.

Everything goes over HTTP: pages to the gateway, the gateway to the synthetic EHR and the simulated payer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from gateway.demo.charts import DemoChart, _demo_chart, demo_charts
from gateway.demo.charts_recipe import scenario_recipe
from gateway.settings import ClientSettings, Settings
from gateway.store.rows import CaseRow
from gateway.web import pages
from tests.flows_house import BASE, NOW, House, open_house
from tests.web_house import Browser

PASSWORD = "correct horse battery"


@functools.cache
def _hashed() -> str:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


@dataclass(kw_only=True)
class Ward:
    """A house with pages, the charts in its EHR, and browsers for its people."""

    house: House
    charts: Mapping[str, DemoChart]
    settings: Settings
    """As it was opened."""
    current: str = ""
    """Chart of the case that `held` gave last."""

    def browser(self, user: str = "cleo") -> Browser:
        """A browser in which a person has signed in."""
        found = Browser(self.house.app, BASE)
        assert found.sign_in(user, PASSWORD).status_code == 303
        return found

    def held(self, name: str = "") -> CaseRow:
        """The case of a chart's order, moved on until it rests; without a name that of the next patient."""
        names = list(self.charts)
        following = names.index(self.current) + 1 if self.current else 0
        assert name or following < len(names), "every patient of the ward was seen; open it with more of them"
        self.current = name or names[following]
        answer = self.house.post({"fhirServer": self.ehr_url, "order": self.charts[self.current].order_reference})
        assert answer.status_code == 202, answer.text
        case_id = answer.json()["cases"][0]["case_id"]
        self.house.work()
        return self.house.case(case_id)

    def tidy(self) -> None:
        """As it was opened, the patients that were seen apart."""
        self.house.ehr.rules.clear()
        self.house.services.settings, self.house.services.wording = self.settings, None
        self.house.clock.instant = NOW

    def settle(self, case_id: str) -> CaseRow:
        """The case after everything that is due was done: jobs, the sweep, and what it found."""
        self.house.work()
        self.house.sweep.run(self.house.clock.now())
        self.house.work()
        return self.house.case(case_id)

    @property
    def ehr_url(self) -> str:
        """Base address of the EHR, as callers name it."""
        return self.house.services.settings.ehr["ehr"].base_url

    def in_ehr(self, kind: str, chart: str = "", **query: str) -> list[dict[str, Any]]:
        """Resources of a chart's patient as the EHR holds them now; without a name the current one's."""
        patient = self.charts[chart or self.current].patient_reference.partition("/")[2]
        ehr = self.house.services.ehr("ehr")
        return [dict(item.resource) for item in ehr.search(kind, query, patient_id=patient).fetched]

    def order(self, chart: str = "") -> dict[str, Any]:
        """The order as the EHR holds it now; without a name the current one."""
        reference = self.charts[chart or self.current].order_reference
        return dict(self.house.services.ehr("ehr").read(*reference.split("/", 1)).resource)


@dataclass
class _BusyKeys:
    """The keys, and before some of the signatures the case moves as a job would move it meanwhile."""

    keys: Any
    move: Callable[[], object]
    left: int

    def __getattr__(self, name: str) -> Any:
        if name == "signer" and self.left:
            self.left -= 1
            self.move()
        return getattr(self.keys, name)


@contextmanager
def moving(ward: Ward, case: CaseRow, times: int = 1) -> Iterator[None]:
    """Between reading the case and recording an act on it, the case changes: so many times."""
    services, keys = ward.house.services, ward.house.services.keys

    def move() -> None:
        with services.store.begin() as tx:
            now = tx.cases.get(case.tenant_id, case.case_id)
            tx.cases.update(now.tenant_id, now.case_id, now.version, due_at=services.clock.now())

    busy = _BusyKeys(keys=keys, move=move, left=times)
    services.keys = busy  # type: ignore[assignment]
    try:
        yield
    finally:
        services.keys = keys
    assert busy.left == 0, "nothing was recorded that the case could have moved before"


@contextmanager
def open_ward(
    folder: Path, names: Sequence[str] = ("week-three-held",), base_url: str = BASE, more: Sequence[DemoChart] = ()
) -> Iterator[Ward]:
    """A ward whose EHR holds the demo charts of these names and `more`; people reach it by `base_url`."""
    charts = {chart.scenario: chart for chart in (*more, *demo_charts()) if chart in more or chart.scenario in names}
    with open_house(folder, [chart.bundle for chart in charts.values()]) as house:
        admit(house, next(iter(charts.values())), base_url)
        pages.install(house.app)
        yield Ward(house=house, charts=charts, settings=house.services.settings)


def copies(count: int, name: str = "week-three-held") -> tuple[DemoChart, ...]:
    """So many patients with the chart of one scenario, each with ids of their own."""
    recipe = scenario_recipe(name)
    names = [f"{name}-{number}" for number in range(count)]
    return tuple(_demo_chart(own, recipe.case_id, replace(recipe, chart_id=own)) for own in names)


def admit(house: House, chart: DemoChart, base_url: str) -> None:
    """People with passwords: the clinician of the order, another one, one of the staff."""
    order = next(
        entry["resource"]
        for entry in chart.bundle["entry"]
        if f"{entry['resource']['resourceType']}/{entry['resource'].get('id')}" == chart.order_reference
    )
    practitioner = order["requester"]["reference"]
    settings = house.services.settings

    def person(name: str, *roles: Any, practitioner: str = "") -> ClientSettings:
        return ClientSettings(password_argon2=_hashed(), roles=roles, name=name, practitioner=practitioner)

    people = {
        "cleo": person("Cleo Clinician", "clinician", practitioner=practitioner),
        "max": person("Max Elsewhere", "clinician", practitioner="Practitioner/nobody-here"),
        "noah": person("Noah Unlinked", "clinician"),
        "stella": person("Stella Staff", "staff"),
        "ada": person("Ada Auditor", "auditor"),
    }
    server = settings.server.model_copy(update={"base_url": base_url})
    clients = {**settings.clients, **people}
    house.services.settings = settings.model_copy(update={"clients": clients, "server": server})
