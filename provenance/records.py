"""Records that lie beside the statements: exchanges, evaluation traces, sign-in contexts.

They stay in the evidence package and are named elsewhere by digest only. A packet that leaves discloses those
digests, so every record carries 128 random bits: without them a short record could be guessed from its
digest. Source: spec/provenance.md §3.1 (Provenance is a disclosure).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from provenance.canonical import b64u, jcs_of_value

SALT_BYTES: Final = 16


def new_case_tag(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """128 random bits as 22 base64url characters: how a case is called inside signatures."""
    return b64u(random_bytes(SALT_BYTES))


def salted_record(
    kind: str, content: Mapping[str, Any], random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> bytes:
    """Canonical JSON of a record: `kind`, `salt` and the content.

    Store the bytes as an object and name them by `ni_uri(digest(bytes))`. Building it twice gives two
    records. Errors: StrictJsonError for content that is not JSON; ValueError where it names kind or salt.
    """
    if {"kind", "salt"} & content.keys():
        raise ValueError("kind and salt are set here")
    return jcs_of_value({**content, "kind": kind, "salt": b64u(random_bytes(SALT_BYTES))})
