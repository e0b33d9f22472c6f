"""A person's answers: setting, clearing, and whose the answer is from then on.

Rules of origin (dtr:spec-137): over a machine value, or over an override, it is an override; over nothing,
or over a typed value, it is typed. Clearing leaves a private mark, so that the chart does not fill it again.
Dependent logic is not run here: call `populate` with the returned response.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway.errors import InputError, NotFound
from gateway.fhir import Json
from gateway.forms import marks
from gateway.forms.entry import Entry, read_entries
from gateway.forms.offers import is_dynamic
from gateway.forms.options import OptionList
from gateway.forms.populate import without_empty_but_marks
from gateway.forms.session import DEFAULT_GUIDE, FormSession
from gateway.forms.slots import Sheet, Slot
from gateway.profiles.dtr_guide import DtrGuide, OriginAuthor
from gateway.profiles.dtr_package import FormPackageParts

Author = OriginAuthor


def set_answer(
    package: FormPackageParts,
    response: Json,
    link_id: str,
    values: Sequence[Entry],
    author: Author,
    now: datetime,
    guide: DtrGuide = DEFAULT_GUIDE,
    session: FormSession | None = None,
) -> dict[str, Any]:
    """The working response with a person's answers in one place. The response handed in is not changed.

    `link_id` is an address (`linkId`, `linkId@1`). `values` are typed text, JSON scalars or answers; none of
    them, or only blank ones, clears the question. Values equal to those there change nothing, not even the origin.
    `session` knows the record, for forms whose list of answers is computed from it.
    Raises NotFound for a place the form does not have, InputError for a value that does not fit, a read-only
    question, a completed response or an author without name and role.
    """
    session = session or FormSession(package=package, guide=guide)
    sheet, slot = _opened(session, response, link_id, author)
    answers = read_entries(slot.definition, values, _offers(session, sheet, slot), now, session.units(slot.definition))
    if not answers:
        return clear_answer(package, response, link_id, author, now, guide)
    if marks.values_of(slot.answers) != answers:
        source = _source(slot, guide)
        slot.set_answers(_with_own_origins(slot, marks.stamped(slot, answers, guide, source, author), guide))
        marks.unmark_cleared(slot.node)
    return _changed(sheet, now)


def clear_answer(
    package: FormPackageParts,
    response: Json,
    link_id: str,
    author: Author,
    now: datetime,
    guide: DtrGuide = DEFAULT_GUIDE,
) -> dict[str, Any]:
    """The working response without the answers in one place, and with the private mark that a person took them out.

    An unanswered question stays as it is. Raises as `set_answer`.
    """
    session = FormSession(package=package, guide=guide)
    sheet, slot = _opened(session, response, link_id, author)
    if slot.answers:
        slot.set_answers([])
        marks.mark_cleared(slot.node, author, now)
    return _changed(sheet, now)


def add_repetition(
    package: FormPackageParts, response: Json, link_id: str, now: datetime, guide: DtrGuide = DEFAULT_GUIDE
) -> tuple[dict[str, Any], str]:
    """The working response with one more, empty repetition of a group; and the address of it.

    `link_id` is the address of any repetition of the group. Raises NotFound, or InputError for a group that
    does not repeat. An empty repetition is kept until it is answered or the response is completed.
    """
    session = FormSession(package=package, guide=guide)
    sheet = session.sheet(response)
    slot = _found(sheet, link_id)
    if not (slot.definition.is_group and slot.definition.repeats):
        raise InputError("This part of the form does not repeat.", code="answer.repeat", expression=link_id)
    host = slot.parent.node if slot.parent is not None else sheet.response
    last = [node for node in host["item"] if node.get("linkId") == slot.definition.link_id][-1]
    position = next(index for index, node in enumerate(host["item"]) if node is last)
    node: dict[str, Any] = {"linkId": slot.definition.link_id, "extension": [marks.added()]}
    host["item"] = [*host["item"][: position + 1], node, *host["item"][position + 1 :]]
    sheet.rebuild()
    added = next(one for one in sheet.walk() if one.node is node)
    return {**sheet.response, "authored": now.isoformat(timespec="seconds")}, added.address


def remove_repetition(
    package: FormPackageParts,
    response: Json,
    link_id: str,
    author: Author,
    now: datetime,
    guide: DtrGuide = DEFAULT_GUIDE,
) -> dict[str, Any]:
    """The working response without one repetition of a group; the chart does not bring it back.

    `link_id` is the repetition's address. It keeps its place, so that the addresses of the others stay as they are.
    The only one that is left loses its answers and stays. Raises NotFound, InputError for a group that does not
    repeat or may not be changed, and as `set_answer` for a completed response or an unknown author.
    """
    session = FormSession(package=package, guide=guide)
    sheet = _open_sheet(session, response, author)
    slot = _found(sheet, link_id)
    if not (slot.definition.is_group and slot.definition.repeats) or slot.definition.is_read_only:
        raise InputError("This part of the form cannot be taken out.", code="answer.repeat", expression=link_id)
    others = [one for one in siblings(sheet, slot) if one is not slot and not marks.is_cleared(one.node)]
    if others:
        slot.node.pop("item", None)
        marks.mark_cleared(slot.node, author, now)
    else:
        for one in [one for one in slot.walk() if one.answers]:
            one.set_answers([])
            marks.mark_cleared(one.node, author, now)
    return _changed(sheet, now)


def siblings(sheet: Sheet, slot: Slot) -> list[Slot]:
    """All repetitions of a group beside each other, itself among them."""
    return [one for one in sheet.named(slot.definition.link_id) if one.parent is slot.parent]


def _offers(session: FormSession, sheet: Sheet, slot: Slot) -> OptionList:
    if not is_dynamic(slot.definition.item):
        return session.options(slot.definition)
    return session.offers(slot, session.scope(sheet, session.enabled(sheet).addresses))


def _open_sheet(session: FormSession, response: Json, author: Author) -> Sheet:
    if not author.is_known:
        raise InputError("An answer needs its author: a practitioner or a role.", code="answer.author")
    if response.get("status") not in ("in-progress", "amended"):
        raise InputError("The answers are completed and cannot be changed here.", code="answer.closed", status=409)
    return session.sheet(response)


def _opened(session: FormSession, response: Json, link_id: str, author: Author) -> tuple[Sheet, Slot]:
    sheet = _open_sheet(session, response, author)
    slot = _found(sheet, link_id)
    if not slot.definition.is_question or slot.definition.is_read_only:
        raise InputError("This question cannot be answered by a person.", code="answer.read-only", expression=link_id)
    if not slot.reachable:
        raise InputError("Answer the question above it first.", code="answer.nested", expression=link_id)
    return sheet, slot


def _found(sheet: Sheet, link_id: str) -> Slot:
    slot = sheet.find(link_id)
    if slot is None:
        raise NotFound("The form has no such question.", code="answer.unknown", expression=link_id)
    return slot


def _with_own_origins(slot: Slot, answers: list[dict[str, Any]], guide: DtrGuide) -> list[dict[str, Any]]:
    """The new answers; one that did not change stays whose it was (origin is per answer, dtr:spec-137).

    Where nothing but machine values is left they become the person's, so that the chart does not bring back the rest.
    """
    before = marks.paired(slot.answers, answers)
    kept: list[dict[str, Any]] = []
    for new, old in zip(answers, before, strict=True):
        is_same = old is not None and marks.values_of([old]) == marks.values_of([new])
        kept.append({**new, "extension": old["extension"]} if is_same and old and old.get("extension") else new)
    return kept if marks.is_person_set(kept, guide) else answers


def _source(slot: Slot, guide: DtrGuide) -> str:
    origins = [guide.read_origin(answer) for answer in slot.answers]
    known = [origin.source for origin in origins if origin is not None]
    if any(guide.is_machine(source) or source == guide.OVERRIDE for source in known):
        return guide.OVERRIDE
    return guide.MANUAL


def _changed(sheet: Sheet, now: datetime) -> dict[str, Any]:
    return without_empty_but_marks({**sheet.response, "authored": now.isoformat(timespec="seconds")})


__all__ = ["Author", "add_repetition", "clear_answer", "remove_repetition", "set_answer", "siblings"]
