"""Rows of repeating groups when the payer's next set comes back: each beside the row that it was sent as.

Rows that a person took out or left empty are not sent. They keep their place in the working response, so they are
laid between the rows that came back before anything is compared by place (spec/dtr.md §8).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.forms import marks
from gateway.forms.definition import ItemDefinition
from gateway.profiles.dtr_guide import DtrGuide


def with_unsent(
    items: Iterable[ItemDefinition], working: Json, sent: Json, returned: Json, guide: DtrGuide
) -> dict[str, Any]:
    """What was returned, with the rows that were not sent in their places; nothing handed in is changed.

    Raises InputError `adaptive.changed` where rows are missing in a group in which a person answered.
    """
    host = copy.deepcopy(dict(returned))
    _lay(items, working, sent, host, guide)
    return host


def _lay(items: Iterable[ItemDefinition], working: Json, sent: Json, host: dict[str, Any], guide: DtrGuide) -> None:
    for item in items:
        if not item.is_group:
            continue
        own, out, back = (list(_rows(one, item.link_id)) for one in (working, sent, host))
        went = [row for row in own if _is_sent(row)]
        if len(went) != len(out):  # switched off as a whole: what came back stands as it is
            continue
        if len(back) < len(out) and any(_is_persons(row, guide) for row in went):
            text = "The payer's answer lacks an entry in which a person answered; nothing of it was taken over."
            raise InputError(text, code="adaptive.changed", expression=item.link_id)
        for mine, theirs, here in zip(went, out, back, strict=False):
            _lay(item.children, mine, theirs, here, guide)
        if item.repeats and len(went) != len(own):
            _put(host, item.link_id, list(_merged(own, back)))


def _rows(host: Json, link_id: str) -> Iterator[dict[str, Any]]:
    for node in host.get("item") or ():
        if isinstance(node, dict) and node.get("linkId") == link_id:
            yield node


def _is_sent(row: Json) -> bool:
    return not marks.is_cleared(row) and any(True for _ in _answers(row))


def _is_persons(row: Json, guide: DtrGuide) -> bool:
    return marks.is_person_set(list(_answers(row)), guide)


def _answers(node: Json) -> Iterator[Json]:
    """Every answer of a row, wherever it stands."""
    for one in _nodes(node):
        yield from (answer for answer in one.get("answer") or () if isinstance(answer, Mapping))


def _nodes(node: Json) -> Iterator[Json]:
    """A row, its items and its answers."""
    waiting: list[Any] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
            waiting += [*(one.get("item") or ()), *(one.get("answer") or ())]


def _merged(own: list[dict[str, Any]], back: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows in our order: those that came back where they were sent, ours that were not sent between them.

    An empty row without a mark of ours is only kept where one that was sent comes after it.
    """
    coming = iter(back)
    last = max((position for position, row in enumerate(own) if _is_sent(row)), default=-1)
    for position, row in enumerate(own):
        if _is_sent(row):
            yield from (here for here in (next(coming, None),) if here is not None)
        elif position < last or any(marks.is_kept(node) for node in _nodes(row)):
            yield copy.deepcopy(row)
    yield from coming


def _put(host: dict[str, Any], link_id: str, rows: list[dict[str, Any]]) -> None:
    """The rows in place of those of their group; where it has none at the end."""
    others = [node for node in host.get("item") or () if not isinstance(node, dict) or node.get("linkId") != link_id]
    host["item"] = [*others, *rows]
