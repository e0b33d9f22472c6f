"""Whether a payer's answer says no more than that it has the request already.

The guide defines no error code for it (spec/pas.md §11): a payer's row names its codes, and the word itself
is understood. Such an answer is no denial; the payer is asked for the answer it gave before.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.profiles.pas_records import BusinessError, PasAnswer

_WORD = "duplicate"


def says_duplicate(answer: PasAnswer, codes: Collection[str] = ()) -> bool:
    """True when every error says *duplicate* and nothing was decided beside it; `codes` are the payer's own."""
    if not answer.errors or answer.header_review is not None:
        return False
    if any(item.action_code for item in answer.items):
        return False
    return all(_is_duplicate(error, codes) for error in answer.errors)


def _is_duplicate(error: BusinessError, codes: Collection[str]) -> bool:
    return error.code in codes or _WORD in error.text.lower()
