"""The worklist as SQL: what a filter means, and pages that an index serves at a million cases.

The order is our own moves first, then the nearest deadline. An index gives that order within one state, and
within open or closed cases. A page over several of those takes the first rows of each, which are as many
short index walks, and merges them; without that the database would sort everything to show fifty rows.

A search starts from its rarest word. Where that names few cases, they are fetched and sorted; where it names
many, the page is walked in order and each case is asked for its words, since a hit is then never far.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gateway.store.columns import FAR_AT
from gateway.store.rows import CaseFilter, CaseRow, Cursor
from gateway.store.tables import case_words, cases

MOVE_RANKS: Mapping[str, int] = {"us": 0, "clinician": 1, "patient": 2, "payer": 3, "nobody": 4}
"""Order of the worklist: our own moves first."""

WORD_FIELDS = (
    "patient_label",
    "patient_mrn",
    "order_identity",
    "order_reference",
    "service_code",
    "service_display",
    "authorization_number",
    "case_id",
)
MANY_HITS = 20_000
"""A word with so many entries is never looked up first."""
MANY_CASES = 5_000
"""A search of one word with so many entries is walked instead: a hit is never far."""
MAX_WORDS = 64
MAX_WORD_CHARACTERS = 64
_LAST_CHARACTER = "\U0010ffff"
_SAME = ("payer", "service_line", "patient_reference", "order_reference")
_OPTIONAL = ("owner", "is_expedited")


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The words of a filter, and where to start."""

    words: tuple[str, ...] = ()
    rare: str = ""
    """A word that few cases have, or empty."""


def hits_statement(tenant_id: str, words: Sequence[str]) -> sa.Select[Any]:
    """One row: how many entries each word has, counted up to `MANY_HITS`."""
    counted = []
    for word in words:
        entries = sa.select(case_words.c.case_id).where(*_begins(tenant_id, word, case_words))
        hits = entries.limit(MANY_HITS).subquery()
        counted.append(sa.select(sa.func.count()).select_from(hits).scalar_subquery())
    return sa.select(*counted)


def plan_search(words: Sequence[str], hits: Sequence[int]) -> Search:
    """Where to start a search, given the answer to `hits_statement`."""
    fewest, rarest = min(zip(hits, words, strict=True))
    limit = MANY_CASES if len(words) == 1 else MANY_HITS
    return Search(words=tuple(words), rare=rarest if fewest < limit else "")


def page_statement(
    tenant_id: str, chosen: CaseFilter, search: Search, after: Cursor | None, limit: int
) -> sa.Select[Any]:
    """One page of case rows in the worklist's order, behind `after`."""
    common = conditions(tenant_id, chosen, search) + ([_behind(after)] if after is not None else [])
    walks = [
        _ordered(sa.select(cases).where(branch, *common), cases.c).limit(limit) for branch in _branches(chosen, search)
    ]
    if len(walks) == 1:
        return walks[0]
    merged = sa.union_all(*[sa.select(walk.subquery()) for walk in walks]).subquery()
    return _ordered(sa.select(merged), merged.c).limit(limit)


def count_statement(tenant_id: str, chosen: CaseFilter, search: Search, at_most: int) -> sa.Select[Any]:
    """How many cases the filter shows, counted up to `at_most`."""
    common = conditions(tenant_id, chosen, search)
    walks = [sa.select(cases.c.case_id).where(branch, *common).limit(at_most) for branch in _branches(chosen, search)]
    merged = sa.union_all(*[sa.select(walk.subquery()) for walk in walks]).limit(at_most).subquery()
    return sa.select(sa.func.count()).select_from(merged)


def cursor_of(row: CaseRow) -> Cursor:
    """Where a page that ends with `row` ends."""
    return Cursor(move_rank=MOVE_RANKS[row.move], sort_at=row.deadline_at or FAR_AT, case_id=row.case_id)


def derived(row: CaseRow) -> dict[str, Any]:
    """The two columns that exist for the order of the worklist."""
    return derived_changes({"move": row.move, "deadline_at": row.deadline_at})


