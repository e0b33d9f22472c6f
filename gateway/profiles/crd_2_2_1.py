"""CRD 2.2.1 (2.2.0 has the same content): the names a flow needs, from one place."""

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

VERSION = "2.2.1"
REQUESTED_VERSION = "2.2"
SENDS_DRAFT = False
"""Whether orders are sent as `draft`; 2.2 leaves the status open."""

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
