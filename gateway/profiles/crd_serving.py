"""CDS Hooks calls that an EHR makes to us, read with suspicion: what is asked, about whom, with what at hand.

The shape is checked where a wrong one would let us answer about somebody else; everything else that is odd is
passed over. Source: CDS Hooks 2.0 (calling a CDS service), spec/crd.md §2, §3, §5, §14.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.bundle import entries, resources
from gateway.fhir.reading import objects, one, text, texts
from gateway.fhir.references import read_reference
from gateway.profiles.crd_request import ORDER_TYPES

CONFIGURATION_KEY = "davinci-crd.configuration"
MAX_ORDERS = 50
"""Orders looked at in one call."""
MAX_FEEDBACK = 100
"""Entries of one feedback call."""
MAX_COMMENT = 4000
"""Longest comment of a clinician that is kept."""
OUTCOMES = frozenset({"accepted", "overridden"})
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9.\-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCall:
    """One call of a CDS service by an EHR."""

    hook: str
    """order-select or order-sign."""
    instance: str
    """UUID of the call."""
    server: str
    """fhirServer without a closing slash; empty when the EHR offers none."""
    token: str = field(repr=False)
    """Bearer token for that server; empty for none. For this call only, never stored or logged."""
    user: str
    """`Practitioner/id` or `PractitionerRole/id`; empty for another kind of user."""
    patient_id: str
    """Bare id."""
    encounter_id: str
    """Bare id; empty for none."""
    orders: tuple[Json, ...] = field(repr=False)
    """The draft orders, each with an id that names it, in their order."""
    selections: frozenset[str]
    """`Type/id` of the orders just selected; empty where the hook has none."""
    along: tuple[Json, ...] = field(repr=False)
    """Other resources of the draft Bundle, such as medications."""
    prefetch: Mapping[str, Any] = field(repr=False)
    """Prefetch values by key, as parsed."""
    configuration: Mapping[str, bool | int]
    """Switches that the EHR set."""

    def wants(self, card_type: str) -> bool:
        """Whether answers of this type are wanted: always, unless switched off."""
        return self.configuration.get(card_type) is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """What a clinician did with one card."""

    card: str
    """The card's uuid."""
    outcome: str
    """accepted or overridden."""
    accepted: tuple[str, ...]
    """uuids of suggestions accepted."""
    reason: str
    """Code of the override reason; empty when none was chosen."""
    comment: str = field(repr=False)
    """The clinician's own words; empty for none."""


def read_hook_call(body: Any, hook: str) -> HookCall:
    """A call of `hook`. Raises InputError (`hook.*`) where it cannot be told what or whom it is about."""
    if not isinstance(body, Mapping):
        raise _invalid("shape", "A CDS Hooks request (a JSON object) is expected.", "")
    if body.get("hook") != hook:
        raise _invalid("name", f"This service is for the hook {hook}.", "hook")
    if not _UUID.fullmatch(text(body.get("hookInstance"))):
        raise _invalid("instance", "hookInstance must be a UUID.", "hookInstance")
    context = body.get("context")
    if not isinstance(context, Mapping):
        raise _invalid("context", "The request has no context; see the hook's definition.", "context")
    orders, along = _orders(context)
    server, token = _access(body)
    return HookCall(
        hook=hook,
        instance=text(body.get("hookInstance")).lower(),
        server=server,
        token=token,
        user=_user(context),
        patient_id=_patient(context),
        encounter_id=_encounter(context),
        orders=orders,
        selections=frozenset(
            filter(None, (read_reference(item).relative for item in texts(context.get("selections"))))
        ),
        along=along,
        prefetch={str(key): value for key, value in one(body.get("prefetch")).items()},
        configuration=_configuration(body),
    )


def read_feedback(body: Any) -> tuple[Feedback, ...]:
    """The entries of a feedback call that name a card and an outcome. Raises InputError for another shape."""
    listed = body.get("feedback") if isinstance(body, Mapping) else None
    if not isinstance(listed, list) or len(listed) > MAX_FEEDBACK:
        raise _invalid("feedback", f"Send {{feedback: […]}} with at most {MAX_FEEDBACK} entries.", "feedback")
    found = (_feedback(item) for item in objects(listed))
    return tuple(item for item in found if item.card and item.outcome in OUTCOMES)


