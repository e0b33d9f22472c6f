"""Marks of ours on answers: stable ids, origins, and the private mark that a person cleared an answer.

The private mark keeps re-population from restoring what a person took out. It never leaves the gateway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from gateway.fhir import Json
from gateway.forms.slots import Slot
from gateway.profiles import dtr_urls
from gateway.profiles.dtr_guide import DtrGuide, OriginAuthor
from gateway.profiles.dtr_sdc import extension_value, extensions

CLEARED: Final = "urn:oid:2.25.94492686211768030265051248232142081200.5"
"""Private extension on an item of a working response: who cleared its answer, and when."""
ADDED: Final = "urn:oid:2.25.94492686211768030265051248232142081200.6"
"""Private extension on a repetition of a group that a person added, so that it stays while it is empty."""


def is_private(extension: Json) -> bool:
    """Whether an extension is ours and must not be sent."""
    return extension.get("url") in (CLEARED, ADDED)


def is_cleared(node: Json) -> bool:
    """Whether a person took the answer out."""
    return any(True for _ in extensions(node, CLEARED))


def is_kept(node: Json) -> bool:
    """Whether an empty item stays in a working response: a person cleared or added it."""
    return any(is_private(one) for one in node.get("extension") or () if isinstance(one, Mapping))


def added() -> dict[str, Any]:
    """The mark on a repetition that a person adds."""
    return {"url": ADDED, "valueBoolean": True}


def mark_cleared(node: dict[str, Any], author: OriginAuthor, now: datetime) -> None:
    """Leave the mark on an item of the working response."""
    parts: list[dict[str, Any]] = [{"url": "at", "valueDateTime": now.isoformat(timespec="seconds")}]
    if author.practitioner:
        parts.append({"url": "by", "valueReference": {"reference": author.practitioner}})
    kept = [one for one in node.get("extension") or () if not is_private(one)]
    node["extension"] = [*kept, {"url": CLEARED, "extension": parts}]


def unmark_cleared(node: dict[str, Any]) -> None:
    """Take the mark away, since the item is answered again."""
    kept = [one for one in node.get("extension") or () if not is_private(one)]
    if kept:
        node["extension"] = kept
    else:
        node.pop("extension", None)


def answer_id(address: str, position: int) -> str:
    """Id of an answer: the same for the same place of the form, so that a signature can point at it."""
    return f"a{hashlib.sha256(f'{address}#{position}'.encode()).hexdigest()[:20]}"


def stamped(
    slot: Slot, values: Sequence[Json], guide: DtrGuide, source: str, author: OriginAuthor | None = None
) -> list[dict[str, Any]]:
    """Answers with id and origin; what was nested below an answer goes with it (`paired`)."""
    found = []
    for position, (value, before) in enumerate(zip(values, paired(slot.answers, values), strict=True)):
        plain = {key: part for key, part in value.items() if key not in ("id", "extension", "item")}
        others = [one for one in value.get("extension") or () if one.get("url") != dtr_urls.INFORMATION_ORIGIN]
        answer: dict[str, Any] = {
            "id": answer_id(slot.address, position),
            "extension": [guide.information_origin(source, author), *others],
            **plain,
        }
        if before is not None and before.get("item"):
            answer["item"] = before["item"]
        found.append(answer)
    return found


def paired(answers: Sequence[Json], values: Sequence[Json]) -> list[Json | None]:
    """For each value the answer it comes from: the one of the same value wherever it stood, else the one in its
    place whose value is there no longer; None for a value that is new beside the others."""
    bare, plain = values_of(answers), values_of(values)
    left = list(range(len(answers)))
    found: list[Json | None] = [None] * len(plain)
    for position, value in enumerate(plain):
        same = next((place for place in left if bare[place] == value), None)
        if same is not None:
            left.remove(same)
            found[position] = answers[same]
    for place in left:
        if place < len(found) and found[place] is None:
            found[place] = answers[place]
    return found


def would_lose(answers: Sequence[Json], values: Sequence[Json], guide: DtrGuide) -> bool:
    """Whether something that a person said below one of the answers had no place under these values."""
    plain = values_of(values)
    pairs = zip(answers, values_of(answers), strict=True)
    return any(value not in plain and _has_person_below(answer, guide) for answer, value in pairs)


def _has_person_below(answer: Json, guide: DtrGuide) -> bool:
    waiting: list[Any] = list(answer.get("item") or ())
    while waiting:
        node = waiting.pop()
        answers = node.get("answer") or ()
        if is_kept(node) or is_person_set(answers, guide):
            return True
        waiting += [*(node.get("item") or ()), *(below for one in answers for below in one.get("item") or ())]
    return False


def values_of(answers: Sequence[Json]) -> list[dict[str, Any]]:
    """Answers as bare `value[x]` objects."""
    return [{key: value for key, value in answer.items() if key.startswith(("value", "_value"))} for answer in answers]


def is_person_set(answers: Sequence[Json], guide: DtrGuide) -> bool:
    """Whether a person set any of the answers."""
    origins = [guide.read_origin(answer) for answer in answers]
    return any(origin is not None and not guide.is_machine(origin.source) for origin in origins)


def cleared_at(node: Mapping[str, Any]) -> str:
    """When the answer was cleared; empty when it was not."""
    for extension in extensions(node, CLEARED):
        return str(extension_value(extension, "at") or "")
    return ""
