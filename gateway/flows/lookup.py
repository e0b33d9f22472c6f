"""What an order refers to, found in the same post, else in its EHR: each resource once, and never without end.

References are followed by `Type/id` at the order's own EHR only; one to another server is not found, since
the same id there is somebody else.
"""

from __future__ import annotations

from gateway.clients.ehr import EhrClient
from gateway.errors import EhrRejected, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.reading import text
from gateway.fhir.references import read_reference
from gateway.flows.orders import PostedOrder, is_id
from gateway.flows.services import Services

FOLLOWED = frozenset({"Coverage", "Organization", "Patient"})
"""Types that are read from the EHR while an order is accepted."""
MAX_READS = 40
"""Resources read from the EHR for one post."""
GONE = (400, 404, 410)
"""HTTP answers of an EHR that mean: not under this reference."""


class Lookup:
    """Finds what the orders of one post refer to."""

    def __init__(self, services: Services, ehr_id: str) -> None:
        self.ehr_id = ehr_id
        self._ehr: EhrClient = services.ehr(ehr_id)
        self._base = services.settings.ehr[ehr_id].base_url.rstrip("/")
        self._known: dict[str, Json | None] = {}
        self._reads = 0

    def find(self, order: PostedOrder, reference: str, holder: Json | None = None) -> Json | None:
        """The resource that `reference` in `holder` names; None when it is nowhere. Raises EhrError."""
        along = order.index.resolve_loosely(reference, holder=holder)
        if along is not None:
            return along
        relative = self._own(reference)
        return self._read(relative) if relative.partition("/")[0] in FOLLOWED else None

    def identity(self, order: PostedOrder, reference: str, holder: Json | None = None) -> str:
        """`Type/id` at the EHR of what `reference` names; empty when it names nothing there."""
        along = order.index.resolve_loosely(reference, holder=holder)
        if along is None:
            return self._own(reference)
        return f"{text(along.get('resourceType'))}/{along['id']}" if is_id(along.get("id")) else ""

    def active_coverages(self, patient: str) -> list[Json]:
        """The active coverages of `Patient/id` in the EHR. Raises EhrError."""
        patient_id = patient.partition("/")[2]
        found = self._ehr.search("Coverage", {"patient": patient_id, "status": "active"}, patient_id=patient_id)
        return [item.resource for item in found]

    def order(self, reference: str) -> Json:
        """The order of an order pointer. Raises InputError where it is not there, EhrError."""
        found = self._read(reference)
        if found is None:
            message = "The order is not in the EHR under this reference; check the id."
            raise InputError(message, code="reference.unresolvable", expression="order", status=422)
        return found

    def _own(self, reference: str) -> str:
        """`Type/id` of a reference to this EHR; empty for any other text."""
        read = read_reference(reference)
        return read.relative if read.base in ("", self._base) and is_id(read.id) else ""

    def _read(self, reference: str) -> Json | None:
        if reference not in self._known:
            self._reads += 1
            if self._reads > MAX_READS:
                message = "The orders of this post refer to too many resources; post them one by one."
                raise InputError(message, code="reference.too-many", status=422)
            self._known[reference] = self._fetch(*reference.split("/", 1))
        return self._known[reference]

    def _fetch(self, kind: str, resource_id: str) -> Json | None:
        try:
            return self._ehr.read(kind, resource_id).resource
        except NotFound:
            return None
        except EhrRejected as error:
            if error.http_answer not in GONE:
                raise
            return None
