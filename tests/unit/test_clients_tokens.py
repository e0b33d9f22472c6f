"""Tokens: asked for in the right words, kept until they run out, never shown."""

from __future__ import annotations

import base64
import datetime as dt
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from gateway.clients.assertions import AssertionKey, HookIdentity, sign_client_assertion, sign_hook_token
from gateway.clients.endpoint import Endpoint
from gateway.clients.scopes import may_read, missing_scopes, read_scopes
from gateway.clients.tokens import ClientCredentials, NoToken, StaticToken
from gateway.clients.transport import PAYER, Transport
from gateway.clock import FixedClock
from gateway.errors import PayerRejected, PayerUnreadable, SettingsError

NOW = dt.datetime(2026, 11, 25, 10, 0, tzinfo=dt.UTC)
TOKEN_URL = "https://auth.example.org/token"


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


P384 = _pem(ec.generate_private_key(ec.SECP384R1()))
P256 = _pem(ec.generate_private_key(ec.SECP256R1()))
RSA = _pem(rsa.generate_private_key(65537, 2048))


class TokenServer:
    """A token endpoint that answers with `answer` and counts."""

    def __init__(self, answer: Any, status: int = 200) -> None:
        self.answer = answer
        self.status = status
        self.requests: list[httpx.Request] = []
        self.clock = FixedClock(NOW)
        wire = httpx.MockTransport(self._answer)
        endpoint = Endpoint(id="payer/token", base_url=TOKEN_URL)
        self.transport = Transport(endpoint, failures=PAYER, clock=self.clock, wire=wire)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, content=json.dumps(self.answer).encode())

    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.requests[-1].content.decode())


def grant(**fields: Any) -> dict[str, Any]:
    return {"access_token": "t1", "token_type": "Bearer", "expires_in": 300, **fields}


def credentials(server: TokenServer, scopes: str = "system/Claim.cru") -> ClientCredentials:
    return ClientCredentials(server.transport, "client-1", key=AssertionKey.from_pem(P384, "k1"), scopes=scopes)


@pytest.mark.threat("T9")
def test_a_token_is_asked_for_with_a_signed_assertion() -> None:
    server = TokenServer(grant())
    assert credentials(server).authorization() == "Bearer t1"
    form = server.form()
    assert form["grant_type"] == ["client_credentials"]
    assert form["scope"] == ["system/Claim.cru"]
    assert form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    token = jwt.decode(form["client_assertion"][0], ECKey.import_key(P384), algorithms=["ES384"])
    assert token.header == {"alg": "ES384", "kid": "k1", "typ": "JWT"}
    assert token.claims["iss"] == token.claims["sub"] == "client-1"
    assert token.claims["aud"] == TOKEN_URL
    assert 0 < token.claims["exp"] - token.claims["iat"] <= 300
    assert server.requests[0].headers["accept"] == "application/json"


def test_a_token_is_kept_until_shortly_before_it_runs_out() -> None:
    server = TokenServer(grant())
    provider = credentials(server)
    provider.authorization()
    server.clock.instant = NOW + dt.timedelta(seconds=269)
    provider.authorization()
    assert len(server.requests) == 1
    server.clock.instant = NOW + dt.timedelta(seconds=271)
    provider.authorization()
    assert len(server.requests) == 2
    assert server.form()["client_assertion"] != parse_qs(server.requests[0].content.decode())["client_assertion"]


def test_renewing_forgets_the_token() -> None:
    server = TokenServer(grant())
    provider = credentials(server)
    provider.authorization()
    assert provider.renew()
    provider.authorization()
    assert len(server.requests) == 2


def test_a_short_or_unstated_life_is_respected() -> None:
    server = TokenServer({"access_token": "t1", "token_type": "bearer"})
    provider = credentials(server)
    provider.authorization()
    server.clock.instant = NOW + dt.timedelta(seconds=31)
    provider.authorization()
    assert len(server.requests) == 2


