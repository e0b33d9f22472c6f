"""What every DTR version module offers, and the choice of one by a payer's version."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, cast

from gateway.errors import SettingsError
from gateway.fhir import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginAuthor:
    """Who set an answer. At least one of the two is present: the extension may not be empty (ext-1)."""

    practitioner: str = ""
    """Reference to a Practitioner, `Practitioner/1`; empty when the user has no such record."""
    roles: tuple[Json, ...] = ()
    """CodeableConcepts of the user's role."""

    @property
    def is_known(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.practitioner or self.roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an answer came from, as its extension says."""

    source: str
    author: OriginAuthor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseContext:
    """What a QuestionnaireResponse is about. References are relative to the EHR."""

    orders: tuple[str, ...]
    coverages: tuple[str, ...]
    intended_use: tuple[str, ...] = ("withpa",)
    """Codes of CRD's documentation reasons."""


class DtrGuide(Protocol):
    """Functions and names of one guide version; a module of `gateway.profiles` is one."""

    VERSION: str
    AUTO: str
    AUTO_SERVER: str
    OVERRIDE: str
    MANUAL: str
    NEEDS_ITEM: bool
    MERGES_BY_COVERAGE_ALONE: bool

    def build_package_parameters(
        self,
        coverage: Json | Sequence[Json],
        order: Json | Iterable[Json] | None = None,
        referenced: Iterable[Json] = (),
        questionnaires: Iterable[str] = (),
        context: str | None = None,
        changed_since: datetime | None = None,
    ) -> dict[str, Any]:
        """Input of `$questionnaire-package`."""

    def information_origin(self, source: str, author: OriginAuthor | None = None) -> dict[str, Any]:
        """The extension that says where an answer came from."""

    def read_origin(self, answer: Json) -> Origin | None:
        """Origin of an answer of any version; None when it carries none."""

    def is_machine(self, source: str) -> bool:
        """Whether a source code of any version means that no person set the value."""

    def build_response_header(self, context: ResponseContext) -> dict[str, Any]:
        """`meta` and root extensions of a QuestionnaireResponse."""

    def build_next_question(self, response: Json) -> dict[str, Any]:
        """Input of `$next-question`."""

    def adaptive_profile(self) -> str:
        """Profile of the response to an adaptive form; empty where the guide has none of its own."""


_MODULES: Final = {"2.2": "dtr_2_2_0", "2.0": "dtr_2_0_1", "2.1": "dtr_2_0_1"}


def dtr_guide(version: str) -> DtrGuide:
    """Module of a payer's guide version (`2.2.0`, `2.0.1`). Raises SettingsError for one we do not speak."""
    name = _MODULES.get(".".join(version.split(".")[:2]))
    if name is None:
        raise SettingsError(
            "DTR versions 2.0, 2.1 and 2.2 are spoken; the payer row names another.", code="dtr.version"
        )
    return cast(DtrGuide, importlib.import_module(f"gateway.profiles.{name}"))