def is_searched(value: Any) -> bool:
    """Whether a prefetch value is the whole answer to its template: null, a resource, or a searchset to its end."""
    if value is None:
        return True
    if not isinstance(value, Mapping) or value.get("resourceType") in (None, "OperationOutcome"):
        return False
    links = {text(link.get("relation")) for link in objects(value.get("link"))}
    return value.get("resourceType") != "Bundle" or "next" not in links


def prefetched(value: Any) -> tuple[Json, ...]:
    """The resources of a prefetch value; empty for null, for a failure told, and for anything else."""
    if not isinstance(value, Mapping):
        return ()
    found = resources(value) if value.get("resourceType") == "Bundle" else (value,)
    named = (item for item in found if isinstance(item.get("resourceType"), str))
    return tuple(item for item in named if item["resourceType"] not in ("OperationOutcome", "Bundle"))


def _orders(context: Json) -> tuple[tuple[Json, ...], tuple[Json, ...]]:
    bundle = context.get("draftOrders")
    if not isinstance(bundle, Mapping) or bundle.get("resourceType") != "Bundle":
        raise _invalid("orders", "context.draftOrders must be a Bundle.", "context.draftOrders")
    found = [entry.resource for entry in entries(bundle) if isinstance(entry.resource.get("resourceType"), str)]
    orders = [item for item in found if item["resourceType"] in ORDER_TYPES and is_id(item.get("id"))]
    if len(orders) > MAX_ORDERS:
        raise _invalid("orders", f"At most {MAX_ORDERS} orders are looked at in one call.", "context.draftOrders")
    named = {f"{item['resourceType']}/{item['id']}": item for item in reversed(orders)}
    return tuple(reversed(named.values())), tuple(item for item in found if item["resourceType"] not in ORDER_TYPES)


def _access(body: Json) -> tuple[str, str]:
    server, granted = body.get("fhirServer"), one(body.get("fhirAuthorization"))
    if server is not None and not isinstance(server, str):
        raise _invalid("server", "fhirServer must be text.", "fhirServer")
    if granted and not server:
        raise _invalid("server", "fhirAuthorization comes with fhirServer or not at all.", "fhirServer")
    token = text(granted.get("access_token"))
    return (server or "").strip().rstrip("/"), token if token.isascii() and token.isprintable() else ""


def _patient(context: Json) -> str:
    """Bare id; `Patient/id`, which some EHRs send, is understood."""
    named = text(context.get("patientId")).removeprefix("Patient/")
    if not is_id(named):
        raise _invalid("patient", "context.patientId must be the id of a Patient.", "context.patientId")
    return named


def _encounter(context: Json) -> str:
    named = text(context.get("encounterId")).removeprefix("Encounter/")
    return named if is_id(named) else ""


def _user(context: Json) -> str:
    read = read_reference(text(context.get("userId")))
    return read.relative if read.type in ("Practitioner", "PractitionerRole") else ""


def _configuration(body: Json) -> dict[str, bool | int]:
    asked = one(one(body.get("extension")).get(CONFIGURATION_KEY))
    return {str(key): value for key, value in asked.items() if isinstance(value, bool | int)}


def _feedback(item: Json) -> Feedback:
    override = one(item.get("overrideReason"))
    reason = one(override.get("reason")) or override
    return Feedback(
        card=text(item.get("card")).lower() if _UUID.fullmatch(text(item.get("card"))) else "",
        outcome=text(item.get("outcome")),
        accepted=tuple(text(one(found).get("id")).lower() for found in objects(item.get("acceptedSuggestions"))),
        reason=text(reason.get("code"))[:64],
        comment=text(override.get("userComment"))[:MAX_COMMENT],
    )


def is_id(value: Any) -> bool:
    """Whether `value` is a FHIR id; `.` and `..` are paths, not ids."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _invalid(reason: str, message: str, expression: str) -> InputError:
    return InputError(message, code=f"hook.{reason}", expression=expression)
