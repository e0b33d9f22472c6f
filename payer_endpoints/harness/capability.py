"""CapabilityStatement of a simulated payer. Source: spec/pas.md §14, IntermediaryCapabilities of PAS 2.2.1."""

from __future__ import annotations

from typing import Any

from payer_endpoints.harness import names
from payer_endpoints.harness.config import Payer
from payer_endpoints.harness.guides import Guide

_TOPIC = names.BACKPORT + "capabilitystatement-subscriptiontopic-canonical"


def capability_statement(payer: Payer, guide: Guide, base: str) -> dict[str, Any]:
    """What the payer's FHIR endpoint at `base` can do."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-01",
        "kind": "instance",
        "implementation": {"description": f"{payer.name} (simulated)", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "resource": [_claim(guide), _subscription(), _questionnaire(), _value_set()],
                "operation": [_attach()],
            }
        ],
    }


def _claim(guide: Guide) -> dict[str, Any]:
    version = "2.2.1" if guide is Guide.STU2_2 else "2.0.1"
    operations = [
        {"name": "submit", "definition": f"{names.PAS_SUBMIT}|{version}"},
        {"name": "inquire", "definition": f"{names.PAS_INQUIRE}|{version}"},
    ]
    return {"type": "Claim", "operation": operations}


def _subscription() -> dict[str, Any]:
    topic = {"url": _TOPIC, "valueCanonical": names.PAS_TOPIC}
    codes = ("create", "read", "update", "delete")
    return {"extension": [topic], "type": "Subscription", "interaction": [{"code": code} for code in codes]}


def _questionnaire() -> dict[str, Any]:
    base = "http://hl7.org/fhir/us/davinci-dtr/OperationDefinition/"
    operations = [
        {"name": "questionnaire-package", "definition": base + "questionnaire-package"},
        {"name": "next-question", "definition": base + "next-question"},
        {"name": "log-questionnaire-errors", "definition": base + "log-questionnaire-errors"},
    ]
    return {"type": "Questionnaire", "operation": operations}


def _value_set() -> dict[str, Any]:
    definition = "http://hl7.org/fhir/us/davinci-dtr/OperationDefinition/DTR-ValueSet-expand"
    return {"type": "ValueSet", "operation": [{"name": "expand", "definition": definition}]}


def _attach() -> dict[str, str]:
    definition = "http://hl7.org/fhir/us/davinci-cdex/OperationDefinition/submit-attachment"
    return {"name": "submit-attachment", "definition": definition}
