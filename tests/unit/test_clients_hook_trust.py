"""The token of a CDS client: good for one call of one service, by a registered key."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.clients.endpoint import Endpoint
from gateway.clients.hook_trust import TrustedCaller, verify_hook_token
from gateway.clients.key_sets import FetchedKeys, FixedKeys, read_key_set
from gateway.clients.transport import Transport
from gateway.clock import FixedClock
from gateway.errors import AccessError, InputError, SettingsError

NOW = dt.datetime(2026, 11, 25, 10, 0, tzinfo=dt.UTC)
SECONDS = int(NOW.timestamp())
SERVICE = "https://gw.example.org/cds-services/order-sign"
EC = ECKey.generate_key("P-384", {"kid": "k1"}, auto_kid=False)
OTHER = ECKey.generate_key("P-384", {"kid": "k1"}, auto_kid=False)
RSA = RSAKey.generate_key(2048, {"kid": "r1"}, auto_kid=False)


def jwks(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


CALLER = TrustedCaller(
    issuer="https://ehr.example.org",
    tenant="main",
    ehr_id="ehr",
    keys=FixedKeys(jwks(EC, RSA)),
    jwks_url="https://ehr.example.org/jwks.json",
)


def token(key: Any = EC, header: dict[str, Any] | None = None, algorithm: str = "ES384", **claims: Any) -> str:
    usual = {"iss": CALLER.issuer, "aud": SERVICE, "iat": SECONDS, "exp": SECONDS + 300, "jti": "j1"}
    body = {name: value for name, value in (usual | claims).items() if value is not None}
    full = {"alg": algorithm, "kid": "k1", "typ": "JWT"} | (header or {})
    return jwt.encode({n: v for n, v in full.items() if v is not None}, body, key, algorithms=[full["alg"]])


class Memory:
    """Tokens used so far."""

    def __init__(self) -> None:
        self.used: dict[tuple[str, str], dt.datetime] = {}

    def __call__(self, issuer: str, jti: str, until: dt.datetime) -> bool:
        return self.used.setdefault((issuer, jti), until) is until


def verify(text: str, now: dt.datetime = NOW, memory: Memory | None = None) -> TrustedCaller:
    return verify_hook_token(f"Bearer {text}", SERVICE, [CALLER], now, memory or Memory())


@pytest.mark.requirement("cdsh:180")
@pytest.mark.parametrize(
    "text",
    [
        token(),
        token(aud=[SERVICE]),
        token(aud=["https://x.example.org", SERVICE]),
        token(header={"jku": CALLER.jwks_url}),
        token(nbf=SECONDS),
        token(iat=SECONDS + 59, exp=SECONDS + 200),
        token(iat=SECONDS - 300, exp=SECONDS - 59),
        token(RSA, {"alg": "RS384", "kid": "r1"}, "RS384"),
        token(tenant="whatever"),
    ],
)
def test_a_good_token_names_its_caller(text: str) -> None:
    assert verify(text) is CALLER


def _forged_none() -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none', 'kid': 'k1', 'typ': 'JWT'})}.{token().split('.')[1]}."


def _doubled_algorithm() -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","alg":"ES384","kid":"k1","typ":"JWT"}').rstrip(b"=").decode()
    return ".".join([header, *token().split(".")[1:]])


@pytest.mark.threat("T8")
@pytest.mark.threat("T9")
@pytest.mark.parametrize(
    "text, code",
    [
        (token(iss="https://stranger.example.org"), "hook.issuer"),
        (token(iss=None), "hook.issuer"),
        (token(iss=CALLER.issuer + "/"), "hook.issuer"),
        (token(OTHER), "hook.signature"),
        (token()[:-4] + "AAAA", "hook.signature"),
        (token(header={"kid": "k2"}), "hook.key"),
        (token(header={"kid": None}), "hook.key"),
        (token(header={"kid": "../../etc/passwd"}), "hook.key"),
        (token(header={"kid": "k1' OR 1=1"}), "hook.key"),
        (token(header={"typ": "at+jwt"}), "hook.header"),
        (token(header={"typ": ""}), "hook.header"),
        (token(header={"jwk": OTHER.as_dict(private=False)}), "hook.header"),
        (token(header={"x5u": "https://evil.example.net"}), "hook.header"),
        (token(header={"jku": "https://evil.example.net/jwks.json"}), "hook.jku"),
        (token(header={"jku": CALLER.jwks_url + "#x"}), "hook.jku"),
        (token(OctKey.import_key("x" * 48), {"alg": "HS384"}, "HS384"), "hook.algorithm"),
        (token(ECKey.generate_key("P-256"), {"alg": "ES256"}, "ES256"), "hook.algorithm"),
        (_forged_none(), "hook.algorithm"),
        (_doubled_algorithm(), "hook.token"),
        (token(aud="sand_man"), "hook.audience"),
        (token(aud=SERVICE + "/"), "hook.audience"),
        (token(aud="https://gw.example.org/cds-services"), "hook.audience"),
        (token(aud=None), "hook.audience"),
        (token(aud=[]), "hook.audience"),
        (token(exp=SECONDS - 61), "hook.expired"),
        (token(exp=None), "hook.times"),
        (token(iat=None), "hook.times"),
        (token(exp=SECONDS + 301), "hook.times"),
        (token(iat=SECONDS + 61), "hook.times"),
        (token(nbf=SECONDS + 61), "hook.times"),
        (token(jti=None), "hook.jti"),
        (token(jti=""), "hook.jti"),
        (token(jti="x" * 257), "hook.jti"),
        ("a.b.c", "hook.token"),
        ("a.b", "hook.token"),
        ("", "hook.token"),
        (token(pad="x" * 9000), "hook.token"),
    ],
)
def test_every_other_token_is_refused(text: str, code: str) -> None:
    memory = Memory()
    with pytest.raises(AccessError) as caught:
        verify(text, memory=memory)
    assert (caught.value.reason, caught.value.http_status) == (code, 401)
    assert memory.used == {}


@pytest.mark.threat("T9")
def test_a_token_counts_once_whatever_the_body() -> None:
    memory, text = Memory(), token()
    verify(text, memory=memory)
    for now in (NOW, NOW + dt.timedelta(minutes=5)):
        with pytest.raises(AccessError) as caught:
            verify(text, now, memory)
        assert caught.value.reason == "hook.replay"
    assert next(iter(memory.used.values())) == NOW + dt.timedelta(minutes=6)


@pytest.mark.parametrize("header", [None, "", "Basic eDp5", "Bearer", "Bearer  ", "Bearer a b c"])
def test_a_header_without_a_signed_token_is_refused(header: str | None) -> None:
    with pytest.raises(AccessError):
        verify_hook_token(header, SERVICE, [CALLER], NOW, Memory())


def test_keys_of_other_kinds_are_left_out() -> None:
    modulus = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n.to_bytes(128, "big")
    weak = {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": base64.urlsafe_b64encode(modulus).decode().rstrip("=")}
    odd = [
        {"kty": "oct", "k": "AAAA", "kid": "o"},
        {"kty": "EC"},
        {"kty": ["EC"], "kid": "l"},
        1,
        {"kty": "EC", "kid": "b"},
    ]
    good = EC.as_dict(private=False)
    sets = {"keys": [*odd, weak, good, {**good, "kid": "enc", "use": "enc"}]}
    assert set(read_key_set(json.dumps(sets).encode())) == {"k1"}


def test_a_private_key_in_a_set_is_taken_as_public() -> None:
    body = json.dumps({"keys": [EC.as_dict(private=True)]}).encode()
    assert not read_key_set(body)["k1"].is_private


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":' + b"[" + b"0," * 60 + b"0]}"])
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        read_key_set(body)
    with pytest.raises(SettingsError):
        FixedKeys(body)
    with pytest.raises(InputError):
        read_key_set(jwks(EC, OTHER))


def test_a_fetched_set_is_kept_and_asked_for_again_when_a_new_key_turns_up() -> None:
    clock, calls, answers = FixedClock(NOW), [0], [jwks(EC), jwks(EC, RSA), b"broken", b"broken"]

    def answer(_: httpx.Request) -> httpx.Response:
        calls[0] += 1
        return httpx.Response(200, content=answers[min(calls[0], len(answers)) - 1])

    endpoint = Endpoint(id="jwks", base_url="https://ehr.example.org/jwks.json")
    keys = FetchedKeys(Transport(endpoint, clock=clock, wire=httpx.MockTransport(answer)))
    assert keys.find("k1") is not None
    assert keys.find("r1") is None
    assert calls == [1]
    clock.instant = NOW + dt.timedelta(seconds=61)
    assert keys.find("r1") is not None
    assert calls == [2]
    clock.instant = NOW + dt.timedelta(minutes=20)
    assert keys.find("r1") is not None
    assert calls == [3]
