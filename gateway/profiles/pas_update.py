"""Updates and cancellations: a full restatement of the claim with marks relative to the last version.

Sequences never change and are never reused; marks of earlier versions are dropped, cancelled stays
cancelled. The prior Claim goes along unchanged, but not the prior's own prior (spec/pas.md §8;
pas:spec-63 to spec-72, prof-4 to prof-10). Whether an update is allowed at all (not after a denial) is
for `gateway.policy` to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.bundle import build_bundle, entries
from gateway.fhir.extensions import build_extension, extension_value, without_extensions
from gateway.fhir.instants import write_instant
from gateway.fhir.reading import objects, one, text, thaw, whole_number
from gateway.fhir.references import reference_text
from gateway.profiles.pas_claim import ItemContext, claim_item, coded_extension, serviced
from gateway.profiles.pas_graph import EntryPool, require
from gateway.profiles.pas_input import PasCodes, PasItem, Supporting
from gateway.profiles.pas_order import derive_order
from gateway.profiles.pas_resources import pas_quantity
from gateway.profiles.pas_supporting import add_supporting, binaries_by_name, clean
from gateway.profiles.urls import RELATED_CLAIM, pas

_CHANGED = pas("extension-infoChanged")
_CANCELLED = pas("modifierextension-infoCancelled")
_CERTIFICATION = pas("extension-certificationType")


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """What is new about an item that was asked for before. A different service is a cancellation and a new item."""

    sequence: int
    """Item concerned."""
    cancel: bool = False
    """Withdraw it."""
    quantity: Json | None = None
    """New quantity."""
    starts_on: date | None = None
    """New first day of service."""
    ends_on: date | None = None
    """New last day of service."""
    certification_type: str = ""
    """Certification type of the change (X12 1322), where the payer wants one; empty = unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimUpdate:
    """An update of a submitted claim, or its cancellation."""

    bundle_identifier: tuple[str, str]
    """(system, value) of the new transaction."""
    claim_identifier: tuple[str, str]
    """(system, value) of the new trace number; never the old one."""
    created_at: datetime
    """Aware instant of the build."""
    codes: PasCodes
    """X12 codes of the payer."""
    cancel_all: bool = False
    """Withdraw the whole request."""
    changes: tuple[ItemChange, ...] = ()
    """Changes of items."""
    added_items: tuple[PasItem, ...] = ()
    """New items, with sequences never used before."""
    added_supporting: tuple[Supporting, ...] = ()
    """New additional information."""
    cancelled_supporting: tuple[int, ...] = ()
    """Sequences of additional information to withdraw."""
    coverage: Json | None = None
    """The EHR's coverage, needed where items are added."""
    referenced: tuple[Json, ...] = ()
    """Further resources of the EHR, sent where something sent refers to them."""
    ehr_base: str = ""
    """FHIR base of the EHR."""


def build_update_bundle(prior: Json, update: ClaimUpdate, new_uuid: Callable[[], str]) -> dict[str, Any]:
    """The Bundle of an update (2.2.1).

    `prior` is the request Bundle sent last; its entries keep their addresses (pas:spec-17).
    `InputError` (`pas.update-*`) when it holds no Claim, or a sequence is unknown or reused.
    """
    # The prior Claim is history: it travels as it was sent, its own `related` included.
    prior_url, prior_claim = require_claim(prior)
    pool = pool_of(prior, update, new_uuid)
    claim = restate(prior_claim, update, pool)
    claim["related"] = [_related(prior_url)]
    url = pool.put(pool.new_url(), claim)
    return wrap_update(update, pool.close(url, prior_url))


def restate(prior_claim: Json, update: ClaimUpdate, pool: EntryPool) -> dict[str, Any]:
    """The new Claim: everything the prior one said, with new identity, changes and marks."""
    _check(prior_claim, update)
    claim: dict[str, Any] = thaw(prior_claim)
    claim.pop("related", None)
    system, value = update.claim_identifier
    claim["meta"] = {"profile": [pas("profile-claim-update")]}
    claim["identifier"] = [{"system": system, "value": value}]
    claim["created"] = write_instant(update.created_at)
    if update.cancel_all:
        kept = without_extensions(claim, _CERTIFICATION).get("extension", [])
        cancel = coded_extension("extension-certificationType", "1322", update.codes.certification_type_cancel)
        claim["extension"] = [*kept, cancel]
    supporting = _supporting(claim, update, pool)
    claim |= {"supportingInfo": supporting} if supporting else {}
    claim["item"] = [_item(item, update) for item in objects(prior_claim.get("item"))]
    claim["item"] += [_added_item(item, update, pool) for item in update.added_items]
    for resource in update.referenced:
        if not pool.holds(resource):
            pool.put(pool.reserve(resource), clean(resource))
    return claim


def require_claim(bundle: Json) -> tuple[str, Json]:
    """Address and Claim of a request Bundle; `InputError` (`pas.update-prior`) when its first entry is none."""
    first = next(entries(bundle), None)
    if first is None or first.resource.get("resourceType") != "Claim" or not first.full_url:
        raise InputError("The prior request holds no Claim to update.", code="pas.update-prior")
    return first.full_url, first.resource


def pool_of(prior: Json, update: ClaimUpdate, new_uuid: Callable[[], str]) -> EntryPool:
    """A pool with the prior Bundle's entries, except the prior's own prior (pas:spec-66)."""
    pool = EntryPool(new_uuid, update.ehr_base)
    claims = 0
    for entry in entries(prior):
        claims += entry.resource.get("resourceType") == "Claim"
        if claims <= 1 or entry.resource.get("resourceType") != "Claim":
            pool.keep(entry.full_url, entry.resource)
    return pool


