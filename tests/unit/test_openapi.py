"""The committed description of the gateway is the running application's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.api.openapi import OPEN, OWN_PROOF
from tests.openapi_files import COMMAND, gateway_text

FOLDER = Path(__file__).resolve().parents[2] / "openapi"


@pytest.fixture(scope="module")
def gateway() -> str:
    return gateway_text()


def test_the_gateways_description_is_committed(gateway: str) -> None:
    assert (FOLDER / "gateway.yaml").read_text("utf-8") == gateway, f"the routes have changed; run: {COMMAND}"


def test_every_operation_has_a_name_a_text_credentials_and_one_error_shape(gateway: str) -> None:
    for path, method, operation in _operations(yaml.safe_load(gateway)):
        where = f"{method} {path}"
        assert operation["operationId"], where
        assert operation.get("description"), where
        assert set(operation["responses"]) - {"default"}, where
        (media,) = operation["responses"]["default"]["content"]
        assert media in ("application/fhir+json", "application/problem+json"), where
        is_open = operation["operationId"] in OPEN
        assert (operation["security"] == []) == is_open, where


def test_routes_without_client_credentials_are_a_fixed_list(gateway: str) -> None:
    operations = {o["operationId"]: o for _, _, o in _operations(yaml.safe_load(gateway))}
    assert {"health", "ready", "capabilityStatement", "discoverCdsServices"} == OPEN
    assert set(OWN_PROOF) == {"receiveNotification", "readAsPayer", "callCdsService", "sendCdsFeedback"}
    assert set(operations) >= OPEN | set(OWN_PROOF)


def _operations(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, o) for path, item in description["paths"].items() for method, o in item.items()]
