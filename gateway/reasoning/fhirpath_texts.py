"""FHIRPath functions on text. Foreign patterns run only when they are safe (`patterns`)."""

from __future__ import annotations

import base64
import binascii
import html
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath_conversions import ValueFunction, to_text
from gateway.reasoning.fhirpath_equality import failed
from gateway.reasoning.fhirpath_evaluate import Evaluation, Function, run
from gateway.reasoning.fhirpath_items import computed, system_value
from gateway.reasoning.fhirpath_operators import MAX_TEXT, Collection, capped, integer, single
from gateway.reasoning.fhirpath_syntax import Tree
from gateway.reasoning.patterns import MAX_WORK, safe_pattern


def _text(collection: Collection) -> str | None:
    item = single(collection)
    if item is None:
        return None
    value = system_value(item)
    if not isinstance(value, str):
        value = to_text(value) if not isinstance(value, bool | int) else None
    if not isinstance(value, str):
        raise failed("Text is expected.")
    return value


def _on_text(function: Callable[..., Any]) -> ValueFunction:
    """Lift a function of texts: any empty operand gives an empty answer."""

    def lifted(focus: Collection, arguments: list[Collection]) -> Collection:
        subject = _text(focus)
        operands = [_text(argument) for argument in arguments]
        if subject is None or None in operands:
            return []
        value = function(subject, *operands)
        return [] if value is None else [computed(capped(value), (*focus, *(i for a in arguments for i in a)))]

    return lifted


def _index_of(subject: str, part: str) -> int:
    return subject.find(part)


def _replace(subject: str, old: str, new: str) -> str:
    if (subject.count(old) if old else len(subject) + 1) * max(1, len(new)) > MAX_TEXT:
        raise ReasoningError("The expression makes a text that is too long.", code="fhirpath.limit")
    return subject.replace(old, new)


def _matches(work: list[int], subject: str, pattern: str) -> bool:
    return safe_pattern(pattern, dot_all=True).search(subject, work)


def _matches_full(work: list[int], subject: str, pattern: str) -> bool:
    return safe_pattern(pattern, dot_all=True).fullmatch(subject, work)


def _replace_matches(work: list[int], subject: str, pattern: str, substitution: str) -> str:
    if not pattern:
        return subject
    return safe_pattern(pattern, dot_all=True).substitute(subject, substitution, work)


def _on_pattern(function: Callable[..., Any]) -> Function:
    """Lift a function that runs a pattern: its work comes off the expression's own budget."""

    def lifted(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
        given = [run(argument, evaluation.this, evaluation) for argument in arguments]
        texts = [_text(focus), *map(_text, given)]
        if None in texts:
            return []
        before = min(MAX_WORK, max(evaluation.meter.steps_left, 0))
        work = [before]
        try:
            value = function(work, *texts)
        finally:
            evaluation.spend(before - max(work[0], 0))
        return [computed(capped(value), (*focus, *(item for argument in given for item in argument)))]

    return lifted


def _encode(subject: str, kind: str) -> str | None:
    raw = subject.encode()
    encoders: dict[str, Callable[[bytes], bytes]] = {
        "base64": base64.b64encode,
        "urlbase64": base64.urlsafe_b64encode,
        "hex": binascii.hexlify,
    }
    return encoders[kind](raw).decode() if kind in encoders else None


def _decode(subject: str, kind: str) -> str | None:
    decoders: dict[str, Callable[[bytes], bytes]] = {
        "base64": base64.b64decode,
        "urlbase64": base64.urlsafe_b64decode,
        "hex": binascii.unhexlify,
    }
    try:
        return decoders[kind](subject.encode()).decode() if kind in decoders else None
    except (ValueError, UnicodeDecodeError):
        return None


def _escape(subject: str, kind: str) -> str | None:
    if kind == "html":
        return html.escape(subject)
    return subject.replace("\\", "\\\\").replace('"', '\\"') if kind == "json" else None


def _unescape(subject: str, kind: str) -> str | None:
    if kind == "html":
        return html.unescape(subject)
    return subject.replace('\\"', '"').replace("\\\\", "\\") if kind == "json" else None


def _substring(focus: Collection, arguments: list[Collection]) -> Collection:
    subject = _text(focus)
    if subject is None or not arguments[0]:
        return []
    start = integer(arguments[0])
    if not 0 <= start < len(subject):
        return []
    length = integer(arguments[1]) if len(arguments) > 1 and arguments[1] else len(subject)
    return [computed(subject[start : start + max(0, length)], focus)]


def _to_chars(focus: Collection, arguments: list[Collection]) -> Collection:
    return [computed(character, focus) for character in (_text(focus) or "")]


def _split(focus: Collection, arguments: list[Collection]) -> Collection:
    subject, separator = _text(focus), _text(arguments[0])
    if subject is None or separator is None:
        return []
    return [computed(part, focus) for part in (subject.split(separator) if separator else subject)]


def _join(focus: Collection, arguments: list[Collection]) -> Collection:
    separator = (_text(arguments[0]) or "") if arguments else ""
    parts = [to_text(system_value(item)) or "" for item in focus]
    return [computed(capped(separator.join(parts)), focus)]


PATTERNS: Final[Mapping[str, tuple[int, int, Function]]] = {
    "matches": (1, 1, _on_pattern(_matches)),
    "matchesFull": (1, 1, _on_pattern(_matches_full)),
    "replaceMatches": (2, 2, _on_pattern(_replace_matches)),
}
TEXTS: Final[Mapping[str, tuple[int, int, ValueFunction]]] = {
    "indexOf": (1, 1, _on_text(_index_of)),
    "lastIndexOf": (1, 1, _on_text(lambda subject, part: subject.rfind(part))),
    "substring": (1, 2, _substring),
    "startsWith": (1, 1, _on_text(lambda subject, part: subject.startswith(part))),
    "endsWith": (1, 1, _on_text(lambda subject, part: subject.endswith(part))),
    "contains": (1, 1, _on_text(lambda subject, part: part in subject)),
    "upper": (0, 0, _on_text(lambda subject: subject.upper())),
    "lower": (0, 0, _on_text(lambda subject: subject.lower())),
    "trim": (0, 0, _on_text(lambda subject: subject.strip())),
    "length": (0, 0, _on_text(len)),
    "replace": (2, 2, _on_text(_replace)),
    "encode": (1, 1, _on_text(_encode)),
    "decode": (1, 1, _on_text(_decode)),
    "escape": (1, 1, _on_text(_escape)),
    "unescape": (1, 1, _on_text(_unescape)),
    "toChars": (0, 0, _to_chars),
    "split": (1, 1, _split),
    "join": (0, 1, _join),
}
