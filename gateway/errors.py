"""Every error the gateway raises on purpose, in one tree.

    GatewayError
      InputError      what was sent cannot be used            400/422   caller
      AccessError     who you are, what you may do            401/403   caller
      NotFound        no such thing for this tenant           404       caller
      Conflict        changed meanwhile, or a key reused      409/412   caller
      Busy            too much at once; come back later       429       caller
      TooLarge        body over the configured limit          413       caller
      EhrError        the EHR's side                          502/504   staff
      PayerError      the payer's side                        502/504   payer
        Unreachable   nothing was sent                        504
        TimedOut      sent, no answer in time                 504
        Rejected      answered with a refusal                 502
        Unreadable    answered with something we cannot read  502
      ReasoningError  logic of a form failed                  422       payer
      IntegrityError  digest, signature or chain mismatch     500       staff; never retried
      SettingsError   file, key, what was expected            500       operator

A denial is not here: approved, denied, pended and not covered are values.
Messages say what to do next, in plain words, and never carry patient data; values of foreign
input stay out of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

Audience = Literal["caller", "staff", "payer", "operator"]


class GatewayError(Exception):
    """Root of the tree. `message` is safe to show: no patient data, no foreign values."""

    code: ClassVar[str] = "internal"
    issue_type: ClassVar[str] = "exception"
    """FHIR issue type (http://hl7.org/fhir/issue-type)."""
    status: ClassVar[int] = 500
    audience: ClassVar[Audience] = "staff"

    def __init__(
        self, message: str, *, code: str | None = None, status: int | None = None, expression: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = code or self.code
        """Stable machine word for this error, e.g. `json.duplicate-key`."""
        self.http_status = status or self.status
        self.expression = expression
        """FHIRPath of the element at fault, or empty."""

    def diagnostics(self) -> str:
        """What happened and what to do next, in plain words, without patient data."""
        return self.message


class InputError(GatewayError):
    """What was sent cannot be used as it is."""

    code = "invalid"
    issue_type = "invalid"
    status = 400
    audience: ClassVar[Audience] = "caller"


class TooLarge(InputError):
    """The body is over the configured limit."""

    code = "too-large"
    issue_type = "too-long"
    status = 413


class AccessError(GatewayError):
    """The caller is unknown (401) or may not do this (403)."""

    code = "forbidden"
    issue_type = "forbidden"
    status = 403
    audience: ClassVar[Audience] = "caller"


class NotFound(GatewayError):
    """No such thing for this tenant; a foreign tenant's thing reads the same."""

    code = "not-found"
    issue_type = "not-found"
    status = 404
    audience: ClassVar[Audience] = "caller"


class Conflict(GatewayError):
    """Changed meanwhile, or a key was used twice for different things."""

    code = "conflict"
    issue_type = "conflict"
    status = 409
    audience: ClassVar[Audience] = "caller"


class Busy(GatewayError):
    """Too much at once: come back after a while."""

    code = "throttled"
    issue_type = "throttled"
    status = 429
    audience: ClassVar[Audience] = "caller"


class PartnerError(GatewayError):
    """Shared shape of EHR and payer failures.

    `http_answer` is the status they sent, 0 when none came. `body` keeps their bytes for technical
    staff; it is never printed into a message or a log. `retry_after_seconds` repeats their Retry-After.
    """

    status = 502
    issue_type = "transient"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        http_answer: int = 0,
        body: bytes = b"",
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.http_answer = http_answer
        self.body = body
        self.retry_after_seconds = retry_after_seconds


class EhrError(PartnerError):
    """The EHR's side failed."""

    code = "ehr"
    audience: ClassVar[Audience] = "staff"


class PayerError(PartnerError):
    """The payer's side failed."""

    code = "payer"
    audience: ClassVar[Audience] = "payer"


class Unreachable(PartnerError):
    """Nothing was sent: no connection, name or permitted address."""

    code = "unreachable"
    status = 504


class TimedOut(PartnerError):
    """Sent, or perhaps sent, and no answer came in time: the outcome is unknown."""

    code = "timeout"
    status = 504
    issue_type = "timeout"


class Rejected(PartnerError):
    """They answered with a refusal; `http_answer` tells which."""

    code = "rejected"
    issue_type = "processing"


class Unreadable(PartnerError):
    """They answered with something that cannot be read as what was asked for."""

    code = "unreadable"
    issue_type = "structure"


class EhrUnreachable(Unreachable, EhrError):
    """The EHR cannot be reached."""

    code = "ehr.unreachable"


class EhrTimedOut(TimedOut, EhrError):
    """The EHR did not answer in time."""

    code = "ehr.timeout"


class EhrRejected(Rejected, EhrError):
    """The EHR refused."""

    code = "ehr.rejected"


class EhrUnreadable(Unreadable, EhrError):
    """The EHR's answer cannot be read."""

    code = "ehr.unreadable"


class PayerUnreachable(Unreachable, PayerError):
    """The payer cannot be reached; nothing was sent."""

    code = "payer.unreachable"


class PayerTimedOut(TimedOut, PayerError):
    """The payer did not answer in time; the outcome is unknown."""

    code = "payer.timeout"


class PayerRejected(Rejected, PayerError):
    """The payer refused."""

    code = "payer.rejected"


class PayerUnreadable(Unreadable, PayerError):
    """The payer's answer cannot be read."""

    code = "payer.unreadable"


class ReasoningError(GatewayError):
    """Logic of a form failed: library|version, define, localId and locator of the first failing frame."""

    code = "reasoning"
    issue_type = "processing"
    status = 422
    audience: ClassVar[Audience] = "payer"

    def __init__(self, message: str, *, code: str | None = None, frame: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code=code)
        self.frame = dict(frame or {})


class IntegrityError(GatewayError):
    """A digest, signature or chain does not match; never retried."""

    code = "integrity"
    issue_type = "exception"


class SettingsError(GatewayError):
    """A setting is missing, unknown or out of range: file, key and what was expected."""

    code = "settings"
    issue_type = "exception"
    audience: ClassVar[Audience] = "operator"
