"""Sizes: what is ordinary passes with default settings, what is not is refused while it streams."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import ServerSettings
from tests.acceptance.bad_bodies import FHIR, covered
from tests.acceptance.outcomes import require_outcome
from tests.acceptance.posts import bundle, scan
from tests.acceptance.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
MEGABYTE = 1024 * 1024
LIMIT = ServerSettings().max_body_bytes


@pytest.mark.threat("T3")
def test_a_body_over_the_limit_is_refused_before_it_is_read(server: Server) -> None:
    before = server.forget_peak()
    answer = server.post(b" " * (50 * MEGABYTE))
    issue = require_outcome(answer, 413, "too-large", str(LIMIT))
    assert issue["code"] == "too-long"
    assert server.peak_kib() - before < 25 * 1024


@pytest.mark.threat("T3")
def test_a_body_without_length_is_counted_while_it_comes(server: Server) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * MEGABYTE

    headers = {"Content-Type": FHIR}
    answer = server.send("POST", "/orders", by="demo-ehr", content=pieces(), headers=headers)
    require_outcome(answer, 413, "too-large", "attachments")


@pytest.mark.threat("T3")
def test_a_gzip_bomb_is_given_up_at_once(server: Server) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b"\x00" * MEGABYTE) for _ in range(256)) + packer.flush()
    assert len(bomb) < 300_000
    before = server.forget_peak()
    answer = server.post(bomb, **{"Content-Encoding": "gzip"})
    issue = require_outcome(answer, 413, "too-large", "packed beyond reason")
    assert issue["code"] == "too-long"
    assert server.peak_kib() - before < 25 * 1024


@pytest.fixture(scope="module")
def field_case(corpora: Path) -> dict[str, Any]:
    """B107: big documents."""
    lines = (corpora / "field-cases" / "cases.jsonl").read_text("utf-8").splitlines()
    found: dict[str, Any] = next(item for item in map(json.loads, lines) if item["id"] == "B107")
    return found


@pytest.mark.parametrize("megabytes", [3, 15])
def test_b107_an_order_with_a_scan_is_taken(server: Server, field_case: dict[str, Any], megabytes: int) -> None:
    assert f"{megabytes} MB" in " ".join(field_case["input"]["bodies"])
    key = f"scan-{megabytes}"
    body = json.dumps(bundle(covered(key), scan(megabytes * MEGABYTE, key))).encode()
    assert len(body) > megabytes * MEGABYTE
    before = server.forget_peak()
    assert server.post(body).status_code == 202
    assert server.peak_kib() - before < 8 * len(body) / 1024, "a few times the size"


def test_b107_over_the_limit_is_too_long_and_leaves_nothing(server: Server, field_case: dict[str, Any]) -> None:
    assert "too-long" in field_case["expected"]["over_limit"]
    before = server.case_ids()
    answer = server.post(bundle(covered("too-big"), scan(25 * MEGABYTE, "too-big")))
    issue = require_outcome(answer, 413, "too-large", str(LIMIT))
    assert issue["code"] == "too-long"
    assert server.case_ids() == before


def test_a_scan_in_xml_has_a_lower_limit_that_is_told(server: Server) -> None:
    answer = server.post(b"<ServiceRequest>" + b" " * 11_000_000, "application/fhir+xml")
    require_outcome(answer, 413, "too-large", "send it as FHIR JSON")
