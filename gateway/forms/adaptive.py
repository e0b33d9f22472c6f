"""Adaptive forms: the payer's service hands out questions set by set; we keep people's answers as they are.

The working response carries the form inside (`contained`), exactly as the service sent it last. What comes back is
the new truth about questions; it is never the truth about what a person answered (spec/dtr.md §8).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.forms import marks
from gateway.forms.adaptive_rows import with_unsent
from gateway.forms.complete import in_order, require_fit
from gateway.forms.definition import TOO_LARGE, FormDefinition, read_definition
from gateway.forms.session import DEFAULT_GUIDE, FormSession, response_as_sent
from gateway.forms.slots import Sheet, Slot
from gateway.forms.validate import check_sheet
from gateway.profiles import dtr_sdc
from gateway.profiles import dtr_urls as urls
from gateway.profiles.dtr_guide import DtrGuide
from gateway.profiles.dtr_next_question import build_shell, contained, contained_form
from gateway.profiles.dtr_package import FormPackageParts, canonical_of
from gateway.profiles.dtr_sdc import value_of

COMPLETED: Final = frozenset({"completed", "complete", "amended"})
"""Words of a service for "no more questions"; the second is prose that servers copied."""
_OURS: Final = frozenset({urls.QR_CONTEXT, urls.QR_COVERAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSet:
    """A working response after one exchange with the payer's service."""

    response: dict[str, Any]
    """The working copy: the new form inside, answers of people as they were."""
    says_completed: bool
    """Whether the service asks nothing more."""
    added: tuple[str, ...]
    """linkIds of questions that are new."""
    dropped: tuple[str, ...]
    """linkIds of answered questions that the service no longer asks."""


def is_adaptive(package: FormPackageParts) -> bool:
    """Whether the payer's service asks the questions: by the form's extension, or a draft that carries its form."""
    draft = package.draft_response
    return dtr_sdc.is_adaptive(package.questionnaire) or (draft is not None and contained_form(draft) is not None)


def opened(package: FormPackageParts, response: Json | None = None) -> FormPackageParts:
    """The package with the form that a response (or else the payer's draft) carries, and what came along with it.

    The package itself where nothing is carried. Libraries and value sets of the first package stay in force.
    """
    carrier = response if response is not None else package.draft_response
    form = contained_form(carrier) if carrier is not None else None
    if carrier is None or form is None:
        return package
    inside = contained(carrier)
    return replace(
        package,
        questionnaire=form,
        libraries=(*package.libraries, *_of_type(inside, "Library")),
        value_sets=(*_of_type(inside, "ValueSet"), *package.value_sets),
    )


def begin(package: FormPackageParts, response: Json, guide: DtrGuide) -> dict[str, Any]:
    """A populated response made the first one of an adaptive form: it carries the payer's form, or a shell of it.

    One that carries its form already stays as it is.
    """
    if contained_form(response) is not None:
        return dict(response)
    draft = package.draft_response
    inside = contained(draft) if draft is not None and contained_form(draft) is not None else []
    inside = inside or [build_shell(package.questionnaire)]
    form = next(one for one in inside if one.get("resourceType") == "Questionnaire")
    profile = guide.adaptive_profile()
    begun = {**response, "contained": list(inside), "questionnaire": f"#{form['id']}"}
    return in_order(begun | ({"meta": {"profile": [profile]}} if profile else {}))


def build_disclosure(session: FormSession, response: Json, now: datetime) -> dict[str, Any]:
    """What the payer is sent to get the next questions: the answers as they stand, without private marks.

    Raises InputError as `complete` does: nothing is disclosed while an answer is missing or does not fit, or while
    the form cannot be completed here (dtr:spec-146).
    """
    sheet = session.sheet(response)
    require_fit(check_sheet(session, sheet))
    return in_order({**response_as_sent(session, sheet), "authored": session.launch_time(now)})


def take_next(
    package: FormPackageParts, working: Json, sent: Json, returned: Json, guide: DtrGuide = DEFAULT_GUIDE
) -> NextSet:
    """The working response after the payer's answer; nothing handed in is changed.

    `sent` is what the payer was sent, `returned` what came. Raises InputError: `adaptive.form` for an answer that
    carries no form or another one, `adaptive.identity` for another response or patient, `adaptive.status`,
    `adaptive.too-large`, and `adaptive.changed` where an answer of a person is not as it was.
    """
    form = _require_form(package, returned)
    _require_identity(sent, returned)
    before = Sheet(_definition(contained_form(working) or {}), working)
    definition = _definition(form)
    fresh = Sheet(definition, with_unsent(definition.items, before.response, sent, returned, guide))
    out = Sheet(before.form, with_unsent(before.form.items, before.response, sent, sent, guide))
    for slot in list(fresh.walk()):
        _settle(slot, before.find(slot.address), out.find(slot.address), guide)
    merged = {**working, "contained": copy.deepcopy(contained(returned)), "questionnaire": returned["questionnaire"]}
    merged["extension"] = _extensions(working, returned)
    merged.pop("item", None)
    if fresh.response.get("item"):
        merged["item"] = fresh.response["item"]
    answered = {slot.definition.link_id for slot in before.walk() if slot.answers}
    return NextSet(
        response=in_order({key: value for key, value in merged.items() if value not in ([], None)}),
        says_completed=_says_completed(returned),
        added=tuple(link_id for link_id in fresh.form.by_link_id if link_id not in before.form.by_link_id),
        dropped=tuple(link_id for link_id in before.form.by_link_id if link_id in answered - set(_links(fresh))),
    )


