"""The key pair with which the demonstration's EHR signs its hook calls, and the tokens it makes.

The private key lies in the run's folder, readable by its owner alone; the gateway knows the public one.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey

PRIVATE = "hook-key.json"
PUBLIC = "hook-keys.json"
KEY_ID = "demo-ehr"
LIFE_SECONDS = 120


def write_keys(folder: Path) -> Path:
    """Make the key pair of a run; gives the file of the public key set."""
    key = ECKey.generate_key("P-384", {"kid": KEY_ID}, auto_kid=False)
    private = folder / PRIVATE
    private.touch(mode=0o600)
    private.write_text(json.dumps(key.as_dict(private=True)), "utf-8")
    public = folder / PUBLIC
    public.write_text(json.dumps({"keys": [key.as_dict(private=False)]}), "utf-8")
    return public


def sign_call(folder: Path, issuer: str, address: str) -> str:
    """A token for one call of the service at `address`."""
    key = ECKey.import_key(json.loads((folder / PRIVATE).read_text("utf-8")))
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": issuer, "aud": address, "iat": now, "exp": now + LIFE_SECONDS, "jti": str(uuid.uuid4())}
    return jwt.encode({"alg": "ES384", "kid": KEY_ID, "typ": "JWT"}, claims, key, algorithms=["ES384"])