def test_a_secret_goes_by_basic_with_both_halves_encoded() -> None:
    server = TokenServer(grant())
    ClientCredentials(server.transport, "client:1", secret="a b%").authorization()
    scheme, _, text = server.requests[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(text)) == ("Basic", b"client%3A1:a%20b%25")
    assert "client_assertion" not in server.form()
    assert "scope" not in server.form()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        "text",
        None,
        {"access_token": "x", "token_type": "mac"},
        {"access_token": "", "token_type": "Bearer"},
        {"access_token": "a b", "token_type": "Bearer"},
        {"access_token": "a\r\nx: y", "token_type": "Bearer"},
        {"access_token": 1, "token_type": "Bearer"},
        {"access_token": "x", "token_type": "Bearer", "expires_in": "soon"},
    ],
)
def test_an_answer_that_is_no_token_is_unreadable(answer: Any) -> None:
    with pytest.raises(PayerUnreadable):
        credentials(TokenServer(answer)).authorization()


def test_a_refusal_says_where_to_look_and_keeps_the_bytes() -> None:
    with pytest.raises(PayerRejected) as caught:
        credentials(TokenServer({"error": "invalid_client"}, status=401)).authorization()
    assert caught.value.reason == "payer.token-refused"
    assert caught.value.http_answer == 401
    assert b"invalid_client" in caught.value.body
    assert "invalid_client" not in caught.value.message


@pytest.mark.threat("T36")
def test_secrets_are_in_no_repr() -> None:
    server = TokenServer(grant(access_token="Zzyxqa"))
    provider = ClientCredentials(server.transport, "c", secret="Zzyxqa")
    provider.authorization()
    key = AssertionKey.from_pem(P384, "k1")
    shown = repr(provider) + repr(StaticToken("Zzyxqa")) + repr(key) + repr(provider._current())
    assert "Zzyxqa" not in shown
    assert "ECKey" not in shown


