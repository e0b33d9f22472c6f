"""Checks of a response against its form: what is missing, and what does not fit.

Findings name the place and say what to do; they hold no answers. Source: spec/dtr.md §11 (sdc:validation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.forms import constraints
from gateway.forms.conversion import fits_option
from gateway.forms.definition import ItemDefinition
from gateway.forms.options import OptionList
from gateway.forms.required import is_open
from gateway.forms.scope import Scope
from gateway.forms.session import FormSession
from gateway.forms.slots import Sheet, Slot
from gateway.profiles import dtr_sdc
from gateway.profiles import dtr_urls as urls
from gateway.profiles.dtr_sdc import value_of
from gateway.reasoning.fhirpath_equality import compare
from gateway.reasoning.fhirpath_items import Item, system_value
from gateway.reasoning.fhirpath_values import read_clock, read_moment
from gateway.reasoning.patterns import safe_pattern

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "boolean": ("valueBoolean",),
    "decimal": ("valueDecimal",),
    "integer": ("valueInteger",),
    "date": ("valueDate",),
    "dateTime": ("valueDateTime",),
    "time": ("valueTime",),
    "string": ("valueString",),
    "text": ("valueString",),
    "url": ("valueUri",),
    "attachment": ("valueAttachment",),
    "reference": ("valueReference",),
    "quantity": ("valueQuantity",),
    "choice": ("valueCoding", "valueString", "valueInteger", "valueDate", "valueTime", "valueReference"),
    "open-choice": ("valueCoding", "valueString", "valueInteger", "valueDate", "valueTime", "valueReference"),
}
_PYTHON: Final[Mapping[str, tuple[type, ...]]] = {
    "valueBoolean": (bool,),
    "valueDecimal": (int, Decimal),
    "valueInteger": (int,),
    "valueString": (str,),
    "valueUri": (str,),
    "valueDate": (str,),
    "valueDateTime": (str,),
    "valueTime": (str,),
    "valueCoding": (Mapping,),
    "valueReference": (Mapping,),
    "valueAttachment": (Mapping,),
    "valueQuantity": (Mapping,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to put right."""

    link_id: str
    """Address of the place; empty for the form as a whole."""
    code: str
    """`required`, `type`, `length`, `range`, `pattern`, `option`, `unit`, `count`, `attachment`, `constraint`,
    `unknown`, `blocked`."""
    sentence: str
    severity: Literal["error", "warning"] = "error"


def check_response(questionnaire: Json, response: Json, session: FormSession | None = None) -> list[Finding]:
    """Findings in document order; empty when the response may be completed.

    Only enabled items are checked. Without `session`, value sets are those contained in the form and
    expressions see the response alone.
    """
    session = session or FormSession.of_response(questionnaire)
    return check_sheet(session, session.sheet(response))


def check_sheet(session: FormSession, sheet: Sheet) -> list[Finding]:
    """As `check_response`, for a response that is laid out already."""
    enabled = session.enabled(sheet)
    found = [Finding(link_id="", code="blocked", sentence=one) for one in (*session.blockers, *enabled.undecided)]
    found += [_unknown(link_id) for link_id in sheet.unknown]
    scope = session.scope(sheet, enabled.addresses)
    for slot in sheet.walk():
        if slot.address in enabled.addresses:
            found += _check_slot(session, slot, enabled.addresses, scope)
    found += _check_repetitions(sheet, enabled.addresses)
    for one in constraints.broken(session.package.questionnaire, sheet, scope, enabled.addresses):
        found.append(Finding(link_id=one.address, code="constraint", sentence=one.sentence, severity=one.severity))
    return found


def _unknown(link_id: str) -> Finding:
    return Finding(link_id=link_id, code="unknown", sentence="The form has no such question.")


def _check_slot(session: FormSession, slot: Slot, addresses: set[str], scope: Scope) -> Iterator[Finding]:
    if is_open(slot, addresses):
        what = "section" if slot.definition.is_group else "question"
        yield Finding(link_id=slot.address, code="required", sentence=f"This {what} must be answered.")
    if not slot.definition.is_question or not slot.answers:
        return
    yield from _check_count(slot)
    options = session.offers(slot, scope)
    for answer in slot.answers:
        yield from _check_answer(session, slot, answer, options)
    yield from _check_exclusive(slot, options)