def build_completed(session: FormSession, response: Json, now: datetime) -> dict[str, Any] | None:
    """The response as it is kept once the service asks nothing more; None while an answer is missing or does not
    fit, or a signature is demanded: then a person goes on (only the service completes such a form)."""
    sheet = session.sheet(response)
    if any(finding.severity == "error" for finding in check_sheet(session, sheet)):
        return None
    done = response_as_sent(session, sheet)
    return in_order({**done, "status": "completed", "authored": session.launch_time(now)})


def _links(sheet: Sheet) -> Sequence[str]:
    return tuple(sheet.form.by_link_id)


def _of_type(resources: Sequence[Json], resource_type: str) -> list[Json]:
    return [one for one in resources if one.get("resourceType") == resource_type]


def _definition(form: Json) -> FormDefinition:
    definition = read_definition(form)
    if TOO_LARGE in definition.blockers:
        raise InputError("The payer's form is too large to be shown here.", code="adaptive.too-large")
    return definition


def _require_form(package: FormPackageParts, returned: Json) -> Json:
    form = contained_form(returned)
    if form is None:
        raise InputError("The payer's answer does not carry the form it is of.", code="adaptive.form")
    derived = form.get("derivedFrom")
    named = {str(one).partition("|")[0] for one in derived} if isinstance(derived, list) else set()
    ours = canonical_of(package.questionnaire).partition("|")[0]
    if named and ours and ours not in named:
        raise InputError("The payer's answer carries another form.", code="adaptive.form")
    return form


def _require_identity(sent: Json, returned: Json) -> None:
    """The answer is of the response and the patient that were sent."""
    other_id = returned.get("id") not in (None, sent.get("id"))
    subjects = [str((one.get("subject") or {}).get("reference", "")) for one in (sent, returned)]
    if other_id or (subjects[1] and _tail(subjects[0]) != _tail(subjects[1])):
        raise InputError("The payer's answer is of another form or patient.", code="adaptive.identity")


def _tail(reference: str) -> str:
    return "/".join(reference.split("/_history/")[0].split("/")[-2:])


def _says_completed(returned: Json) -> bool:
    status = returned.get("status")
    if status not in COMPLETED and status != "in-progress":
        raise InputError("The payer's answer has a status that is not known here.", code="adaptive.status")
    return status in COMPLETED


def _extensions(working: Json, returned: Json) -> list[Any]:
    """Whose the response is stays ours; what it is for, and what the payer says about coverage, is the payer's."""
    theirs = [
        one for one in returned.get("extension") or () if isinstance(one, Mapping) and one.get("url") not in _OURS
    ]
    ours = [one for one in working.get("extension") or () if one.get("url") in _OURS]
    if any(one.get("url") == urls.INTENDED_USE for one in theirs):
        return [*ours, *theirs]
    kept = [one for one in working.get("extension") or () if one.get("url") == urls.INTENDED_USE]
    return [*ours, *kept, *theirs]


def _settle(slot: Slot, own: Slot | None, sent: Slot | None, guide: DtrGuide) -> None:
    """Answers of one place: ours where they came back as they were, else the payer's, unless a person set ours."""
    mine = own.answers if own is not None else []
    is_cleared = own is not None and marks.is_cleared(own.node)
    if is_cleared and own is not None:
        slot.node["extension"] = copy.deepcopy(own.node["extension"])
    if _same_values(slot.answers, mine):
        slot.set_answers([_joined(theirs, ours) for theirs, ours in zip(slot.answers, mine, strict=True)])
    elif not (is_cleared or marks.is_person_set(mine, guide)):
        values = marks.values_of(slot.answers)
        slot.set_answers(marks.stamped(slot, values, guide, guide.AUTO_SERVER))
    elif slot.answers or (sent is not None and sent.answers):
        text = "The payer's answer changed what a person answered; nothing of it was taken over."
        raise InputError(text, code="adaptive.changed", expression=slot.address)
    else:  # switched off, so it was not sent: it is kept
        slot.set_answers(copy.deepcopy(mine))


def _joined(theirs: Json, ours: Json) -> dict[str, Any]:
    """Our answer with its id and origin, around what the payer nests below it."""
    kept = {key: value for key, value in ours.items() if key != "item"}
    return {**copy.deepcopy(kept), **({"item": theirs["item"]} if theirs.get("item") else {})}


def _same_values(theirs: Sequence[Json], mine: Sequence[Json]) -> bool:
    return len(theirs) == len(mine) and all(
        _same(value_of(one), value_of(two)) for one, two in zip(theirs, mine, strict=True)
    )


def _same(one: Any, two: Any) -> bool:
    """Equal, or the same code of the same system, whatever the display says."""
    if isinstance(one, Mapping) and isinstance(two, Mapping) and "value" not in one and one.get("code"):
        return (one.get("system"), one.get("code")) == (two.get("system"), two.get("code"))
    return type(one) is type(two) and bool(one == two)
