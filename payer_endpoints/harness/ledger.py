"""The payer's own book: what arrived, how often, and what was wrong with it.

The words matter, since senders are judged by them:
- *submission*: a well-formed `$submit` that was taken in, resends included;
- *distinct claim*: a Claim.identifier seen for the first time from a sender (updates are counted apart);
- *resend*: the same Bundle.identifier with the same bytes; harmless, the stored answer is given again;
- *duplicate*: a Claim.identifier again under a new Bundle.identifier without relation to its prior, or a
  Bundle.identifier again with other bytes;
- *suspected duplicate*: another new claim for the same member and service while the earlier one stands.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any, Literal

from payer_endpoints.harness.journal import Journal, unpack
from payer_endpoints.harness.outcomes import Issue

Count = Literal[
    "submissions", "distinct_claims", "duplicates", "resends", "updates", "suspected_duplicates", "refused",
    "inquiries", "attachments", "hooks", "packages", "next_questions", "notifications", "error_reports",
]  # fmt: skip
MAX_FINDINGS = 10_000
MAX_BYTES = 128 * 1024 * 1024
"""Bodies kept in memory."""
COUNTS: tuple[Count, ...] = (
    "submissions", "distinct_claims", "duplicates", "resends", "updates", "suspected_duplicates", "refused",
    "inquiries", "attachments", "hooks", "packages", "next_questions", "notifications", "error_reports",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One exchange, in either direction."""

    number: int
    at: str
    """Instant of arrival, ISO 8601 UTC."""
    payer: str
    operation: str
    method: str
    path: str
    status: int
    """Answered status; 0 = no answer was given."""
    request: bytes
    response: bytes
    request_digest: str
    response_digest: str
    direction: str = "in"
    """`out` for notifications the payer sends."""
    note: str = ""
    """The fault that spoilt the answer, if any."""

    def line(self) -> dict[str, Any]:
        """The message without its bodies."""
        return {key: value for key, value in asdict(self).items() if not isinstance(value, bytes)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was wrong with a message."""

    payer: str
    operation: str
    message: int
    """Number of the message."""
    severity: str
    code: str
    text: str
    at: str
    source: str


class Ledger:
    """Counts, findings and messages of every payer."""

    def __init__(self, journal: Journal, max_messages: int) -> None:
        self._journal = journal
        self._max_messages = max_messages
        self.clear()

    def clear(self) -> None:
        """An empty book."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self.findings: list[Finding] = []
        self.messages: deque[Message] = deque()
        self._kept_bytes = 0
        self._lines = 0

    def count(self, payer: str, what: Count) -> None:
        """Add one."""
        self._counts[payer, what] += 1
        self._journal.append("count", payer=payer, what=what)

    def next_number(self) -> int:
        """Number of the message now arriving."""
        self._lines += 1
        return self._lines

    def keep(self, message: Message) -> None:
        """Store one exchange; over the limits the oldest give way."""
        self._place(message)
        fields = {name: getattr(message, name) for name in message.__slots__}
        self._journal.append("message", **fields)

    def find(self, payer: str, operation: str, message: int, *issues: Issue) -> None:
        """Write down what was wrong."""
        for issue in issues:
            finding = Finding(
                payer=payer,
                operation=operation,
                message=message,
                severity=issue.severity,
                code=issue.code,
                text=issue.text,
                at=issue.at,
                source=issue.source,
            )
            if len(self.findings) < MAX_FINDINGS:
                self.findings.append(finding)
            self._journal.append("finding", **asdict(finding))

    def restore(self, line: dict[str, Any]) -> None:
        """Take one journal line back in; lines of other kinds are passed over."""
        kind = line.pop("kind")
        if kind == "count":
            self._counts[line["payer"], line["what"]] += 1
        elif kind == "finding":
            self.findings.append(Finding(**line))
        elif kind == "message":
            line["request"], line["response"] = unpack(line["request"]), unpack(line["response"])
            self._place(Message(**line))
            self._lines = max(self._lines, line["number"])

    def _place(self, message: Message) -> None:
        self.messages.append(message)
        self._kept_bytes += len(message.request) + len(message.response)
        while len(self.messages) > self._max_messages or (self._kept_bytes > MAX_BYTES and len(self.messages) > 1):
            oldest = self.messages.popleft()
            self._kept_bytes -= len(oldest.request) + len(oldest.response)

    def summary(self, slugs: tuple[str, ...]) -> dict[str, Any]:
        """The book as the `/_ledger` route shows it: totals, findings, counts by payer, message lines."""
        totals: dict[str, int] = {what: sum(self._counts[slug, what] for slug in slugs) for what in COUNTS}
        return {
            **totals,
            "findings": [asdict(finding) for finding in self.findings],
            "by_payer": {slug: {what: self._counts[slug, what] for what in COUNTS} for slug in slugs},
            "messages": [message.line() for message in self.messages],
        }

    def bodies(self) -> list[dict[str, Any]]:
        """Messages with their exact bodies, base64."""
        return [
            {**message.line(), "request": _encode(message.request), "response": _encode(message.response)}
            for message in self.messages
        ]


def digest(body: bytes) -> str:
    """`sha256:` and the hex digest of the bytes."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _encode(body: bytes) -> str:
    return base64.b64encode(body).decode("ascii")
