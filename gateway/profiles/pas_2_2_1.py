"""PAS 2.2.1: the names a flow needs, from one place."""

from __future__ import annotations

from gateway.profiles.pas_attachment import (
    Attachment,
    attachment_url,
    build_attachment_parameters,
    requested_code,
)
from gateway.profiles.pas_input import (
    CareTeamMember,
    CompletedForm,
    PasCodes,
    PasDiagnosis,
    PasItem,
    PasRequest,
    SealedDocument,
    Supporting,
    TransmissionIdentifiers,
)
from gateway.profiles.pas_inquiry import InquiryKeys, build_inquiry_bundle
from gateway.profiles.pas_order import diagnoses_of, information_in_force, service_days, service_of
from gateway.profiles.pas_records import (
    AddedItem,
    AuthorizationNumber,
    AuthorizationPeriod,
    BusinessError,
    DocumentRequest,
    HeaderReview,
    ItemReview,
    PasAnswer,
    ReviewReason,
)
from gateway.profiles.pas_request import build_request_bundle
from gateway.profiles.pas_resources import build_insurer
from gateway.profiles.pas_response import echoes_request, read_inquiry_answer, read_inquiry_issues, read_pas_answer
from gateway.profiles.pas_review import REVIEW_ACTION_CODES
from gateway.profiles.pas_subscription import (
    NotificationEvent,
    NotificationMessage,
    build_subscription,
    read_notification,
)
from gateway.profiles.pas_task import build_task, split_kinds
from gateway.profiles.pas_update import ClaimUpdate, ItemChange, build_update_bundle
from gateway.profiles.urls import x12

VERSION = "2.2.1"
REPORT_TYPE_SYSTEM = x12("755")
"""Code system of report types (PWK01)."""

__all__ = [
    "AddedItem",
    "Attachment",
    "AuthorizationNumber",
    "AuthorizationPeriod",
    "BusinessError",
    "CareTeamMember",
    "ClaimUpdate",
    "CompletedForm",
    "DocumentRequest",
    "HeaderReview",
    "InquiryKeys",
    "ItemChange",
    "ItemReview",
    "NotificationEvent",
    "NotificationMessage",
    "PasAnswer",
    "PasCodes",
    "PasDiagnosis",
    "PasItem",
    "PasRequest",
    "REPORT_TYPE_SYSTEM",
    "REVIEW_ACTION_CODES",
    "ReviewReason",
    "SealedDocument",
    "Supporting",
    "TransmissionIdentifiers",
    "VERSION",
    "attachment_url",
    "build_attachment_parameters",
    "build_inquiry_bundle",
    "build_insurer",
    "build_request_bundle",
    "build_subscription",
    "build_task",
    "build_update_bundle",
    "diagnoses_of",
    "echoes_request",
    "information_in_force",
    "read_inquiry_answer",
    "read_inquiry_issues",
    "read_notification",
    "read_pas_answer",
    "requested_code",
    "service_days",
    "service_of",
    "split_kinds",
]
