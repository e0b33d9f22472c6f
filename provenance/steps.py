"""A verdict as the questions that people ask, each with its own answer.

Every code belongs to exactly one question. A package that could not be opened leaves all but the first open.
Source: spec/ux.md (Audit and verify).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from provenance.codes import OPEN_QUESTIONS, Code

VERIFIED: Final = "verified"
CANNOT_TELL: Final = "cannot tell"
FAILED: Final = "failed"

QUESTIONS: Final[tuple[tuple[str, frozenset[Code]], ...]] = (
    (
        "The package is whole and holds what its signed list says",
        frozenset({Code.PACKAGE_FORMAT, Code.PACKAGE_LIMIT, Code.MANIFEST, Code.MISSING_FILE, Code.EXTRA_FILE}),
    ),
    (
        "Bytes match their digests",
        frozenset({Code.CONTENT_DIGEST, Code.JCS_DIGEST, Code.STRICT_JSON, Code.PROVENANCE_DIGEST}),
    ),
    ("Signatures are valid", frozenset({Code.SIG_INVALID, Code.HEADER_POLICY, Code.BUNDLE_SIG})),
    (
        "Keys are known, were trusted then and served their purpose",
        frozenset(
            {
                *(Code.CHAIN_UNTRUSTED, Code.KEY_PURPOSE, Code.SAN_MISMATCH),
                *(Code.SIGNER_NOT_AGENT, Code.CERT_TIME, Code.TENANT_MISMATCH),
            }
        ),
    ),
    ("No key was revoked", frozenset({Code.REVOKED, Code.REVOCATION_UNKNOWN})),
    (
        "Each event follows the one before it",
        frozenset({Code.SEQ_GAP, Code.PREV_MISMATCH, Code.CASE_MISMATCH, Code.TIME_ORDER}),
    ),
    ("Everything is about one patient", frozenset({Code.PATIENT_MISMATCH})),
    ("Everything that was sent is accounted for", frozenset({Code.COVERAGE})),
    ("Every input is accounted for", frozenset({Code.LINEAGE})),
    (
        "A published head shows that nothing was cut off",
        frozenset({Code.HEAD_MISMATCH, Code.HEAD_MISSING, Code.HEAD_STALE}),
    ),
    (
        "Somebody else proves when it was signed",
        frozenset(
            {
                *(Code.PROOF_MISSING, Code.TIME_BRACKET, Code.TSA_INVALID),
                *(Code.INCLUSION, Code.CONSISTENCY, Code.CHECKPOINT_SIG),
            }
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One question and its answer."""

    question: str
    """What is claimed."""
    answer: str
    """`verified`, `cannot tell` or `failed`."""
    codes: tuple[str, ...]
    """Codes behind an answer other than `verified`."""


def steps_of(codes: Iterable[str]) -> tuple[Step, ...]:
    """The questions in order, answered from the codes of a report."""
    found = frozenset(Code(code) for code in codes)
    opened = is_opened(found)
    return tuple(_step(question, group & found, opened) for question, group in QUESTIONS)


def is_opened(codes: Iterable[str]) -> bool:
    """Whether a report with these codes is about a package that could be opened."""
    return not {Code.PACKAGE_FORMAT, Code.PACKAGE_LIMIT} & set(codes)


def _step(question: str, found: frozenset[Code], opened: bool) -> Step:
    if found - OPEN_QUESTIONS:
        answer = FAILED
    else:
        answer = CANNOT_TELL if found or not opened else VERIFIED
    return Step(question=question, answer=answer, codes=tuple(code.value for code in Code if code in found))
