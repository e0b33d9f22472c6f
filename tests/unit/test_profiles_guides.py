"""The choice of a guide's module by version."""

from __future__ import annotations

import pytest

from gateway.errors import SettingsError
from gateway.profiles import guides, pas_2_0_1, pas_2_2_1


@pytest.mark.parametrize(
    ("version", "draft", "requested"), [("2.0.1", True, ""), ("2.1.0", False, ""), ("2.2", False, "2.2")]
)
def test_crd_habits_follow_the_payers_version(version: str, draft: bool, requested: str) -> None:
    guide = guides.crd_guide(version)
    assert (draft, requested) == (guide.sends_draft, guide.requested_version)


def test_pas_module_follows_the_payers_version() -> None:
    assert guides.pas_guide("2.2.1").build_request_bundle is pas_2_2_1.build_request_bundle
    assert guides.pas_guide("2.1.0").build_request_bundle is pas_2_0_1.build_request_bundle


@pytest.mark.parametrize("version", ["1.1", "3.0", "", "x"])
def test_other_versions_are_refused(version: str) -> None:
    for choose in (guides.crd_guide, guides.pas_guide):
        with pytest.raises(SettingsError):
            choose(version)
