"""Only `gateway.profiles` spells the canonical urls of the guides."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.profiles.urls import backport, pas, x12

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = ("http://hl7.org/fhir/us/", "codesystem.x12.org")
EXEMPT = {
    "gateway/profiles": "the room that holds them",
    "gateway/demo": "the synthetic EHR is a partner's system and claims US Core profiles of its own",
}
"""Folder of `gateway` and why it may hold them. The harness and `provenance` are independent readings."""


def offenders() -> list[str]:
    found = []
    for path in sorted((ROOT / "gateway").rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        is_text = path.is_file() and path.suffix in {".py", ".toml", ".html", ".sql", ".json", ".js", ".yaml"}
        if is_text and not name.startswith(tuple(EXEMPT)):
            text = path.read_text(encoding="utf-8")
            found += [f"{name}: {url}" for url in FORBIDDEN if url in text]
    return found


def test_no_other_room_spells_a_canonical_of_the_guides() -> None:
    assert offenders() == []


def test_harness_never_imports_our_reading() -> None:
    for path in (ROOT / "payer_endpoints").rglob("*.py"):
        assert "gateway.profiles" not in path.read_text(encoding="utf-8").replace("`gateway.profiles`", ""), path.name


@pytest.mark.parametrize(
    ("built", "url"),
    [
        (pas("profile-claim"), "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/profile-claim"),
        (x12("306"), "https://codesystem.x12.org/005010/306"),
        (
            backport("backport-payload-content"),
            "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content",
        ),
    ],
)
def test_urls_are_built_whole(built: str, url: str) -> None:
    assert built == url
