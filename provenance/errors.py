"""Everything this package raises on purpose, in one tree.

    ProvenanceError
      StrictJsonError   bytes that are not JSON we are ready to sign or to believe
      StatementError    what the caller asked to state contradicts the rules of a statement
      KeyRingError      keys on disk: missing, readable by others, expired, wrong passphrase
      JwsError          a signature value that may not be used, with the code it is reported under
      PackageError      an evidence package that may not be opened, with the code it is reported under
      AnchorsError      the auditor's anchors file cannot be used

A signature that does not verify is not an exception: the verifier reports findings (`codes.Code`).
Messages name places and rules, never values of a resource.
"""

from __future__ import annotations

from provenance.codes import Code


class ProvenanceError(Exception):
    """Root of the tree; the message holds no patient data."""


class StrictJsonError(ProvenanceError):
    """The bytes are not strict JSON: encoding, duplicate member, number, depth or size."""


class StatementError(ProvenanceError):
    """The statement asked for would break a rule of the Provenance profile or of the chain."""


class KeyRingError(ProvenanceError):
    """The key ring cannot be created or opened; says which file and what was expected."""


class JwsError(ProvenanceError):
    """A JWS that may not be used. `code` is what a verification report calls it."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class PackageError(ProvenanceError):
    """An evidence package that may not be opened. `code` is PACKAGE_FORMAT or PACKAGE_LIMIT."""

    def __init__(self, code: Code, message: str, path: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.path = path


class AnchorsError(ProvenanceError):
    """The anchors file is not one this verifier can use."""
