"""Tokens of the simulated payers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness_case import Case, running
from tests.harness_messages import hook_request, request_bundle

TOKEN_PATH = "/example-medicare/token"
HOOK = "/example-medicare/cds-services/order-sign-coverage"
BASE = "http://harness.example.org"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def case(now: Now) -> Iterator[Case]:
    with running(token=None, now=now) as found:
        yield found


def jwt(now: Now, *, audience: Any, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A client JWT of the right shape; the signature is not real."""
    head = {"alg": "ES384", "kid": "k1", "typ": "JWT"} | (header or {})
    expiry = int((now.at + timedelta(minutes=5)).timestamp())
    payload = {"iss": "gateway", "sub": "gateway", "aud": audience, "exp": expiry, "jti": "j-1"} | claims
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, payload)]
    return ".".join([*parts, "c2ln"])


def ask(case: Case, form: dict[str, str], **headers: str) -> Any:
    return case.client.post(TOKEN_PATH, data=form, headers=headers)


def secret_form(**changes: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": "gateway",
        "client_secret": "synthetic-secret",
        "scope": "system/questionnaire.rs",
    } | changes


def test_a_secret_is_exchanged_for_a_short_lived_token(case: Case, now: Now) -> None:
    granted = ask(case, secret_form()).json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 300)
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    assert case.post("/example-medicare/fhir/Claim/$submit", request_bundle(), **headers).status_code == 200
    assert case.post("/example-open/fhir/Claim/$submit", request_bundle(), **headers).status_code == 401
    now.at += timedelta(seconds=301)
    answer = case.post("/example-medicare/fhir/Claim/$submit", request_bundle(), **headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_secret_may_come_as_basic_credentials(case: Case) -> None:
    basic = base64.b64encode(b"gateway:synthetic-secret").decode()
    answer = ask(case, {"grant_type": "client_credentials"}, Authorization=f"Basic {basic}")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
        (secret_form(client_secret="no"), 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        (
            {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": "a.b.c"},
            401,
            "invalid_client",
        ),
    ],
)
def test_a_wrong_request_names_its_error(case: Case, form: dict[str, str], status: int, error: str) -> None:
    answer = ask(case, form)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"header": {"alg": "HS256"}}, 401),
        ({"header": {"alg": "none"}}, 401),
        ({"header": {"kid": ""}}, 401),
        ({"audience": "https://other.example.org/token"}, 401),
        ({"exp": 1}, 401),
        ({"exp": "soon"}, 401),
        ({"jti": ""}, 401),
        ({"sub": "another"}, 401),
    ],
)
def test_a_signed_assertion_of_the_right_shape_is_accepted(
    case: Case, now: Now, changes: dict[str, Any], status: int
) -> None:
    assertion = jwt(now, **{"audience": BASE + TOKEN_PATH, **changes})
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION, "client_assertion": assertion}
    assert ask(case, form).status_code == status


@pytest.mark.requirement("cdsh:180")
@pytest.mark.parametrize(
    ("audience", "status"),
    [
        ("sand_man", 401),
        (BASE + HOOK, 200),
        ([BASE + HOOK], 200),
        (BASE + "/example-medicare/cds-services", 401),
        (BASE + HOOK + "/", 401),
    ],
)
def test_the_audience_of_a_client_jwt_is_the_service(case: Case, now: Now, audience: Any, status: int) -> None:
    token = jwt(now, audience=audience)
    assert case.post(HOOK, hook_request(), Authorization=f"Bearer {token}").status_code == status


def test_a_client_jwt_opens_no_fhir_route(case: Case, now: Now) -> None:
    path = "/example-medicare/fhir/Claim/$submit"
    token = jwt(now, audience=BASE + path)
    assert case.post(path, request_bundle(), Authorization=f"Bearer {token}").status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer test-token", "bearer a.b", "\xff"])
def test_no_token_no_answer(case: Case, header: str) -> None:
    headers = {"Authorization": header.encode("latin-1"), "Content-Type": "application/fhir+json"}
    assert case.client.post(HOOK, json=hook_request(), headers=headers).status_code == 401


def test_discovery_metadata_and_health_are_open(case: Case) -> None:
    for path in ("/example-medicare/cds-services", "/example-medicare/fhir/metadata", "/_health"):
        assert case.client.get(path).status_code == 200


def test_the_check_can_be_switched_off() -> None:
    with running(token=None, require_token=False) as open_case:
        assert open_case.post(HOOK, hook_request(), Authorization="").status_code == 200


def test_tokens_are_not_written_down(case: Case) -> None:
    ask(case, secret_form())
    listed = case.client.get("/_ledger/messages").text
    assert "synthetic-secret" not in listed
    assert base64.b64encode(b"synthetic-secret").decode()[:12] not in listed


def test_the_capability_statement_names_operations_and_topic(case: Case) -> None:
    found = case.client.get("/example-medicare/fhir/metadata").json()
    claim, subscription, *_ = found["rest"][0]["resource"]
    assert [operation["definition"].rpartition("|")[2] for operation in claim["operation"]] == ["2.2.1", "2.2.1"]
    assert subscription["extension"][0]["valueCanonical"].endswith("PASSubscriptionTopic")
    assert {"create", "update", "delete"} <= {entry["code"] for entry in subscription["interaction"]}
    assert found["implementation"]["url"] == BASE + "/example-medicare/fhir"
