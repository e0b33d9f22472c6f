"""Signatures that a form demands on its answers, or on one answer, and where they go in the response.

A signature covers the response (or the item) as it is sent, without any signature extension (spec/dtr.md §10, §11;
dtr:conf-6). How bytes are signed, and by whom, is the caller's; here it is only said what is signed and where it goes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.forms.definition import FormDefinition
from gateway.profiles import dtr_sdc
from gateway.profiles import dtr_urls as urls

Sign = Callable[[bytes, Sequence[Json]], Json]
"""From the JSON bytes to be signed and the kinds demanded (codings, may be none) to a FHIR Signature."""
WANTED = "The form demands a signature; sign the answers when you complete it."


def is_demanded(form: FormDefinition) -> bool:
    """Whether the form or one of its items demands a signature."""
    return dtr_sdc.is_signature_required(form.questionnaire) or any(
        dtr_sdc.is_signature_required(item.item) for item in form.walk()
    )


def with_signatures(form: FormDefinition, response: dict[str, Any], sign: Sign | None) -> dict[str, Any]:
    """The completed response with every signature that the form demands; items first, then the whole.

    A form that demands none is given back as it is. Raises InputError `form.signature` where one is demanded and
    nobody signs.
    """
    if not _applies(form, response):
        return response
    if sign is None:
        raise InputError(WANTED, code="form.signature", status=422)
    signed = copy.deepcopy(response)
    for node, kinds in _items(form, signed):
        node["extension"] = [*node.get("extension", ()), _signature(sign, node, kinds)]
    if dtr_sdc.is_signature_required(form.questionnaire):
        kinds = dtr_sdc.read_signature_types(form.questionnaire)
        signed["extension"] = [*signed.get("extension", ()), _signature(sign, signed, kinds)]
    return signed


def signed_bytes(element: Json) -> bytes:
    """The bytes that a signature covers: the element as JSON without signatures, at any depth."""
    return dump_json(_without(element))


def _applies(form: FormDefinition, response: dict[str, Any]) -> bool:
    return dtr_sdc.is_signature_required(form.questionnaire) or any(True for _ in _items(form, response))


def _items(form: FormDefinition, node: dict[str, Any]) -> Iterator[tuple[dict[str, Any], tuple[Json, ...]]]:
    """Items of the response that demand a signature, inner ones first, with the kinds demanded."""
    for item in node.get("item") or ():
        for answer in item.get("answer") or ():
            yield from _items(form, answer)
        yield from _items(form, item)
        definition = form.by_link_id.get(str(item.get("linkId", "")))
        if definition is not None and dtr_sdc.is_signature_required(definition.item):
            yield item, dtr_sdc.read_signature_types(definition.item)


def _signature(sign: Sign, element: Json, kinds: tuple[Json, ...]) -> dict[str, Any]:
    return {"url": urls.RESPONSE_SIGNATURE, "valueSignature": sign(signed_bytes(element), kinds)}


def _without(element: Any) -> Any:
    if isinstance(element, dict):
        kept = {key: _without(value) for key, value in element.items() if key != "extension"}
        others = [_without(one) for one in element.get("extension") or () if one.get("url") != urls.RESPONSE_SIGNATURE]
        if not others:
            return kept
        return {key: others if key == "extension" else kept[key] for key in element}
    return [_without(one) for one in element] if isinstance(element, list) else element
