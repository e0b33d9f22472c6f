"""CRD 2.0.1: the names of 2.2.1. Readers know every version, so only the constants differ."""

from __future__ import annotations

from gateway.profiles.crd_coverage_information import (
    CoverageDetail,
    CoverageInformation,
    CoverageReason,
    coverage_id,
    in_force,
    merge_coverage_information,
    read_coverage_information,
    read_coverage_informations,
    without_coverage_information,
)
from gateway.profiles.crd_discovery import CdsService, ConfigurationOption, find_service, read_discovery
from gateway.profiles.crd_prefetch import fill_prefetch
from gateway.profiles.crd_request import (
    ORDER_TYPES,
    HookAuthorization,
    HookRequest,
    build_configuration,
    build_order_dispatch_request,
    build_order_sign_request,
    build_orders_bundle,
)
from gateway.profiles.crd_response import (
    HookAnswer,
    SystemAction,
    build_hook_response,
    build_update_action,
    match_action,
    order_differences,
    read_hook_response,
)

VERSION = "2.0.1"
REQUESTED_VERSION = ""
SENDS_DRAFT = True
"""Whether orders are sent as `draft`; the 2.0.1 order profiles fix it, so the hook copy carries it."""

__all__ = [
    "CdsService",
    "ConfigurationOption",
    "CoverageDetail",
    "CoverageInformation",
    "CoverageReason",
    "HookAnswer",
    "HookAuthorization",
    "HookRequest",
    "ORDER_TYPES",
    "REQUESTED_VERSION",
    "SENDS_DRAFT",
    "SystemAction",
    "VERSION",
    "build_configuration",
    "build_hook_response",
    "build_order_dispatch_request",
    "build_order_sign_request",
    "build_orders_bundle",
    "build_update_action",
    "coverage_id",
    "fill_prefetch",
    "find_service",
    "in_force",
    "match_action",
    "merge_coverage_information",
    "order_differences",
    "read_coverage_information",
    "read_coverage_informations",
    "read_discovery",
    "read_hook_response",
    "without_coverage_information",
]
