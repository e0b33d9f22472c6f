"""The practice of a chart: in which zone its days are counted, in which state it is."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.fhir.reading import objects, one, text
from gateway.reasoning.record import RecordSnapshot

TIMEZONE = "/StructureDefinition/timezone"
"""How the address of the extension ends that names a Location's zone."""


def is_zone(name: str) -> bool:
    """Whether a text names an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return bool(name)


def practice_zone(record: RecordSnapshot, default: str) -> str:
    """IANA zone of the practice: the one a Location of the record names, else `default`."""
    for location in record.of_type("Location"):
        for extension in objects(location.get("extension")):
            named = text(extension.get("valueCode"))
            if text(extension.get("url")).endswith(TIMEZONE) and is_zone(named):
                return named
    return default


def practice_state(record: RecordSnapshot) -> str:
    """State of the practice, two letters, from its Location or Organization; empty when neither names one."""
    for kind in ("Location", "Organization"):
        for resource in record.of_type(kind):
            state = text(one(resource.get("address")).get("state"))
            if state:
                return state
    return ""
