"""Whether a certificate may have made a signature at a time: purpose, chain, holder, validity, revocation.

Only the auditor's anchors give trust. Without a proven time the signature's own `sigT` is the time in
question, and the report says that nothing proves it. Source: spec/provenance.md §8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from provenance.anchors import Anchor, Anchors
from provenance.certificates import Purpose, misuse, x5t
from provenance.codes import Code
from provenance.identifiers import Identifier, is_named_by

Doubt = tuple[Code, str]
"""A code and what was found, in plain words."""
_MAX_CHAIN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A certificate's way to an anchor."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    """Leaf first, anchor last; empty when no way was found."""
    anchor: Anchor | None


@dataclass(slots=True, kw_only=True)
class Trust:
    """The auditor's view during one verification; remembers the ways it found."""

    anchors: Anchors
    revocation_lists: Sequence[x509.CertificateRevocationList] = ()
    _paths: dict[tuple[str, ...], Path] = field(default_factory=dict)
    _crls: dict[str, tuple[x509.CertificateRevocationList, ...]] = field(default_factory=dict)

    def doubts(
        self, chain: Sequence[bytes], purposes: Sequence[Purpose], who: Identifier, alg: str, at: datetime
    ) -> tuple[tuple[Doubt, ...], Anchor | None]:
        """Everything that speaks against this signer, and the anchor that vouches for it (None: nobody does).

        `chain` is DER, leaf first; `who` the identifier the signature claims; `at` the time in question.
        """
        try:
            certificates = tuple(x509.load_der_x509_certificate(der) for der in chain)
        except ValueError:
            return ((Code.HEADER_POLICY, "not a certificate"),), None
        leaf = certificates[0]
        path = self._path(tuple(x5t(der) for der in chain), certificates, purposes, at)
        found = [
            *self._purpose_doubts(path, certificates, purposes, at),
            *_holder_doubts(path, who, alg),
            *_time_doubts(path, at),
            *self._revocation_doubts(path, at),
            *self._distrust_doubts(path, at),
        ]
        if not is_named_by(who, leaf):
            found.append((Code.SAN_MISMATCH, "the certificate does not carry the identifier of the signer"))
        return tuple(dict.fromkeys(found)), path.anchor

    def _path(
        self,
        names: tuple[str, ...],
        certificates: Sequence[x509.Certificate],
        purposes: Sequence[Purpose],
        at: datetime,
    ) -> Path:
        leaf = certificates[0]
        key = (*names, *purposes)
        if key not in self._paths:
            # A chain is looked for at a time when the leaf was valid; other times are judged on the result.
            when = min(max(at, leaf.not_valid_before_utc), leaf.not_valid_after_utc)
            candidates = [anchor for anchor in self.anchors.anchors if anchor.purpose in purposes]
            self._paths[key] = _find_path(certificates, candidates, when)
        return self._paths[key]

    def _purpose_doubts(
        self, path: Path, certificates: Sequence[x509.Certificate], purposes: Sequence[Purpose], at: datetime
    ) -> Iterator[Doubt]:
        purpose = path.anchor.purpose if path.anchor is not None else purposes[0]
        if reason := misuse(path.leaf, purpose):
            yield Code.KEY_PURPOSE, reason
        if path.anchor is not None:
            return
        others = [anchor for anchor in self.anchors.anchors if anchor.purpose not in purposes]
        when = min(max(at, path.leaf.not_valid_before_utc), path.leaf.not_valid_after_utc)
        if _find_path(certificates, others, when).anchor is not None:
            yield Code.KEY_PURPOSE, "issued for another purpose"
        else:
            yield Code.CHAIN_UNTRUSTED, "no anchor vouches for the issuer of this certificate"

    def _revocation_doubts(self, path: Path, at: datetime) -> Iterator[Doubt]:
        for certificate, issuer in zip(path.chain, path.chain[1:], strict=False):
            lists = [crl for crl in self._lists_of(issuer) if crl.next_update_utc and crl.next_update_utc >= at]
            if not lists:
                yield Code.REVOCATION_UNKNOWN, "no revocation list of the issuer that covers this time"
            for crl in lists:
                entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
                if entry is not None:
                    yield _withdrawn(entry.revocation_date_utc, at, "revoked")

    def _distrust_doubts(self, path: Path, at: datetime) -> Iterator[Doubt]:
        if not self.anchors.distrusted:
            return
        for certificate in path.chain or (path.leaf,):
            since = self.anchors.distrusted.get(x5t(certificate.public_bytes(Encoding.DER)))
            if since is not None:
                yield _withdrawn(since, at, "distrusted by the auditor")

    def _lists_of(self, issuer: x509.Certificate) -> tuple[x509.CertificateRevocationList, ...]:
        name = x5t(issuer.public_bytes(Encoding.DER))
        if name not in self._crls:
            self._crls[name] = tuple(crl for crl in self.revocation_lists if _is_issued_by(crl, issuer))
        return self._crls[name]


def _find_path(certificates: Sequence[x509.Certificate], anchors: Sequence[Anchor], when: datetime) -> Path:
    nowhere = Path(leaf=certificates[0], chain=(), anchor=None)
    if not anchors:
        return nowhere
    policy = PolicyBuilder().store(Store([anchor.certificate for anchor in anchors])).time(when)
    policy = policy.max_chain_depth(_MAX_CHAIN).extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    try:
        verified = policy.build_client_verifier().verify(certificates[0], list(certificates[1:]))
    except (VerificationError, ValueError):
        return nowhere
    chain = tuple(verified.chain)
    anchor = next((anchor for anchor in anchors if anchor.certificate == chain[-1]), None)
    return nowhere if anchor is None else Path(leaf=certificates[0], chain=chain, anchor=anchor)


def _holder_doubts(path: Path, who: Identifier, alg: str) -> Iterator[Doubt]:
    if path.anchor is None:
        return
    if alg not in path.anchor.algs:
        yield Code.HEADER_POLICY, "an algorithm that this anchor does not permit"
    if path.anchor.purpose is not Purpose.PERSON and path.anchor.tenant not in (None, who):
        yield Code.TENANT_MISMATCH, "the anchor belongs to another organization than the signer"
    if path.anchor.sans and who not in path.anchor.sans:
        yield Code.SAN_MISMATCH, "an identifier that this anchor may not vouch for"


def _time_doubts(path: Path, at: datetime) -> Iterator[Doubt]:
    for certificate in path.chain or (path.leaf,):
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            yield Code.CERT_TIME, "signed outside the validity of a certificate"
    if path.anchor is not None and not path.anchor.valid_from <= at <= path.anchor.valid_until:
        yield Code.CERT_TIME, "signed outside the time for which the auditor trusts the anchor"


def _withdrawn(since: datetime, at: datetime, how: str) -> Doubt:
    if since <= at:
        return Code.REVOKED, f"{how} before this signature"
    # The signature claims to be older, and nothing outside the gateway proves that it is.
    return Code.PROOF_MISSING, f"{how} later; nothing proves that this signature is older"


def _is_issued_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    # A critical extension narrows what the list speaks about (one reason, one kind of certificate): not for us.
    if crl.issuer != issuer.subject or any(extension.critical for extension in crl.extensions):
        return False
    try:
        # The kind of key is whatever the anchor holds; cryptography checks that it can verify.
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, InvalidSignature):
        return False
