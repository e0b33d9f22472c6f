"""Evaluating a define: once per evaluation, errors kept, what it looked at remembered."""

from __future__ import annotations

from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning.elm.failures import LimitReached, failure
from gateway.reasoning.elm.library import Define
from gateway.reasoning.elm.state import Outcome, State, Used, tidied

_BUGS: Final = (ArithmeticError, ValueError, TypeError, KeyError, IndexError, AttributeError)


def value_of(state: State, define: Define) -> Any:
    """Value of a define for another one, entered into the trace of that one. Raises what the define raised."""
    used = state.memo.get(define)
    outcome = used.outcome if used is not None else evaluate(state, define)
    if outcome.error is not None:
        raise outcome.error
    state.log.append(used or state.memo[define])
    return outcome.value


def evaluate(state: State, define: Define) -> Outcome:
    """Outcome of a define; never raises for what the logic does."""
    found = state.memo.get(define)
    if found is not None:
        return found.outcome
    if state.loan is not None:
        return _evaluate(state, define)
    state.borrow()
    try:
        return _evaluate(state, define)
    finally:
        state.repay()


def _evaluate(state: State, define: Define) -> Outcome:
    outer, state.log, depth = state.log, [], state.depth
    fuel, begun = state.fuel, state.clock()
    try:
        value = _run(state, define)
        outcome = Outcome(define=define, value=value, entries=tidied(state.log))
    except ReasoningError as error:
        outcome = Outcome(define=define, error=_placed(error, define), entries=tidied(state.log))
    finally:
        state.log, state.depth = outer, depth
    # What only came too late, because another define had used up the time, may be asked for again.
    if not isinstance(outcome.error, LimitReached) or not state.active or state.took_most(fuel, begun):
        state.memo[define] = Used(outcome, outcome.entries)
    return outcome


def _run(state: State, define: Define) -> Any:
    if define in state.active:
        raise failure("reference", "A define of the logic refers to itself.")
    state.active[define] = None
    try:
        state.spend(1)
        run = define.prepared()
        return run([state, *[None] * (define.size - 1)])
    except ReasoningError:
        raise
    except RecursionError:
        raise failure("depth", "The payer's logic is nested too deeply.") from None
    except MemoryError:
        raise failure("limit", "The payer's logic needs more memory than it may use.") from None
    except _BUGS:
        # Defensive: a mix of types that no operator foresaw; the exception's text may hold patient data.
        raise failure("value", "An operation of the logic met values it is not defined for.") from None
    finally:
        state.active.pop(define, None)


def _placed(error: ReasoningError, define: Define) -> ReasoningError:
    """The error with the first failing define as its frame, and without what it met: that would hold memory."""
    error.__traceback__ = error.__context__ = None
    if not error.frame:
        node = define.node.get("expression") or {}
        error.frame = {
            "library": define.library.label,
            "define": define.name,
            "localId": str(node.get("localId") or define.node.get("localId") or ""),
            "locator": str(node.get("locator") or define.node.get("locator") or ""),
        }
    return error


def call(state: State, function: Define, arguments: list[Any]) -> Any:
    """Value of a function for arguments that are already computed."""
    run = function.run
    if run is None:
        run = function.prepared()
    if function.is_native:
        return run([state, *arguments])
    state.enter()
    try:
        missing = function.size - 1 - len(arguments)
        return run([state, *arguments, *[None] * missing] if missing else [state, *arguments])
    finally:
        state.depth -= 1
