"""Codes that a form's logic or answer lists need and its package does not bring: asked of the payer, once, beforehand.

Reasoning never calls a server, so `ValueSet/$expand` comes before it, when the package arrives; what came is kept
byte for byte beside the package and used as if it had been in it. A value set that the payer does not expand stays
unknown: logic that needs it fails closed, with its reason (spec/dtr.md §7; dtr:spec-163, oper-4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from gateway.errors import InputError, PayerError
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import ledger
from gateway.flows.ledger import Item
from gateway.flows.logic import IsolatedDefines
from gateway.flows.services import Services
from gateway.forms.options import expansion_codings, find_value_set
from gateway.profiles.dtr_expand import build_expand_parameters, read_expansion
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.record import RecordSnapshot
from gateway.store.rows import CaseRow

MAX_VALUE_SETS: Final = 40
"""Value sets that are asked for one form; a form that needs more has to bring them."""
MAX_BYTES: Final = 8 * 1024 * 1024
"""Bytes of all answers for one form."""
MAX_TIME: Final = timedelta(seconds=30)
"""How long a form's codes may take to come."""
_SCHEMES: Final = ("http://", "https://", "urn:")


def fetch_codes(services: Services, payer: str, parts: FormPackageParts) -> tuple[Item, ...]:
    """Answers of `$expand` for the value sets that a package needs and does not list, as bytes to be kept.

    Empty when none is needed or none was to be had; never raises for a payer that does not answer.
    """
    found: list[Item] = []
    room, until = MAX_BYTES, services.clock.now() + MAX_TIME
    with suppress(PayerError):  # A payer that cannot be reached is not asked for the next one either.
        for canonical in unlisted(services, parts)[:MAX_VALUE_SETS]:
            if services.clock.now() > until:
                break
            exchange = services.payer(payer).expand(dump_json(build_expand_parameters(canonical)))
            size = len(exchange.response_bytes)
            if exchange.is_success and size <= room and _is_expansion(exchange.response_bytes, canonical):
                room -= size
                found.append(Item.body(exchange.response_bytes, exchange.media_type or ledger.FHIR_JSON))
    return tuple(found)


def _is_expansion(body: bytes, canonical: str) -> bool:
    try:
        return read_expansion(parse_json(body), canonical) is not None
    except InputError:
        return False


def unlisted(services: Services, parts: FormPackageParts) -> tuple[str, ...]:
    """Canonicals of value sets whose codes are needed and not at hand: those of the logic, then those of questions."""
    named: list[str] = []
    if parts.libraries:
        defines = IsolatedDefines(parts.libraries, parts.value_sets, RecordSnapshot(()), now=services.clock.now())
        with closing(defines):
            named += defines.needs().value_sets
    named += _of_questions(parts)
    return tuple(dict.fromkeys(one for one in named if one.startswith(_SCHEMES)))


def _of_questions(parts: FormPackageParts) -> Iterator[str]:
    for item in _items(parts.questionnaire.get("item")):
        canonical = item.get("answerValueSet")
        if isinstance(canonical, str) and not item.get("answerOption"):
            value_set = find_value_set(parts.value_sets, canonical)
            if value_set is None or expansion_codings(value_set) is None:
                yield canonical


def _items(items: Any) -> Iterator[Json]:
    waiting = [items]
    while waiting:
        for item in waiting.pop() or ():
            if isinstance(item, Mapping):
                yield item
                waiting.append(item.get("item"))


def with_codes(services: Services, case: CaseRow, parts: FormPackageParts, digests: Iterable[str]) -> FormPackageParts:
    """The package with the value sets that were expanded for it, in place of its unlisted ones of the same name."""
    return with_answers(parts, (ledger.load_object(services, case, digest) for digest in digests))


def with_answers(parts: FormPackageParts, answers: Iterable[bytes]) -> FormPackageParts:
    """As `with_codes`, from the bytes of the answers."""
    bodies = [parse_json(answer) for answer in answers]
    fetched = [found for body in bodies if (found := read_expansion(body, _url_of(body))) is not None]
    if not fetched:
        return parts
    names = {one.get("url") for one in fetched}
    own = tuple(one for one in parts.value_sets if one.get("url") not in names or expansion_codings(one) is not None)
    return replace(parts, value_sets=(*own, *fetched))


def _url_of(body: Json) -> str:
    if body.get("resourceType") == "Parameters":
        resources = [part.get("resource") or {} for part in body.get("parameter") or ()]
        return next((str(one.get("url")) for one in resources if one.get("url")), "")
    return str(body.get("url") or "")
