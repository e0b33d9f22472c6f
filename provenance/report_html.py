"""A report as one HTML page that can do nothing: no script, no link, no outside request, all text escaped.

Source: spec/provenance.md §10, §11 (text of a package must not run in the auditor's report).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from provenance.report import DISCLAIMER, FAILED, INDETERMINATE, PASSED, VERIFIER, Report, plain

_WORDS: Final = {PASSED: "Verified", FAILED: "Failed", INDETERMINATE: "Cannot tell"}
_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1a1a1a;background:#fff}"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:left;"
    "vertical-align:top;overflow-wrap:anywhere}caption{text-align:left;font-weight:bold;padding:.5rem 0}"
)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def to_html(report: Report) -> str:
    """The page. Text of the package appears as text only."""
    body = "\n".join(_sections(report))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Evidence report: {_WORDS[report.verdict]}</title><style>{_STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _sections(report: Report) -> Iterable[str]:
    codes = f" – {', '.join(report.codes)}" if report.codes else ""
    yield f"<h1>{_WORDS[report.verdict]}</h1><p>{report.verdict}{_text(codes)}</p>"
    steps = [(str(n), step.question, step.answer, ", ".join(step.codes)) for n, step in enumerate(report.steps, 1)]
    yield _table("What was checked", ("Step", "Question", "Answer", "Codes"), steps)
    yield _table("What it is about", ("", ""), _facts(report))
    if report.findings:
        found = [(f.code.value, "" if f.seq is None else str(f.seq), f.path, f.detail) for f in report.findings]
        yield _table("Findings", ("Code", "Event", "Place", "What was found"), found)
    rows = [
        (str(e.seq), e.signed_at, e.activity, "; ".join(e.agents), ", ".join(e.targets), e.mode, e.signer, e.result)
        for e in report.events
    ]
    heads = ("Event", "Signed at (claimed)", "Activity", "Agents", "Targets", "Mode", "Signer", "Result")
    yield _table("Events", heads, rows)
    yield f"<p>{_text(DISCLAIMER)}</p>"


def _facts(report: Report) -> Sequence[tuple[str, str]]:
    seal = report.seal
    sealed = "none" if seal is None else f"{seal.signer}, {seal.subject}, {seal.alg}, {seal.signed_at}: {seal.result}"
    return (
        ("Verifier", VERIFIER),
        ("SHA-256 of the anchors", report.anchors_digest + (" (development CA)" if report.is_development else "")),
        ("SHA-256 of the package", report.package_digest),
        ("Case", report.case_tag),
        ("Organization", f"{report.tenant} {report.tenant_name}"),
        ("Payer", report.payer),
        ("Patient (pseudonym)", report.patient),
        ("Made", report.created_at),
        ("Sealed document", sealed),
        ("Entries accounted for", f"{report.coverage.found} of {report.coverage.of}"),
        ("Inputs accounted for", f"{report.lineage.found} of {report.lineage.of}"),
        ("Head", report.head),
        ("Case is", "closed" if report.is_closed else "still open"),
    )


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    lines = "\n".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if any(heads) else ""
    return f"<table><caption>{_text(caption)}</caption>{top}<tbody>\n{lines}\n</tbody></table>"


def _text(text: str) -> str:
    return escape(plain(text))
