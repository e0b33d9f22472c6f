"""What a person types, as an answer of the question's type.

Text comes from a page or a command. A choice is matched by code, by words or by the text of its option;
an open choice keeps any other text (field cases B35, B125). Nothing is rounded or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.forms.conversion import convert_one, quantity_with
from gateway.forms.definition import ItemDefinition
from gateway.forms.options import OptionList
from gateway.profiles import dtr_sdc
from gateway.reasoning.fhirpath_items import Item
from gateway.reasoning.fhirpath_values import read_clock, read_moment

MAX_TEXT: Final = 100_000
"""Characters of one typed answer."""
_TRUE: Final = frozenset({"true", "yes", "y", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "n", "off", "0"})
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?")
_QUANTITY = re.compile(r"([+-]?\d{1,30}(?:\.\d{1,30})?)\s*(\S.*)?")
Entry = str | bool | int | Decimal | Mapping[str, Any]


def read_entries(
    item: ItemDefinition,
    values: Sequence[Entry],
    options: OptionList,
    now: datetime,
    units: Sequence[Json] | None = None,
) -> list[dict[str, Any]]:
    """Answers of typed values; blank text counts as nothing. `units` are those offered; None: those the item lists.

    A mapping is an answer already (`{"valueDate": …}`) or the value of one (a Coding, a Quantity).
    Raises InputError `answer.*` with the sentence to show beside the question; typed text is not repeated.
    """
    answers: list[dict[str, Any]] = []
    for value in values:
        if isinstance(value, str) and not value.strip():
            continue
        answer = _entry(item, value, options, now, units)
        if answer not in answers:
            answers.append(answer)
    if len(answers) > 1 and not item.repeats:
        raise InputError("This question takes one answer.", code="answer.several", expression=item.link_id)
    return answers


def _entry(
    item: ItemDefinition, value: Entry, options: OptionList, now: datetime, units: Sequence[Json] | None
) -> dict[str, Any]:
    if isinstance(value, float):
        value = Decimal(str(value))
    if isinstance(value, Mapping):
        return _given(item, value, options)
    text = value.strip() if isinstance(value, str) and item.type != "text" else value
    if isinstance(text, str) and len(text) > MAX_TEXT:
        raise _refused(item, "The answer is too long.")
    if item.type in ("choice", "open-choice"):
        return _chosen(item, text, options)
    reader = _READERS.get(item.type)
    if item.type == "quantity":
        answer = _quantity(item, text, dtr_sdc.read_unit_options(item.item) if units is None else units)
        if answer is None:
            raise _refused(item, _WANTED["quantity"])
        return answer
    if reader is None:
        raise _refused(item, "This question cannot be answered by typing.")
    answer = reader(item, text, now)
    if answer is None:
        raise _refused(item, _WANTED.get(item.type, "The answer does not fit the question."))
    return answer


def _refused(item: ItemDefinition, sentence: str) -> InputError:
    return InputError(sentence, code="answer.type", status=422, expression=item.link_id)


def _given(item: ItemDefinition, value: Mapping[str, Any], options: OptionList) -> dict[str, Any]:
    bare = {key: part for key, part in value.items() if key.startswith("value") and key[5:6].isupper()}
    if len(bare) == 1 and set(value) <= {*bare, "id", "extension", "item"}:
        key, raw = next(iter(bare.items()))
        type_name = key[5:6].lower() + key[6:] if key[5:] not in ("Coding", "Quantity", "Reference") else key[5:]
        item_value = Item(raw, type_name)
    else:
        type_name = "Quantity" if "value" in value else "Coding" if "code" in value else "Reference"
        item_value = Item(value, type_name)
    answer = convert_one(item_value, item, options)
    if answer is None:
        raise _refused(item, "The answer does not fit the question.")
    return answer


def _chosen(item: ItemDefinition, value: Any, options: OptionList) -> dict[str, Any]:
    if not options.is_available and item.type == "choice":
        raise _refused(item, options.missing)
    text = value if isinstance(value, str) else str(value)
    plain = text.casefold()
    exact = [option for option in options.options if option.key == text]
    alike = [option for option in options.options if plain in (option.text.casefold(), option.key.casefold())]
    for option in (*exact, *alike):
        return dict(option.value)
    if item.type == "open-choice":
        return {"valueString": text}
    raise _refused(item, "Choose one of the answers that are offered.")


def _boolean(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    if isinstance(value, bool):
        return {"valueBoolean": value}
    word = str(value).casefold()
    return {"valueBoolean": word in _TRUE} if word in _TRUE | _FALSE else None


def _integer(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    number = _number(value)
    if number is None or number != number.to_integral_value():
        return None
    if abs(number) > 2_147_483_647:
        return None
    return {"valueInteger": int(number)}


def _decimal(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    number = _number(value)
    if number is None:
        return None
    return {"valueDecimal": int(number) if isinstance(value, int) else number}


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    try:
        return Decimal(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None
    except InvalidOperation:
        return None


def _string(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    if not isinstance(value, str):
        value = format(value, "f") if isinstance(value, Decimal) else str(value)
    if item.type == "string" and ("\n" in value or "\r" in value):
        return None
    return {"valueString": value.replace("\r\n", "\n")}


def _url(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    plain = isinstance(value, str) and not any(character.isspace() for character in value)
    return {"valueUri": value} if plain else None


def _date(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    moment = read_moment(value) if isinstance(value, str) else None
    return {"valueDate": moment.text()} if moment and moment.kind == "date" else None


def _date_time(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    moment = read_moment(value) if isinstance(value, str) else None
    if moment is None or moment.kind == "time":
        return None
    return convert_one(Item(moment, "System.DateTime"), item, OptionList(), now.tzinfo)


def _time(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    moment = read_clock(value) if isinstance(value, str) else None
    return convert_one(Item(moment, "System.Time"), item, OptionList()) if moment else None


def _quantity(item: ItemDefinition, value: Any, units: Sequence[Json]) -> dict[str, Any] | None:
    match = _QUANTITY.fullmatch(value if isinstance(value, str) else str(value))
    if match is None:
        return None
    text = match.group(1)
    number: int | Decimal = Decimal(text) if "." in text else int(text)
    unit = _unit(item, (match.group(2) or "").strip(), units)
    return {"valueQuantity": quantity_with(number, unit)} if unit is not None else None


def _unit(item: ItemDefinition, text: str, offered: Sequence[Json]) -> Json | None:
    """The unit that is named, or the only one there is; any text where the form lists none or takes others too."""
    if not text:
        return offered[0] if len(offered) == 1 else None if offered else {}
    for unit in offered:
        if text.casefold() in (str(unit.get("code", "")).casefold(), str(unit.get("display", "")).casefold()):
            return unit
    return None if offered and not dtr_sdc.is_unit_open(item.item) else {"display": text}


def _reference(item: ItemDefinition, value: Any, now: datetime) -> dict[str, Any] | None:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}", value):
        return None
    return convert_one(Item({"reference": value}, "Reference"), item, OptionList())


_READERS: Final[Mapping[str, Callable[[ItemDefinition, Any, datetime], dict[str, Any] | None]]] = {
    "boolean": _boolean,
    "integer": _integer,
    "decimal": _decimal,
    "string": _string,
    "text": _string,
    "url": _url,
    "date": _date,
    "dateTime": _date_time,
    "time": _time,
    "reference": _reference,
}
_WANTED: Final[Mapping[str, str]] = {
    "boolean": "Answer yes or no.",
    "integer": "A whole number is wanted.",
    "decimal": "A number is wanted, with a point before decimals.",
    "date": "A date is wanted: YYYY-MM-DD, or YYYY-MM or YYYY when the rest is not known.",
    "dateTime": "A date is wanted, and a time where it is known: YYYY-MM-DDThh:mm.",
    "time": "A time is wanted: hh:mm.",
    "url": "An address without spaces is wanted.",
    "string": "One line of text is wanted.",
    "quantity": "A number and one of the offered units are wanted.",
    "reference": "Name the record as Type/id.",
}
