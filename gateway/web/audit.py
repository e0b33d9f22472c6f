"""Checking the evidence of a case from its page, handing it out, and what these pages are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from gateway.flows import desk, evidence
from gateway.web.case_pages import head
from gateway.web.page import Page

VERDICTS: Final = {
    "TOTAL-PASSED": ("Verified", "check", "good", "Every step below was checked and holds."),
    "INDETERMINATE": ("Cannot tell", "half", "wait", "Nothing is wrong, and something could not be told from here."),
    "TOTAL-FAILED": ("Failed", "cross", "bad", "At least one step does not hold. Keep the package and find out why."),
}
"""Verdict → word, shape, tone, sentence."""
STEPS: Final = (
    (
        "The package is whole and lists what it holds",
        ("PACKAGE_FORMAT", "PACKAGE_LIMIT", "MANIFEST", "MISSING_FILE", "EXTRA_FILE"),
    ),
    ("Bytes match their digests", ("CONTENT_DIGEST", "JCS_DIGEST", "STRICT_JSON", "PROVENANCE_DIGEST")),
    ("Signatures are valid", ("HEADER_POLICY", "SIG_INVALID", "BUNDLE_SIG", "SIGNER_NOT_AGENT")),
    (
        "Keys were known and trusted when they signed",
        ("SAN_MISMATCH", "KEY_PURPOSE", "CERT_TIME", "REVOKED", "CHAIN_UNTRUSTED", "REVOCATION_UNKNOWN"),
    ),
    ("Each event follows the one before it", ("SEQ_GAP", "PREV_MISMATCH", "CASE_MISMATCH", "TIME_ORDER")),
    (
        "The log's head is published, so that no tail was cut off",
        ("INCLUSION", "CONSISTENCY", "CHECKPOINT_SIG", "HEAD_MISMATCH", "HEAD_MISSING", "HEAD_STALE"),
    ),
    ("Somebody else vouches for the time", ("TIME_BRACKET", "TSA_INVALID", "PROOF_MISSING")),
    ("Everything is about this patient and this organization", ("PATIENT_MISMATCH", "TENANT_MISMATCH")),
    ("Everything that was sent is accounted for, and so is what it rests on", ("COVERAGE", "LINEAGE")),
)
"""Steps of the check, each with the codes that speak about it."""
OPEN_QUESTIONS: Final = frozenset(
    {"CHAIN_UNTRUSTED", "REVOCATION_UNKNOWN", "HEAD_MISSING", "HEAD_STALE", "PROOF_MISSING"}
)
"""Codes that leave a step open; every other one fails it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the check and its own verdict."""

    text: str
    word: str
    shape: str
    tone: str
    findings: tuple[Any, ...]


def verify(page: Page) -> Response:
    """Build the evidence package, check it as an auditor would, and say what came of it."""
    sheet = desk.open_case(page.services, page.who.actor, page.part("case_id"))
    report = desk.verify(page.services, page.who.actor, sheet.case.case_id)
    word, shape, tone, sentence = VERDICTS[report.verdict]
    return page.show(
        "verify.html",
        **head(sheet, "verify"),
        report=report,
        word=word,
        verdict_shape=shape,
        tone=tone,
        sentence=sentence,
        steps=steps_of(report.findings),
        disclaimer=report.to_dict()["disclaimer"],
    )


def steps_of(findings: Collection[Any]) -> list[Step]:
    """The steps with what was found in each; a code that belongs to no step gets one of its own."""
    found = [_step(text, [item for item in findings if str(item.code) in codes]) for text, codes in STEPS]
    named = {code for _, codes in STEPS for code in codes}
    others = [item for item in findings if str(item.code) not in named]
    return [*found, _step("Other checks", others)] if others else found


def download(page: Page) -> Response:
    """The evidence package as a file for `pa-verify`. Needs the auditor's role."""
    case_id = page.part("case_id")
    package = evidence.export_evidence(page.services, page.who.actor, case_id)
    headers = {"Content-Disposition": f'attachment; filename="{case_id}.zip"'}
    return Response(package, 200, headers, "application/zip")


def about(page: Page) -> Response:
    """What these pages are, and help."""
    return page.show("about.html", version=page.services.version, payers=page.services.directory)


def _step(text: str, findings: Collection[Any]) -> Step:
    codes = {str(item.code) for item in findings}
    word, shape, tone = "Holds", "check", "good"
    if codes - OPEN_QUESTIONS:
        word, shape, tone = "Failed", "cross", "bad"
    elif codes:
        word, shape, tone = "Cannot tell", "half", "wait"
    return Step(text=text, word=word, shape=shape, tone=tone, findings=tuple(findings))
