"""Which of several functions of one name is called.

By the signature when the ELM carries one, else by the types that the arguments have at run time. The answer is
remembered per evaluation and per combination of types, so that a row costs one look-up.
"""

from __future__ import annotations

from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import CompiledLibrary, Define
from gateway.reasoning.elm.model import Model
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.shape import listed
from gateway.reasoning.elm.state import State
from gateway.reasoning.elm.typing_rules import Fit, fit_of


def fixed_function(library: CompiledLibrary, name: str, signature: list[Json], count: int) -> Define | None:
    """The function that a call always means: the only one, or the one of its signature; None when types decide.

    Raises `elm.reference` when the library has no function of the name and number of operands.
    """
    candidates = _sized(library, name, count)
    return candidates[0] if len(candidates) == 1 else _by_signature(candidates, signature)


def fitting_function(state: State, library: CompiledLibrary, name: str, arguments: list[Any]) -> Define:
    """The function that fits the arguments best. Raises `elm.reference` when none or several fit equally well."""
    key = (library, name, tuple(_kind(one) for one in arguments))
    found: Define | None = state.cache.get(key)
    if found is None:
        found = _best(_sized(library, name, len(arguments)), arguments, state.chart.model)
        if not any(isinstance(one, list | dict) for one in arguments):
            state.cache[key] = found
    return found


def _sized(library: CompiledLibrary, name: str, count: int) -> list[Define]:
    found = [one for one in library.functions.get(name, ()) if len(one.operands or ()) == count]
    if not found:
        raise failure("reference", "The logic calls a function that its library does not have.")
    return found


def _kind(value: Any) -> Any:
    return value.type if isinstance(value, Node) else type(value)


def _by_signature(candidates: list[Define], signature: list[Json]) -> Define | None:
    """The function whose operand types are those that the translator chose."""
    if not signature:
        return None
    wanted = tuple(_spelled(one) for one in signature)
    found = [one for one in candidates if _signature(one) == wanted]
    return found[0] if len(found) == 1 else None


def _signature(define: Define) -> tuple[str, ...]:
    if define.spelled is None:
        define.spelled = tuple(_spelled(specifier) for _, specifier in define.operands or ())
    return define.spelled


def _spelled(specifier: Json | None) -> str:
    """A type specifier as one text."""
    if specifier is None:
        return ""
    inner = [specifier.get("elementType"), specifier.get("pointType"), *listed(specifier.get("choice"))]
    inside = ",".join(_spelled(one) for one in inner if one)
    return f"{specifier.get('type', '')}:{specifier.get('name', '')}<{inside}>"


def _best(candidates: list[Define], arguments: list[Any], model: Model) -> Define:
    scored: list[tuple[int, Define]] = []
    for candidate in candidates:
        score = _score(candidate, arguments, model)
        if score is not None:
            scored.append((score, candidate))
    if not scored:
        raise failure("reference", "No function of the library takes the values that it is called with.")
    least = min(score for score, _ in scored)
    best = [one for score, one in scored if score == least]
    if len(best) > 1 and not all(one is None for one in arguments):
        raise failure("reference", "Several functions of the library take the values that one is called with.")
    return best[0]


def _score(candidate: Define, arguments: list[Any], model: Model) -> int | None:
    total = 0
    for (_, specifier), argument in zip(candidate.operands or (), arguments, strict=True):
        found = _fit(specifier, model)(argument)
        if found is None:
            return None
        total += found
    return total


def _fit(specifier: Json | None, model: Model) -> Fit:
    return fit_of(specifier, model)