def test_a_static_token_file_may_be_replaced(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    token = StaticToken(file=file)
    assert token.authorization() == "Bearer first"
    assert not token.renew()
    file.write_text("second\n")
    assert token.renew()
    assert token.authorization() == "Bearer second"
    assert not StaticToken("x").renew()
    assert NoToken().authorization() is None


@pytest.mark.parametrize("text", ["", "two words", "line\nbreak", "ä"])
def test_a_token_is_one_word(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        StaticToken(text)
    with pytest.raises(SettingsError):
        StaticToken(file=tmp_path / "absent")


@pytest.mark.parametrize("fields", [{}, {"key": AssertionKey.from_pem(P384, "k"), "secret": "x"}])
def test_exactly_one_way_of_authenticating_is_needed(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        ClientCredentials(TokenServer(grant()).transport, "c", **fields)


@pytest.mark.parametrize(
    "texts, scopes",
    [
        ("a b", ("a", "b")),
        (["a b", "c"], ("a", "b", "c")),
        ("  a  a ", ("a",)),
        ("", ()),
        (["system/Condition.rs?category=x|y"], ("system/Condition.rs?category=x|y",)),
    ],
)
def test_scopes_are_words_with_spaces_between(texts: Any, scopes: tuple[str, ...]) -> None:
    assert read_scopes(texts) == scopes


@pytest.mark.parametrize("texts", ["a, b", "a,b", ["a", "b,"], 'a"b', "a\\b", "ä"])
def test_scopes_with_commas_are_refused(texts: Any) -> None:
    with pytest.raises(SettingsError):
        read_scopes(texts)


@pytest.mark.parametrize(
    "requested, granted, missing",
    [
        ("launch patient/Patient.rs", "launch", "patient/Patient.rs"),
        ("patient/Patient.rs", "patient/*.rs", ""),
        ("patient/Patient.rs", "patient/*.read", ""),
        ("patient/Patient.read", "patient/Patient.rs", ""),
        ("patient/Patient.rs", "patient/Patient.r patient/Patient.s", ""),
        ("patient/Patient.rs", "patient/Patient.r", "patient/Patient.rs"),
        ("patient/Patient.rs", "user/Patient.rs", "patient/Patient.rs"),
        ("patient/Patient.cruds", "patient/Patient.*", ""),
        ("system/Observation.rs", "system/Observation.rs?category=vital-signs", "system/Observation.rs"),
        ("system/Observation.rs?category=a", "system/Observation.rs", ""),
        ("openid fhirUser", "openid", "fhirUser"),
    ],
)
def test_missing_scopes_are_found(requested: str, granted: str, missing: str) -> None:
    assert missing_scopes(requested.split(), granted.split()) == tuple(missing.split())


def test_a_type_may_be_read_when_a_granted_scope_covers_it() -> None:
    assert may_read("Condition", ["launch", "patient/*.rs"])
    assert may_read("Condition", ["system/Condition.read"])
    assert not may_read("Condition", ["system/Condition.r"])
    assert not may_read("Condition", ["launch", "openid"])


@pytest.mark.parametrize(
    "answer, requested, is_readable",
    [
        (grant(scope="launch openid"), "launch openid system/Condition.rs", False),
        (grant(scope="system/*.rs"), "system/Condition.rs", True),
        (grant(), "system/Condition.rs", True),
        (grant(scope=""), "system/Condition.rs", True),
        (grant(scope="fhir"), "fhir", True),
    ],
)
def test_a_shrunken_grant_is_noticed(answer: Any, requested: str, is_readable: bool) -> None:
    provider = credentials(TokenServer(answer), requested)
    assert provider.may_read("Condition") is is_readable
    assert bool(provider.missing_scopes()) is not is_readable


@pytest.mark.requirement("cdsh:180")
@pytest.mark.threat("T8")
@pytest.mark.parametrize("pem, algorithm", [(P384, "ES384"), (RSA, "RS384")])
def test_a_hook_token_is_for_one_call_of_one_service(pem: bytes, algorithm: str) -> None:
    key = AssertionKey.from_pem(pem, "k1")
    identity = HookIdentity(issuer="https://gw.example.org", key=key, jwks_url="https://gw.example.org/jwks.json")
    url = "https://payer.example.org/cds-services/order-sign"
    public = ECKey.import_key(pem) if algorithm == "ES384" else RSAKey.import_key(pem)
    tokens = [jwt.decode(sign_hook_token(identity, url, NOW), public, algorithms=[algorithm]) for _ in range(2)]
    assert tokens[0].header == {
        "alg": algorithm,
        "kid": "k1",
        "typ": "JWT",
        "jku": "https://gw.example.org/jwks.json",
    }
    assert tokens[0].claims["aud"] == url
    assert set(tokens[0].claims) == {"iss", "aud", "iat", "exp", "jti"}
    assert tokens[0].claims["jti"] != tokens[1].claims["jti"]
    assert tokens[0].claims["exp"] - tokens[0].claims["iat"] <= 300


@pytest.mark.parametrize("pem", [P256, b"", b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"])
def test_a_key_of_another_kind_is_refused(pem: bytes) -> None:
    with pytest.raises(SettingsError):
        AssertionKey.from_pem(pem, "k1")


def test_a_public_key_or_a_missing_kid_is_refused(tmp_path: Path) -> None:
    private = serialization.load_pem_private_key(P384, None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(SettingsError, match="public"):
        AssertionKey.from_pem(public, "k1")
    with pytest.raises(SettingsError, match="kid"):
        AssertionKey.from_pem(P384, "")
    with pytest.raises(SettingsError):
        AssertionKey.from_file(tmp_path / "absent.pem", "k1")


def test_an_assertion_can_be_made_with_a_known_id() -> None:
    key = AssertionKey.from_pem(P384, "k1")
    text = sign_client_assertion(key, "c", TOKEN_URL, NOW, new_id=lambda: "fixed")
    assert jwt.decode(text, ECKey.import_key(P384), algorithms=["ES384"]).claims["jti"] == "fixed"
