"""Writing what people recorded to the EHR: one after the other, each only once, however often it is repeated.

Every resource carries an identifier made of the case, the act and its own name, and is created only where none
has it yet. A Provenance has no identifier in R4, so that one is looked for by its target and its statement first.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gateway.clients.ehr import Fetched
from gateway.errors import Conflict
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.fhir.references import reference_text, same_target
from gateway.flows.ledger import Item
from gateway.flows.services import Services
from gateway.flows.subjects import CASE_SYSTEM
from gateway.store.rows import CaseRow

TRIES: Final = 4
"""How often a change of the order is decided again when it changed meanwhile."""
_SINGLE: Final = frozenset({"QuestionnaireResponse"})
"""Types whose `identifier` is one element, not a list."""


class Shelf(Protocol):
    """Where resources are put; each gets a reference."""

    def put(self, name: str, resource: Json) -> str:
        """Puts a resource under a name that is unique within the act; gives its `Type/id`."""


@dataclass(kw_only=True)
class TrialShelf:
    """Puts nothing anywhere: what would be written, for a look at what a rule would say of it."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    """What was put, each with an id that no EHR has."""

    def put(self, name: str, resource: Json) -> str:
        """See the protocol."""
        made = {**resource, "id": f"trial-{len(self.resources)}"}
        self.resources.append(made)
        return f"{made['resourceType']}/{made['id']}"


@dataclass(kw_only=True)
class EhrShelf:
    """The EHR of a case."""

    services: Services
    case: CaseRow
    act_id: str
    """What the names are unique within: the same for a repeat of one act, another for the next."""
    written: list[Fetched] = field(default_factory=list)
    """What stands in the EHR now, in order."""

    def put(self, name: str, resource: Json) -> str:
        """See the protocol. Raises EhrError; a repeat finds what is there."""
        ehr = self.services.ehr(self.case.ehr_id)
        if resource["resourceType"] == "Provenance":
            fetched = self._existing(resource) or ehr.create(resource).fetched
        else:
            value = f"urn:uuid:{uuid.uuid5(uuid.UUID(self.case.case_id), f'{self.act_id}:{name}')}"
            identifier: Any = {"system": CASE_SYSTEM, "value": value}
            own = identifier if resource["resourceType"] in _SINGLE else [identifier]
            made = {"resourceType": resource["resourceType"], "identifier": own, **resource}
            fetched = ehr.create(made, if_none_identifier=(CASE_SYSTEM, value)).fetched
        self.written.append(fetched)
        return fetched.reference

    def _existing(self, record: Json) -> Fetched | None:
        """This very Provenance, where the EHR has it already; one that somebody else keeps of the target is another."""
        target = reference_text(objects(record.get("target"))[0])
        found = self.services.ehr(self.case.ehr_id).search("Provenance", {"target": target})
        return next((item for item in found.fetched if _is_same(item.resource, record, target)), None)

    def items(self) -> tuple[Item, ...]:
        """Everything written, byte for byte as the EHR holds it, for an event."""
        return tuple(
            Item.resource(self.services.address(self.case.ehr_id, item.reference), item.raw) for item in self.written
        )


def change_order(services: Services, case: CaseRow, change: Callable[[Json], Json]) -> Fetched:
    """The order after `change`, which is decided again where somebody else changed it meanwhile. Raises EhrError."""
    ehr = services.ehr(case.ehr_id)
    for attempt in range(TRIES):
        current = ehr.read(*case.order_reference.split("/", 1))
        wanted = change(current.resource)
        if wanted == current.resource:
            return current
        try:
            return ehr.update(wanted, current.etag or current.version).fetched
        except Conflict:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def reference_to(values: Sequence[str]) -> list[dict[str, str]]:
    """References to `Type/id` texts."""
    return [{"reference": value} for value in values]


def _is_same(found: Json, record: Json, target: str) -> bool:
    """Whether a Provenance is about the target and rests on the same statement."""
    is_about = any(same_target(reference_text(item), target) for item in objects(found.get("target")))
    return is_about and _statements(found) == _statements(record)


def _statements(record: Json) -> set[str]:
    """Digests of the words that a Provenance names as its source."""
    whats = (one(entity.get("what")) for entity in objects(record.get("entity")))
    return {text(one(what.get("identifier")).get("value")) for what in whats}
