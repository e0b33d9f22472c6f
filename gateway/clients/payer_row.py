"""From a row of the payer directory to what the client needs: endpoints and limits of waiting, no policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.clients.endpoint import Endpoint
from payer_endpoints.directory import PayerRow

SUBMIT_ATTACHMENT = "$submit-attachment"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerTimeouts:
    """Seconds to wait for each kind of call."""

    connect: float = 2.0
    """Until a connection stands."""
    discovery: float = 5.0
    """Service list."""
    hook: float = 4.5
    """Hook answer."""
    package: float = 15.0
    """Questionnaire package and the other form operations."""
    submit: float = 20.0
    """`$submit`, longer than the 15 seconds a person waits, so that a late answer is not lost."""
    inquire: float = 15.0
    """`$inquire`."""
    subscription: float = 10.0
    """Subscription requests."""
    attachment: float = 15.0
    """`$submit-attachment`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayerEndpoints:
    """Where one payer is, by guide; an endpoint that is None is not offered."""

    slug: str
    """Name of the payer."""
    crd: Endpoint | None = None
    """Lists the hook services; `base/{id}` is one of them."""
    dtr: Endpoint | None = None
    """FHIR base in front of `Questionnaire/$questionnaire-package`."""
    pas: Endpoint | None = None
    """FHIR base in front of `Claim/$submit`."""
    attachment: Endpoint | None = None
    """Address of `$submit-attachment` itself; None: under the `pas` base."""
    timeouts: PayerTimeouts = PayerTimeouts()
    """Limits of waiting."""


def endpoints_of(row: PayerRow, *, ca_files: Mapping[str, str] | None = None) -> PayerEndpoints:
    """The endpoints of a payer row. `ca_files` names CAs by payer slug. `SettingsError` for unusable addresses."""
    ca_file = (ca_files or {}).get(row.slug)

    def build(name: str, base_url: str) -> Endpoint:
        return Endpoint(
            id=f"{row.slug}/{name}",
            base_url=base_url,
            networks=row.networks,
            plain_http=row.plain_http,
            ca_file=ca_file,
        )

    attachment_url = _attachment_url(row)
    return PayerEndpoints(
        slug=row.slug,
        crd=build("crd", row.crd.base_url) if row.crd else None,
        dtr=build("dtr", row.dtr.base_url) if row.dtr else None,
        pas=build("pas", row.pas.base_url) if row.pas else None,
        attachment=build("cdex", attachment_url) if attachment_url else None,
        timeouts=_timeouts(row),
    )


def _attachment_url(row: PayerRow) -> str:
    """The operation's address: the name is appended unless the row's address ends in it already (pas §2)."""
    if row.cdex is None:
        return ""
    url = row.cdex.attachment_url.rstrip("/")
    return url if url.endswith(SUBMIT_ATTACHMENT) else f"{url}/{SUBMIT_ATTACHMENT}"


def _timeouts(row: PayerRow) -> PayerTimeouts:
    usual = PayerTimeouts()
    crd = row.crd.timeouts_seconds if row.crd else None
    dtr = row.dtr.timeouts_seconds if row.dtr else None
    pas = row.pas.timeouts_seconds if row.pas else None
    return PayerTimeouts(
        connect=min(part.connect for part in (crd, dtr, pas) if part) if crd or dtr or pas else usual.connect,
        discovery=crd.discovery if crd else usual.discovery,
        hook=crd.hook if crd else usual.hook,
        package=dtr.package if dtr else usual.package,
        submit=pas.submit_read if pas else usual.submit,
        inquire=pas.inquire if pas else usual.inquire,
        subscription=pas.subscription if pas else usual.subscription,
        attachment=pas.attachment if pas else usual.attachment,
    )