def derived_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The derived columns that follow from `changes`."""
    found: dict[str, Any] = {}
    if "move" in changes:
        found["move_rank"] = MOVE_RANKS[changes["move"]]
    if "deadline_at" in changes:
        found["sort_at"] = changes["deadline_at"] or FAR_AT
    return found


def words_of(texts: Iterable[str]) -> list[str]:
    """Distinct lower-case words of letters and digits, in sorted order, bounded in number and length."""
    found = {word[:MAX_WORD_CHARACTERS] for text in texts for word in re.findall(r"[^\W_]+", text.casefold())}
    return sorted(found)[:MAX_WORDS]


def conditions(tenant_id: str, chosen: CaseFilter, search: Search) -> list[sa.ColumnElement[bool]]:
    """The filter as SQL conditions, the tenant's first; states and openness stand in the branches."""
    columns = cases.c
    found: list[sa.ColumnElement[bool]] = [columns.tenant_id == tenant_id]
    found += [columns[name] == wanted for name in _SAME if (wanted := getattr(chosen, name))]
    found += [columns[name] == value for name in _OPTIONAL if (value := getattr(chosen, name)) is not None]
    if chosen.move is not None:  # by rank, which the indexes of the worklist's order hold
        found.append(columns.move_rank == MOVE_RANKS[chosen.move])
    if search.rare:
        return [*found, *_limits(chosen), columns.case_id.in_(sa.select(_few(tenant_id, search).c.case_id))]
    return found + _limits(chosen) + [_has_word(tenant_id, word, columns.case_id) for word in search.words]


def _branches(chosen: CaseFilter, search: Search) -> list[sa.ColumnElement[bool]]:
    """Disjoint conditions, each served by an index in the worklist's order."""
    inside = sa.true() if chosen.is_open is None else _openness(chosen.is_open)
    if search.rare:
        return [sa.and_(cases.c.state.in_(chosen.states), inside) if chosen.states else inside]
    if chosen.states:
        return [sa.and_(cases.c.state == state, inside) for state in sorted(set(chosen.states))]
    if chosen.is_open is not None:
        return [inside]
    return [_openness(True), _openness(False)]


def _openness(wanted: bool) -> sa.ColumnElement[bool]:
    """A condition in the words of the partial indexes, with no parameter, so that a prepared plan may use them."""
    return cases.c.is_open if wanted else sa.not_(cases.c.is_open)


def _limits(chosen: CaseFilter) -> list[sa.ColumnElement[bool]]:
    columns = cases.c
    pairs = (
        (columns.sort_at, chosen.deadline_before),
        (columns.updated_at, chosen.updated_before),
        (columns.service_on, chosen.service_before),
        (columns.approval_ends_on, chosen.approval_ends_before),
    )
    return [column < limit for column, limit in pairs if limit is not None]


def _begins(tenant_id: str, word: str, words: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """Entries of words that begin so; a range, so that the index serves it."""
    return words.c.tenant_id == tenant_id, words.c.word >= word, words.c.word < word + _LAST_CHARACTER


def _few(tenant_id: str, search: Search) -> sa.CTE:
    """The cases of a search with a rare word, found in the words alone before any case is looked at."""
    others = [_has_word(tenant_id, word, case_words.c.case_id) for word in search.words if word != search.rare]
    found = sa.select(case_words.c.case_id).distinct().where(*_begins(tenant_id, search.rare, case_words), *others)
    return found.cte().prefix_with("MATERIALIZED")


def _has_word(tenant_id: str, word: str, case_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether the case has a word that begins so, asked case by case: a scalar, which no join replaces."""
    own = case_words.alias()
    asked = sa.select(sa.literal(1)).where(own.c.case_id == case_id, *_begins(tenant_id, word, own))
    return asked.correlate(cases, case_words).limit(1).scalar_subquery() == 1


def _behind(place: Cursor) -> sa.ColumnElement[bool]:
    """Rows that come after `place` in the worklist's order; a row comparison, which one index serves."""
    columns = (cases.c.move_rank, cases.c.sort_at, cases.c.case_id)
    values = (place.move_rank, place.sort_at, place.case_id)
    bound = [sa.literal(value, column.type) for value, column in zip(values, columns, strict=True)]
    return sa.tuple_(*columns) > sa.tuple_(*bound)


def _ordered(statement: sa.Select[Any], columns: Any) -> sa.Select[Any]:
    return statement.order_by(columns.move_rank, columns.sort_at, columns.case_id)
