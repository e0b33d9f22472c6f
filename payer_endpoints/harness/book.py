"""What one payer remembers of prior authorizations: requests, answers, what is still to be decided.

Records are frozen; a change replaces the record and writes it to the journal, so a restarted harness goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from payer_endpoints.harness.journal import Journal, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One `$submit` that was taken in, with the answer that every resend gets."""

    payer: str
    key: str
    """sender and Bundle.identifier."""
    digest: str
    """Of the exact request bytes."""
    authorization: str
    answer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """One prior authorization through all its answers and updates."""

    id: str
    payer: str
    sender: str
    """Interchange sender id, or the requestor's NPI."""
    senders: tuple[str, ...]
    """Every identifier by which a subscription may ask for it: sender id, requestor NPI and other identifiers."""
    member: str
    npis: tuple[str, ...]
    """NPIs of requestor and ordering providers."""
    scenario: str
    guide: str
    """Generation of the guides it was submitted in; its notifications are in the same."""
    claims: tuple[str, ...]
    """Claim identifiers, newest last (an update adds one)."""
    request: bytes
    """The newest request Bundle as it came, while a decision is to come; b"" afterwards."""
    answer: bytes
    """The newest response Bundle."""
    codes: tuple[str, ...]
    """Review action code of each item now, as `sequence:code`."""
    number: str
    """Authorization number it has or will get."""
    services: tuple[str, ...] = ()
    """Codes of the services asked for."""
    diagnoses: tuple[str, ...] = ()
    """Diagnosis codes, without dots."""
    due_at: str = ""
    """When the next decision falls, ISO 8601; "" = none is due."""
    waits_for: tuple[str, ...] = ()
    """Attachment control numbers still missing."""
    documents: tuple[str, ...] = ()
    """Control numbers already answered."""

    @property
    def is_pended(self) -> bool:
        """Whether an item is still A4."""
        return any(code.endswith(":A4") for code in self.codes)

    @property
    def is_denied(self) -> bool:
        """Whether every live item is A3."""
        live = [code for code in self.codes if not code.endswith(":C")]
        return bool(live) and all(code.endswith(":A3") for code in live)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A coverage assertion or a document request's trace: a context a form may be asked for with."""

    payer: str
    id: str
    member: str
    order: str
    """`Type/id` of the order, "" where it came from a pend."""
    scenario: str


class Book:
    """All payers' records, in memory and in the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._transactions: dict[tuple[str, str], Transaction] = {}
        self._authorizations: dict[str, Authorization] = {}
        self._by_claim: dict[tuple[str, str, str], str] = {}
        self._assertions: dict[tuple[str, str], Assertion] = {}
        self._asserted: dict[tuple[str, str], set[str]] = {}
        self._by_member: dict[tuple[str, str], list[str]] = {}
        self._by_service: dict[tuple[str, str, str], str] = {}

    def transaction(self, payer: str, key: str) -> Transaction | None:
        """The `$submit` with this sender and Bundle.identifier."""
        return self._transactions.get((payer, key))

    def by_claim(self, payer: str, sender: str, claim: str) -> Authorization | None:
        """The authorization one of whose Claim identifiers this is."""
        found = self._by_claim.get((payer, sender, claim))
        return self._authorizations.get(found) if found else None

    def of_member(self, payer: str, member: str) -> list[Authorization]:
        """The member's authorizations, oldest first."""
        return [self._authorizations[key] for key in self._by_member.get((payer, member), [])]

    def for_service(self, payer: str, member: str, service: str) -> Authorization | None:
        """The member's newest authorization of this service."""
        found = self._by_service.get((payer, member, service))
        return self._authorizations.get(found) if found else None

    def authorization(self, key: str) -> Authorization | None:
        """By its own id."""
        return self._authorizations.get(key)

    def due(self) -> Iterator[Authorization]:
        """Authorizations with a decision to come."""
        return (found for found in self._authorizations.values() if found.due_at)

    def assertion(self, payer: str, key: str) -> Assertion | None:
        """The context issued under this id."""
        return self._assertions.get((payer, key))

    def assertion_for(self, payer: str, order: str) -> Assertion | None:
        """The newest context that was issued for an order."""
        found = [one for one in self._assertions.values() if (one.payer, one.order) == (payer, order)]
        return found[-1] if found else None

    def asserted(self, payer: str, member: str) -> set[str]:
        """Assertion ids given for the member's orders."""
        return self._asserted.get((payer, member), set())

    def keep_transaction(self, transaction: Transaction) -> None:
        """Store one."""
        self._transactions[transaction.payer, transaction.key] = transaction
        self._journal.append("transaction", **asdict(transaction))

    def keep_authorization(self, authorization: Authorization) -> None:
        """Store or replace one."""
        self._place(authorization)
        self._journal.append("authorization", **asdict(authorization))

    def keep_assertion(self, assertion: Assertion) -> None:
        """Store one."""
        if self._assertions.get((assertion.payer, assertion.id)) != assertion:
            self._place_assertion(assertion)
            self._journal.append("assertion", **asdict(assertion))

    def restore(self, line: dict[str, Any]) -> None:
        """Take one journal line back in; lines of other kinds are passed over."""
        kind = line.pop("kind")
        if kind == "transaction":
            line["answer"] = unpack(line["answer"])
            self._transactions[line["payer"], line["key"]] = Transaction(**line)
        elif kind == "authorization":
            line = {key: tuple(value) if isinstance(value, list) else value for key, value in line.items()}
            line["request"], line["answer"] = unpack(line["request"]), unpack(line["answer"])
            self._place(Authorization(**line))
        elif kind == "assertion":
            self._place_assertion(Assertion(**line))

    def _place_assertion(self, assertion: Assertion) -> None:
        self._assertions[assertion.payer, assertion.id] = assertion
        if assertion.order:
            self._asserted.setdefault((assertion.payer, assertion.member), set()).add(assertion.id)

    def _place(self, authorization: Authorization) -> None:
        if authorization.id not in self._authorizations:
            self._by_member.setdefault((authorization.payer, authorization.member), []).append(authorization.id)
        self._authorizations[authorization.id] = authorization
        for service in authorization.services:
            self._by_service[authorization.payer, authorization.member, service] = authorization.id
        for claim in authorization.claims:
            self._by_claim[authorization.payer, authorization.sender, claim] = authorization.id
