"""The choice of a CRD or PAS module by the version a payer speaks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Protocol, cast

from gateway.errors import SettingsError
from gateway.fhir import Json
from gateway.profiles.pas_2_2_1 import ClaimUpdate, DocumentRequest, InquiryKeys, PasRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class CrdGuide:
    """What differs between CRD versions; readers and builders are the same everywhere."""

    version: str
    """Version of the guide."""
    requested_version: str
    """Value of the requested-version member; empty where a payer does not know it."""
    sends_draft: bool
    """Whether orders go out as `draft` copies: the 2.0.1 profiles fix that status, later ones leave it open."""


class PasGuide(Protocol):
    """What PAS versions build differently; readers are the same everywhere."""

    VERSION: str

    def build_request_bundle(self, request: PasRequest, new_uuid: Callable[[], str]) -> dict[str, Any]:
        """The Bundle of a first submission."""

    def build_inquiry_bundle(
        self, request: PasRequest, new_uuid: Callable[[], str], keys: InquiryKeys | None = None
    ) -> dict[str, Any]:
        """The Bundle of an `$inquire`."""

    def build_update_bundle(self, prior: Json, update: ClaimUpdate, new_uuid: Callable[[], str]) -> dict[str, Any]:
        """The Bundle of an update or a cancellation."""

    def build_subscription(
        self,
        endpoint: str,
        org_identifier: str | tuple[str, ...],
        header: tuple[str, ...] = (),
        reason: str = ...,
        end: datetime | None = None,
        *,
        heartbeat_seconds: int | None = None,
        filter_name: str = ...,
        payload_content: str = ...,
        plain_http: bool = False,
    ) -> dict[str, Any]:
        """The Subscription of one sending system."""

    def build_task(
        self,
        *,
        identifier: tuple[str, str],
        requests: Sequence[DocumentRequest],
        patient: str,
        claim: Json,
        payer: tuple[str, str],
        organization: tuple[str, str],
        payer_url: str,
        due_on: date | None = None,
        status: str = "requested",
        status_reason: str = "",
    ) -> dict[str, Any]:
        """One Task for requests of one kind."""


_CRD: Final = {
    "2.0": CrdGuide(version="2.0.1", requested_version="", sends_draft=True),
    "2.1": CrdGuide(version="2.1.0", requested_version="", sends_draft=False),
    "2.2": CrdGuide(version="2.2.1", requested_version="2.2", sends_draft=False),
}
_PAS: Final = {"2.0": "pas_2_0_1", "2.1": "pas_2_0_1", "2.2": "pas_2_2_1"}


def crd_guide(version: str) -> CrdGuide:
    """What to heed with a CRD version (`2.0.1`, `2.2`). Raises SettingsError for one we do not speak."""
    found = _CRD.get(_minor(version))
    if found is None:
        raise _unknown("CRD", _CRD)
    return found


def pas_guide(version: str) -> PasGuide:
    """PAS module of a payer's version; 2.1 is served as 2.0.1 until shown otherwise (spec/design.md §7)."""
    name = _PAS.get(_minor(version))
    if name is None:
        raise _unknown("PAS", _PAS)
    return cast(PasGuide, importlib.import_module(f"gateway.profiles.{name}"))


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _unknown(guide: str, known: Iterable[str]) -> SettingsError:
    spoken = ", ".join(sorted(known))
    return SettingsError(f"{guide} versions {spoken} are spoken; the payer row names another.", code="guide.version")