def _check_count(slot: Slot) -> Iterator[Finding]:
    count = len(slot.answers)
    low = dtr_sdc.read_whole_number(slot.definition.item, urls.MIN_OCCURS)
    high = dtr_sdc.read_whole_number(slot.definition.item, urls.MAX_OCCURS)
    if count > 1 and not slot.definition.repeats:
        yield Finding(link_id=slot.address, code="count", sentence="This question takes one answer.")
    if low is not None and count < low:
        yield Finding(link_id=slot.address, code="count", sentence=f"At least {low} answers are wanted.")
    if high is not None and count > high:
        yield Finding(link_id=slot.address, code="count", sentence=f"At most {high} answers are wanted.")


def _check_repetitions(sheet: Sheet, addresses: set[str]) -> Iterator[Finding]:
    groups: dict[tuple[str, int], list[Slot]] = {}
    for slot in sheet.walk():
        if slot.definition.is_group and slot.definition.repeats and slot.address in addresses:
            groups.setdefault((slot.definition.link_id, id(slot.parent)), []).append(slot)
    for (link_id, _), slots in groups.items():
        count = sum(1 for slot in slots if any(one.answers for one in slot.walk()))
        low = dtr_sdc.read_whole_number(slots[0].definition.item, urls.MIN_OCCURS) or 0
        high = dtr_sdc.read_whole_number(slots[0].definition.item, urls.MAX_OCCURS)
        if count < low:
            yield Finding(link_id=link_id, code="count", sentence=f"At least {low} entries are wanted.")
        if high is not None and count > high:
            yield Finding(link_id=link_id, code="count", sentence=f"At most {high} entries are wanted.")


def _check_exclusive(slot: Slot, options: OptionList) -> Iterator[Finding]:
    exclusive = [option.value for option in options.options if option.is_exclusive]
    if len(slot.answers) > 1 and any(
        fits_option(value_of(answer), option) for answer in slot.answers for option in exclusive
    ):
        yield Finding(link_id=slot.address, code="option", sentence="One of the answers excludes the others.")


def _check_answer(session: FormSession, slot: Slot, answer: Json, options: OptionList) -> Iterator[Finding]:
    item = slot.definition
    key = next((name for name in answer if name.startswith("value") and name[5:6].isupper()), "")
    if not _fits_type(item, key, answer.get(key)):
        yield Finding(link_id=slot.address, code="type", sentence="The answer is not of the question's type.")
        return
    value = answer[key]
    for check, code in _CHECKS.items():
        sentence = check(item, key, value)
        if sentence:
            yield Finding(link_id=slot.address, code=code, sentence=sentence)
    if key == "valueQuantity" and not _fits_unit(item, value, session.units(item)):
        yield Finding(link_id=slot.address, code="unit", sentence="The unit is not one of those offered.")
    yield from _check_option(slot, key, value, options)


def _fits_type(item: ItemDefinition, key: str, value: Any) -> bool:
    if key not in _KEYS.get(item.type, ()) or not isinstance(value, _PYTHON.get(key, ())):
        return False
    if isinstance(value, bool) and key != "valueBoolean":
        return False
    if key in ("valueDate", "valueDateTime"):
        moment = read_moment(str(value))
        return moment is not None and (moment.kind == "date" or key == "valueDateTime") and moment.kind != "time"
    if key == "valueTime":
        moment = read_clock(str(value))
        return moment is not None and len(moment.parts) == 3
    return value not in ("", {})


def _check_length(item: ItemDefinition, key: str, value: Any) -> str:
    if not isinstance(value, str):
        return ""
    high, low = item.item.get("maxLength"), dtr_sdc.read_whole_number(item.item, urls.MIN_LENGTH)
    if isinstance(high, int) and len(value) > high:
        return f"At most {high} characters are wanted."
    return f"At least {low} characters are wanted." if low is not None and len(value) < low else ""


