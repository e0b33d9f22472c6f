"""FHIR JSON in and out without losing a digit.

Numbers with a point or an exponent become `Decimal` and are written with every digit they came
with, never in exponent form (`87.50` stays `87.50`, `1E-9` becomes `0.000000001`). The reader is
strict because everything from outside is hostile: spec/provenance.md §4, security T5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import accumulate
from typing import Any, NoReturn

from gateway.errors import InputError

MAX_DEPTH = 100
"""Levels of nesting accepted; deeper input is refused before it is parsed."""
MAX_INTEGER = 2**53 - 1
"""Largest integer magnitude that every JSON reader keeps exact."""
MAX_DIGITS = 100
"""Characters accepted in one number."""
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_STRUCTURE = bytes(set(range(256)) - {*_STEPS, ord('"')})


def parse_json(body: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON text: integers as int, other numbers as exact Decimal.

    Refuses, with `InputError` and a reason `json.*`: bytes that are not UTF-8 or start with a byte
    order mark, nesting over `max_depth`, duplicate keys, NaN or Infinity, lone surrogates, numbers
    outside the range every reader keeps. No input value is repeated in the message.
    """
    text = _decode(body)
    _require_depth(body, max_depth)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise InputError(message, code="json.syntax") from None
    except RecursionError:
        raise InputError("The JSON is nested too deeply.", code="json.depth") from None
    _require_no_surrogates(text)
    return value


def parse_object(body: bytes) -> dict[str, Any]:
    """As `parse_json`, but the value must be a JSON object; `InputError` (`json.object`) otherwise."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise InputError("A JSON object is expected.", code="json.object")
    return value


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON, keys in their order, decimals with all digits. Raises TypeError for foreign types."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts).encode("utf-8")


def pretty_json(value: Any) -> str:
    """Indented JSON text of `value` for people and for `--json`; decimals keep their digits."""
    parts: list[str] = []
    _write_pretty(value, parts, "\n")
    return "".join(parts)


def _decode(body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        raise InputError("The body starts with a byte order mark; send plain UTF-8.", code="json.bom")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8 text; send UTF-8.", code="json.encoding") from None


def _require_depth(body: bytes, max_depth: int) -> None:
    """Count brackets outside strings, so that nesting is known before any recursive parser runs.

    Steps, each at the speed of `bytes`, since a body may hold megabytes of attachment: (1) few brackets cannot
    nest deeply; (2) drop what is escaped, then all but quotes and brackets, then pairs of quotes with nothing
    between; (3) every second part between quotes lies outside strings. Text that is no JSON may be counted
    wrongly; the parser then refuses it.
    """
    if body.count(b"[") + body.count(b"{") <= max_depth:  # (1)
        return
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_STRUCTURE)  # (2)
    brackets = b"".join(plain.replace(b'""', b"").split(b'"')[::2])  # (3)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > max_depth:
        raise InputError(f"The JSON is nested more than {max_depth} levels deep.", code="json.depth")


def _require_no_surrogates(text: str) -> None:
    if "\\ud" not in text and "\\uD" not in text:
        return
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("The body holds half of a surrogate pair.", code="json.surrogate") from None


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError("An object has the same key twice; keep one of them.", code="json.duplicate-key")
        found[key] = value
    return found


def _decimal(token: str) -> Decimal:
    if len(token) > MAX_DIGITS:
        raise InputError("A number has more digits than can be kept.", code="json.number")
    number = Decimal(token)
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(number.adjusted()) > MAX_DIGITS:
        raise InputError("A number is outside the range that can be kept.", code="json.number")
    return number


def _integer(token: str) -> int:
    if len(token) > 17 or abs(int(token)) > MAX_INTEGER:
        raise InputError("An integer is outside the range that every reader keeps.", code="json.number")
    return int(token)


def _constant(_: str) -> NoReturn:
    raise InputError("NaN and Infinity are not JSON numbers.", code="json.number")


def _write(value: Any, parts: list[str]) -> None:
    if isinstance(value, Mapping):
        parts.append("{")
        for position, (key, item) in enumerate(value.items()):
            parts.append(("," if position else "") + json.dumps(str(key), ensure_ascii=False) + ":")
            _write(item, parts)
        parts.append("}")
    elif isinstance(value, list | tuple):
        parts.append("[")
        for position, item in enumerate(value):
            if position:
                parts.append(",")
            _write(item, parts)
        parts.append("]")
    else:
        parts.append(_scalar(value))


def _scalar(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if value is None or isinstance(value, str | bool | int):
        return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"not FHIR JSON: {type(value).__name__}")


def _write_pretty(value: Any, parts: list[str], line: str) -> None:
    """As `_write`, one member a line; `line` is the line break with the indentation of the present level."""
    if isinstance(value, Mapping) and value:
        parts.append("{")
        for position, (key, item) in enumerate(value.items()):
            parts.append(f"{',' if position else ''}{line}  {json.dumps(str(key), ensure_ascii=False)}: ")
            _write_pretty(item, parts, line + "  ")
        parts.append(line + "}")
    elif isinstance(value, list | tuple) and value:
        parts.append("[")
        for position, item in enumerate(value):
            parts.append(f"{',' if position else ''}{line}  ")
            _write_pretty(item, parts, line + "  ")
        parts.append(line + "]")
    else:
        _write(value, parts)
