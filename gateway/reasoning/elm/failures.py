"""The errors of the engine: one tree, stable codes, no patient data in any message.

Everything here is a `ReasoningError`; the code says which kind of thing went wrong:

| Code | Meaning |
|---|---|
| `elm.library` | not an ELM library, or one that cannot be used |
| `elm.translation` | the translator itself reported an error in the library |
| `elm.include` | an included library is missing, of another version, or includes itself |
| `elm.operator`, `elm.type`, `elm.property`, `elm.reference` | a name that is not known here |
| `elm.valueset`, `elm.codesystem` | a list of codes that cannot be had |
| `elm.define` | the library has no such define |
| `elm.value` | an operation that CQL says fails at run time |
| `elm.limit`, `elm.depth` | more work, memory or nesting than payer logic may use |
"""

from __future__ import annotations

from gateway.errors import ReasoningError


def failure(code: str, message: str) -> ReasoningError:
    """An error of kind `elm.<code>`; the message must not hold data of the record."""
    return ReasoningError(message, code=f"elm.{code}")


def limit(message: str) -> ReasoningError:
    """Payer logic wanted more than it may have."""
    return failure("limit", message)


class LimitReached(ReasoningError):
    """What a define may use of the evaluation's budget is used up."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="elm.limit")