def _check_pattern(item: ItemDefinition, key: str, value: Any) -> str:
    """A pattern that cannot be run safely is not applied; the payer's own check remains."""
    pattern = dtr_sdc.read_pattern(item.item)
    if pattern is None or not isinstance(value, str):
        return ""
    try:
        fits = safe_pattern(pattern).fullmatch(value)
    except ReasoningError:
        return ""
    return "" if fits else "The answer does not have the form that is asked for."


def _check_range(item: ItemDefinition, key: str, value: Any) -> str:
    for url, wrong, words in ((urls.MIN_VALUE, -1, "not below"), (urls.MAX_VALUE, 1, "not above")):
        limit = dtr_sdc.read_limit(item.item, url)
        if limit is None:
            continue
        order = _ordered(key, value, limit)
        if order == wrong:
            return f"The answer must be {words} {limit}."
    return ""


def _ordered(key: str, value: Any, limit: Any) -> int | None:
    type_name = {"valueDate": "date", "valueDateTime": "dateTime", "valueTime": "time"}.get(key, "decimal")
    amount = value.get("value") if isinstance(value, Mapping) else value
    try:
        return compare(system_value(Item(amount, type_name)), system_value(Item(limit, type_name)), None)
    except ReasoningError:
        return None


def _check_places(item: ItemDefinition, key: str, value: Any) -> str:
    places = dtr_sdc.read_whole_number(item.item, urls.MAX_DECIMAL_PLACES)
    if places is None or not isinstance(value, Decimal):
        return ""
    exponent = value.as_tuple().exponent
    return f"At most {places} decimal places are wanted." if isinstance(exponent, int) and -exponent > places else ""


def _check_quantity_range(item: ItemDefinition, key: str, value: Any) -> str:
    """minQuantity and maxQuantity; only amounts in the limit's own unit can be told apart here."""
    if key != "valueQuantity":
        return ""
    for url, wrong, words in ((urls.MIN_QUANTITY, -1, "not below"), (urls.MAX_QUANTITY, 1, "not above")):
        limit = dtr_sdc.extension_value(item.item, url)
        if not isinstance(limit, Mapping) or limit.get("code") != value.get("code"):
            continue
        if _ordered(key, value, limit.get("value")) == wrong:
            return f"The answer must be {words} {limit.get('value')} {limit.get('unit') or limit.get('code') or ''}."
    return ""


def _check_attachment(item: ItemDefinition, key: str, value: Any) -> str:
    if key != "valueAttachment":
        return ""
    types, limit = dtr_sdc.read_mime_types(item.item), dtr_sdc.read_max_size(item.item)
    if types and value.get("contentType") not in types:
        return f"A file of another kind is wanted: {', '.join(types)}."
    data = value.get("data")
    size = len(data) * 3 // 4 if isinstance(data, str) else value.get("size")
    if limit is not None and isinstance(size, int) and size > limit * 1_048_576:
        return f"The file is larger than the {limit} MB that are taken."
    return ""


def _fits_unit(item: ItemDefinition, value: Json, units: Sequence[Json]) -> bool:
    if not units or dtr_sdc.is_unit_open(item.item):
        return True
    return any(
        (value.get("code") == unit.get("code") and value.get("system", unit.get("system")) == unit.get("system"))
        or (not value.get("code") and value.get("unit") == unit.get("display"))
        for unit in units
    )


def _check_option(slot: Slot, key: str, value: Any, options: OptionList) -> Iterator[Finding]:
    if not options.options or slot.definition.type == "open-choice":
        return
    if slot.definition.type not in ("choice", "string", "text", "integer", "date", "time"):
        return
    if not any(fits_option(value, option.value) for option in options.options):
        yield Finding(link_id=slot.address, code="option", sentence="The answer is not one of those offered.")


_CHECKS: Final[Mapping[Callable[[ItemDefinition, str, Any], str], str]] = {
    _check_length: "length",
    _check_pattern: "pattern",
    _check_range: "range",
    _check_places: "range",
    _check_quantity_range: "range",
    _check_attachment: "attachment",
}
