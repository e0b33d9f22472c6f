"""Evidence that an auditor can check offline: statements, the sealed document, packages, verification.

This package works alone. It imports the standard library, `cryptography` and `rfc8785`, and nothing of
the gateway, so that an auditor can run it without one. Writing:

    ring = KeyRing.create(directory, "Clinic", NPI, "1234567893", now)
    event = build_event(case_tag=new_case_tag(), seq=0, previous_jws=None, activity="case-open", …)
    document = seal_document(assemble_document(…), ring.signer("seal"), now, ring.tenant)
    write_package(path, PackageContents(…), signer=ring.signer("seal"), created_at=now)

Reading: `verify_package(path, anchors).verdict`, or the command `pa-verify`.
"""

from __future__ import annotations

from provenance.activities import ACTIVITIES, Activity
from provenance.archive import Limits
from provenance.canonical import b64u, digest, digest_hex, jcs, ni_uri, parse_strict
from provenance.certificates import Purpose
from provenance.codes import OPEN_QUESTIONS, Code
from provenance.document import DocumentEntry, assemble_document, seal_document
from provenance.errors import (
    AnchorsError,
    JwsError,
    KeyRingError,
    PackageError,
    ProvenanceError,
    StatementError,
    StrictJsonError,
)
from provenance.identifiers import Identifier
from provenance.jws import Signer
from provenance.keys import DevelopmentKeyWarning, KeyRing, KeyRow, LocalSigner
from provenance.package import PackageContents, read_package, write_package
from provenance.parties import Agent, Party, gateway_device, organization, person, practitioner_role
from provenance.records import new_case_tag, salted_record
from provenance.report import FAILED, INDETERMINATE, PASSED, EventRow, Finding, Report
from provenance.report_html import to_html
from provenance.slices import EntrySlice, slice_entries
from provenance.statement import Entity, SignedEvent, Target, build_event, jws_digest
from provenance.steps import Step
from provenance.urls import EIN, NPI
from provenance.verify import verify_document, verify_package

__all__ = [
    "ACTIVITIES",
    "EIN",
    "FAILED",
    "INDETERMINATE",
    "NPI",
    "OPEN_QUESTIONS",
    "PASSED",
    "Activity",
    "Agent",
    "AnchorsError",
    "Code",
    "DevelopmentKeyWarning",
    "DocumentEntry",
    "Entity",
    "EntrySlice",
    "EventRow",
    "Finding",
    "Identifier",
    "JwsError",
    "KeyRing",
    "KeyRingError",
    "KeyRow",
    "Limits",
    "LocalSigner",
    "PackageContents",
    "PackageError",
    "Party",
    "ProvenanceError",
    "Purpose",
    "Report",
    "SignedEvent",
    "Signer",
    "StatementError",
    "Step",
    "StrictJsonError",
    "Target",
    "assemble_document",
    "b64u",
    "build_event",
    "digest",
    "digest_hex",
    "gateway_device",
    "jcs",
    "jws_digest",
    "new_case_tag",
    "ni_uri",
    "organization",
    "parse_strict",
    "person",
    "practitioner_role",
    "read_package",
    "salted_record",
    "seal_document",
    "slice_entries",
    "to_html",
    "verify_document",
    "verify_package",
    "write_package",
]
