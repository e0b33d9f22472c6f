"""A computed value as an answer of the item's type, or the reason why it is none.

Converts only where nothing is invented (spec/dtr.md §6.5-6, field case B45). A value that the list of
answers does not have is refused and kept aside, so that it never looks like "not found" (B33).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final

from gateway.fhir import Json
from gateway.forms.definition import ItemDefinition
from gateway.forms.options import OptionList, same_coding, text_of
from gateway.profiles import dtr_sdc
from gateway.reasoning.fhirpath import Item, amount_json, json_value, system_value
from gateway.reasoning.fhirpath_conversions import to_text
from gateway.reasoning.fhirpath_values import Amount, Moment, read_clock, read_moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """Answers made of computed items."""

    answers: tuple[dict[str, Any], ...] = ()
    """`{"valueDate": "2026-03-15"}` and so on, in order, each once."""
    used: tuple[Item, ...] = ()
    """The item each answer was made of, at the same position."""
    refused: tuple[Any, ...] = ()
    """Values that did not fit, for people to see."""
    reason: str = ""
    """Why there is no answer; empty when there is one."""


_MISFIT: Final = "What the chart holds does not fit the type of this question."
_NOT_LISTED: Final = "What the chart holds is not among the answers this question offers."
_SEVERAL: Final = "Several values were found and the question takes one."


def convert(items: Sequence[Item], item: ItemDefinition, options: OptionList, zone: tzinfo | None) -> Converted:
    """Answers for an item from computed items. An empty input gives an empty answer without a reason."""
    answers: list[dict[str, Any]] = []
    used: list[Item] = []
    refused: list[Any] = []
    for value in items:
        answer = convert_one(value, item, options, zone)
        if answer is None:
            refused.append(json_value(value))
        elif answer not in answers:
            answers.append(answer)
            used.append(value)
    if len(answers) > 1 and not item.repeats:
        return Converted(refused=tuple(_shown(answer) for answer in answers), reason=_SEVERAL)
    reason = "" if answers or not refused else _NOT_LISTED if item.type in ("choice", "open-choice") else _MISFIT
    return Converted(answers=tuple(answers), used=tuple(used), refused=tuple(refused), reason=reason)


def _shown(answer: Json) -> Any:
    return dtr_sdc.value_of(answer)


def convert_one(
    value: Item, item: ItemDefinition, options: OptionList, zone: tzinfo | None = None
) -> dict[str, Any] | None:
    """One answer, or None when the value does not fit."""
    if item.type in ("choice", "open-choice"):
        return _choice(value, item, options, zone)
    if item.type == "quantity":
        return _quantity(value, item)
    if item.type == "reference":
        return _reference(value, item)
    maker = _MAKERS.get(item.type)
    return maker(system_value(value), zone) if maker else None


def _boolean(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    return {"valueBoolean": value} if isinstance(value, bool) else None


def _integer(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    if isinstance(value, Amount):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value != int(value):
        return None
    return {"valueInteger": int(value)}


def _decimal(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    if isinstance(value, Amount):
        value = value.value
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return {"valueDecimal": value}


def _string(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    if isinstance(value, Mapping):
        text = value.get("text") or text_of(value) or next(iter(_codings_text(value)), "")
        return {"valueString": text} if text else None
    text = to_text(value)
    return {"valueString": text} if text else None


def _codings_text(value: Json) -> list[str]:
    return [text for coding in value.get("coding") or () if (text := text_of(coding))]


def _url(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    return {"valueUri": value} if isinstance(value, str) and value and " " not in value else None


def _date(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    moment = read_moment(value) if isinstance(value, str) else value
    if not isinstance(moment, Moment) or moment.kind == "time":
        return None
    return {"valueDate": local_day(moment, zone).text()}


def local_day(moment: Moment, zone: tzinfo | None) -> Moment:
    """Calendar day of a moment at the practice; a value without offset keeps its own day."""
    if len(moment.parts) < 5 or moment.offset is None or zone is None:
        return moment.to_date()
    year, month, day, hour, minute = (int(part) for part in moment.parts[:5])
    own = timezone(timedelta(minutes=moment.offset))
    local = datetime(year, month, day, hour, minute, tzinfo=own).astimezone(zone)
    return Moment("date", (local.year, local.month, local.day))


def _date_time(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    moment = read_moment(value) if isinstance(value, str) else value
    if not isinstance(moment, Moment) or moment.kind == "time":
        return None
    if len(moment.parts) == 4:  # an hour without minutes cannot be written in FHIR
        moment = moment.to_date()
    if len(moment.parts) == 5:
        moment = Moment("dateTime", (*moment.parts, 0), moment.offset)
    return {"valueDateTime": _with_offset(moment, zone).text()}


def _with_offset(moment: Moment, zone: tzinfo | None) -> Moment:
    """FHIR wants an offset beside an hour: that of the practice when none was said."""
    if len(moment.parts) < 5 or moment.offset is not None or zone is None:
        return moment
    year, month, day, hour, minute = (int(part) for part in moment.parts[:5])
    offset = datetime(year, month, day, hour, minute, tzinfo=zone).utcoffset()
    return moment if offset is None else Moment("dateTime", moment.parts, int(offset.total_seconds() // 60))


def _time(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    moment = read_clock(value) if isinstance(value, str) else value
    if not isinstance(moment, Moment) or moment.kind != "time" or len(moment.parts) < 2:
        return None
    parts = moment.parts if len(moment.parts) == 3 else (*moment.parts, 0)
    return {"valueTime": Moment("time", parts).text()}


def _attachment(value: Any, zone: tzinfo | None) -> dict[str, Any] | None:
    if not isinstance(value, Mapping) or not ({"data", "url"} & set(value)):
        return None
    return {"valueAttachment": dict(value)}


def _choice(value: Item, item: ItemDefinition, options: OptionList, zone: tzinfo | None) -> dict[str, Any] | None:
    for coding in _candidates(value):
        for option in options.options:
            if fits_option(coding, option.value):
                return dict(option.value)
    if item.type != "open-choice":
        return None
    codings = [one for one in _candidates(value) if isinstance(one, Mapping) and one.get("code")]
    if codings:
        return {"valueCoding": dict(codings[0])}
    return _string(system_value(value), zone)


def _candidates(value: Item) -> list[Any]:
    """What an item may be matched by: its codings when it is a concept, else its JSON value."""
    raw = json_value(value)
    if isinstance(raw, Mapping) and "coding" in raw:
        return list(raw["coding"])
    return [raw]


def fits_option(value: Any, option: Json) -> bool:
    """Whether a value is what an option stands for; a bare code or text matches by itself."""
    offered = dtr_sdc.value_of(option)
    if isinstance(value, Mapping) and isinstance(offered, Mapping):
        return same_coding(value, offered) if "code" in offered else value.get("reference") == offered.get("reference")
    if isinstance(offered, Mapping):
        return isinstance(value, str) and value == offered.get("code")
    return type(value) is type(offered) and bool(value == offered)


def _quantity(value: Item, item: ItemDefinition) -> dict[str, Any] | None:
    found = system_value(value)
    if isinstance(found, Mapping) and "value" in found:
        return {"valueQuantity": dict(found)}
    if isinstance(found, Amount):
        raw = value.value if isinstance(value.value, Mapping) else amount_json(found)
        return {"valueQuantity": dict(raw)}
    units = dtr_sdc.read_unit_options(item.item)
    if isinstance(found, int | Decimal) and not isinstance(found, bool) and len(units) == 1:
        return {"valueQuantity": quantity_with(found, units[0])}
    return None


def quantity_with(value: int | Decimal, unit: Json) -> dict[str, Any]:
    """Quantity of a number and a unit Coding."""
    text = unit.get("display") or unit.get("code")
    parts = {"value": value, "unit": text, "system": unit.get("system"), "code": unit.get("code")}
    return {key: part for key, part in parts.items() if part is not None}


def _reference(value: Item, item: ItemDefinition) -> dict[str, Any] | None:
    raw = value.value
    if not isinstance(raw, Mapping):
        return None
    if "resourceType" in raw and raw.get("id"):
        raw = {"reference": f"{raw['resourceType']}/{raw['id']}"}
    text = str(raw.get("reference", ""))
    allowed = dtr_sdc.read_reference_types(item.item)
    if not text or (allowed and not any(f"{name}/" in f"{text}/" for name in allowed)):
        return None
    return {"valueReference": dict(raw)}


_MAKERS: Final[Mapping[str, Callable[[Any, tzinfo | None], dict[str, Any] | None]]] = {
    "boolean": _boolean,
    "integer": _integer,
    "decimal": _decimal,
    "string": _string,
    "text": _string,
    "url": _url,
    "date": _date,
    "dateTime": _date_time,
    "time": _time,
    "attachment": _attachment,
}