def wrap_update(update: ClaimUpdate, members: Iterable[tuple[str, Json]]) -> dict[str, Any]:
    """The request Bundle around the entries of an update."""
    system, value = update.bundle_identifier
    return build_bundle(
        "collection",
        members,
        meta={"profile": [pas("profile-pas-request-bundle")]},
        identifier={"system": system, "value": value},
        timestamp=write_instant(update.created_at.astimezone(UTC)),
    )


def _related(prior_url: str) -> dict[str, Any]:
    relationship = {"coding": [{"system": RELATED_CLAIM, "code": "prior"}]}
    return {"claim": {"reference": prior_url}, "relationship": relationship}


def _check(prior_claim: Json, update: ClaimUpdate) -> None:
    """Known sequences only for changes, unused ones only for additions, and a new trace number."""
    items = {whole_number(item.get("sequence")) for item in objects(prior_claim.get("item"))}
    infos = {whole_number(info.get("sequence")) for info in objects(prior_claim.get("supportingInfo"))}
    added = [item.sequence for item in update.added_items]
    known = {change.sequence for change in update.changes} <= items and set(update.cancelled_supporting) <= infos
    require(known, "A change names a sequence that was never sent.", "pas.update-sequence", "Claim.item.sequence")
    is_fresh = not items.intersection(added) and len(set(added)) == len(added) and all(number > 0 for number in added)
    require(is_fresh, "A new item needs a sequence never used before.", "pas.update-sequence", "Claim.item.sequence")
    old = {(text(one_.get("system")), text(one_.get("value"))) for one_ in objects(prior_claim.get("identifier"))}
    is_new = update.claim_identifier not in old
    require(is_new, "An update needs its own claim identifier.", "pas.update-identifier", "Claim.identifier")


def _item(item: Json, update: ClaimUpdate) -> dict[str, Any]:
    """A restated item: earlier marks off, this version's change on."""
    built = without_extensions(thaw(item), _CHANGED)
    number = whole_number(item.get("sequence"))
    change = next((found for found in update.changes if found.sequence == number), None)
    if _is_cancelled(item):
        return built
    if update.cancel_all or (change is not None and change.cancel):
        return _cancel(built, update.codes)
    return _mark(_apply(built, change), "changed") if change is not None else built


def _apply(item: dict[str, Any], change: ItemChange) -> dict[str, Any]:
    changed = dict(item)
    if change.quantity is not None:
        changed["quantity"] = pas_quantity(change.quantity)
    if change.starts_on is not None:
        changed = {key: value for key, value in changed.items() if not key.startswith("serviced")}
        changed |= serviced(change.starts_on, change.ends_on)
    if change.certification_type:
        changed = _certify(changed, change.certification_type)
    return changed


def _cancel(item: dict[str, Any], codes: PasCodes) -> dict[str, Any]:
    """Withdrawn: the modifier, certification type cancel, and the mark (pas:spec-69, spec-70, prof-7)."""
    certified = _certify(item, codes.certification_type_cancel)
    return _mark(_with_modifier(certified), "changed")


def _certify(item: dict[str, Any], code: str) -> dict[str, Any]:
    kept = without_extensions(item, _CERTIFICATION)
    certification = coded_extension("extension-certificationType", "1322", code)
    return _with_extensions(kept, [*kept.get("extension", []), certification])


def _mark(element: dict[str, Any], mode: str) -> dict[str, Any]:
    return _with_extensions(element, [*element.get("extension", []), build_extension(_CHANGED, "Code", mode)])


def _with_modifier(element: dict[str, Any]) -> dict[str, Any]:
    modifier = build_extension(_CANCELLED, "Boolean", True)
    return _with_extensions({**element, "modifierExtension": [modifier]}, element.get("extension", []))


def _with_extensions(element: dict[str, Any], listed: list[Any]) -> dict[str, Any]:
    """The element with its extensions in front, as FHIR orders them."""
    rest = {key: value for key, value in element.items() if key not in ("extension", "modifierExtension")}
    head: dict[str, Any] = {"extension": listed} if listed else {}
    if "modifierExtension" in element:
        head["modifierExtension"] = element["modifierExtension"]
    return {**head, **rest}


def _is_cancelled(element: Json) -> bool:
    return extension_value(element, _CANCELLED, modifier=True) is True


def _supporting(claim: Json, update: ClaimUpdate, pool: EntryPool) -> list[dict[str, Any]]:
    """All earlier additional information, withdrawn where asked, and the new one with fresh sequences."""
    listed = [_supporting_info(info, update) for info in objects(claim.get("supportingInfo"))]
    last = max((whole_number(info.get("sequence")) or 0 for info in listed), default=0)
    patient = reference_text(claim.get("patient"))
    binaries = binaries_by_name(update.referenced)
    for number, item in enumerate(update.added_supporting, start=last + 1):
        info = add_supporting(pool, item, number, update.codes, patient, binaries)
        listed.append(_mark(info, "added"))
    return listed


def _supporting_info(info: Json, update: ClaimUpdate) -> dict[str, Any]:
    built = without_extensions(thaw(info), _CHANGED)
    is_withdrawn = whole_number(info.get("sequence")) in update.cancelled_supporting
    return _mark(_with_modifier(built), "changed") if is_withdrawn and not _is_cancelled(info) else built


def _added_item(item: PasItem, update: ClaimUpdate, pool: EntryPool) -> dict[str, Any]:
    service = ""
    if item.requested_service is not None:
        order = derive_order(item.requested_service, one(update.coverage), update.created_at.date())
        service = pool.add(order, item.requested_service)
    context = ItemContext(codes=update.codes, claim_identifier=update.claim_identifier, service=service)
    return _mark(claim_item(item, context), "added")
