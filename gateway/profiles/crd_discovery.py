"""CDS Hooks discovery: what a payer offers, and which switches it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text, texts

VERSION_KEY = "davinci-crd.version"
OPTIONS_KEY = "davinci-crd.configuration-options"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationOption:
    """One switch a service offers."""

    code: str
    """Card type, such as coverage-info."""
    type: str
    """boolean or integer."""
    name: str = ""
    """Label for people."""
    default: bool | int | None = None
    """Value without our asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CdsService:
    """One service of a discovery answer, known by hook and id together: ids may repeat across hooks."""

    hook: str
    """order-sign, order-dispatch, …"""
    id: str
    """Last part of the service's url."""
    title: str = ""
    """For people."""
    prefetch: Mapping[str, str]
    """Query templates by key, exactly as published."""
    versions: tuple[str, ...] = ()
    """Guide versions it declares (since 2.2); empty = 2.0 or 2.1, told by the payer row and not guessed."""
    options: tuple[ConfigurationOption, ...] = ()
    """Switches it offers."""


def read_discovery(body: Json) -> tuple[CdsService, ...]:
    """The services of a discovery answer; entries without hook or id are passed over."""
    found = (_service(item) for item in objects(body.get("services")))
    return tuple(service for service in found if service.hook and service.id)


def find_service(services: tuple[CdsService, ...], hook: str, service_id: str = "") -> CdsService | None:
    """The first service of a hook, or the one with that id; None when the payer does not offer it."""
    return next((item for item in services if item.hook == hook and service_id in ("", item.id)), None)


def _service(item: Json) -> CdsService:
    extension = one(item.get("extension"))
    templates = one(item.get("prefetch"))
    return CdsService(
        hook=text(item.get("hook")),
        id=text(item.get("id")),
        title=text(item.get("title")),
        prefetch={str(key): value for key, value in templates.items() if isinstance(value, str)},
        versions=texts(extension.get(VERSION_KEY)),
        options=tuple(_option(option) for option in objects(extension.get(OPTIONS_KEY)) if option.get("code")),
    )


def _option(option: Json) -> ConfigurationOption:
    default: Any = option.get("default")
    return ConfigurationOption(
        code=text(option.get("code")),
        type=text(option.get("type")) or "boolean",
        name=text(option.get("name")),
        default=default if isinstance(default, bool | int) else None,
    )
