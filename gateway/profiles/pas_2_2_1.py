"""PAS 2.2.1: the names a flow needs, from one place."""

from __future__ import annotations

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
from gateway.profiles.pas_response import echoes_request, read_inquiry_answer, read_inquiry_issues, read_pas_answer
from gateway.profiles.pas_review import REVIEW_ACTION_CODES
from gateway.profiles.pas_subscription import (
    NotificationEvent,
    NotificationMessage,
    build_subscription,
    read_notification,
)

VERSION = "2.2.1"

__all__ = [
    "AddedItem",
    "AuthorizationNumber",
    "AuthorizationPeriod",
    "BusinessError",
    "DocumentRequest",
    "HeaderReview",
    "ItemReview",
    "NotificationEvent",
    "NotificationMessage",
    "PasAnswer",
    "REVIEW_ACTION_CODES",
    "ReviewReason",
    "VERSION",
    "build_subscription",
    "echoes_request",
    "read_inquiry_answer",
    "read_inquiry_issues",
    "read_notification",
    "read_pas_answer",
]
