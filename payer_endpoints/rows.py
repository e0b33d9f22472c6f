"""Shape of one payer row: everything that differs from payer to payer and is not code.

A row holds addresses, guide versions, limits and code tables. It refuses keys it does not know, so
that a misspelt limit is an error at start and not a silent default. Secrets never stand in a row:
it names the file that holds them.
"""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

CrdVersion = Literal["2.0.1", "2.1.0", "2.2"]
DtrVersion = Literal["2.0.1", "2.1.0", "2.2.0"]
PasVersion = Literal["2.0.1", "2.2.1"]

_URL = TypeAdapter(AnyHttpUrl)
Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class BusinessIdentifier(_Row):
    """One identifier by which Coverage.payor or an insurer Organization names the payer."""

    system: str = Field(min_length=1)
    """Identifier system, an absolute URI."""
    value: str = Field(min_length=1)
    """Identifier value; compared as it stands."""


class Token(_Row):
    """How we show who we are: not at all, with a token from a file, or with one asked of a token endpoint."""

    kind: Literal["none", "static", "client_credentials"] = "none"
    """Way of authenticating."""
    file: Path | None = None
    """File with the bearer token (`static`)."""
    token_url: str = ""
    """Token endpoint (`client_credentials`)."""
    client_id: str = ""
    """Our client id there (`client_credentials`)."""
    key_file: Path | None = None
    """File with the private key that signs the client assertion (`client_credentials`)."""
    key_id: str = ""
    """`kid` under which the payer knows the public key."""
    algorithm: Literal["RS384", "ES384"] = "ES384"
    """Signature algorithm of the client assertion."""
    scopes: tuple[str, ...] = ()
    """Scopes to ask for; empty asks for none."""

    @model_validator(mode="after")
    def _complete(self) -> Token:
        if self.kind == "static" and self.file is None:
            raise ValueError("a static token needs `file`")
        if self.kind == "client_credentials" and not (self.token_url and self.client_id and self.key_file):
            raise ValueError("client credentials need `token_url`, `client_id` and `key_file`")
        return self


class _Endpoint(_Row):
    base_url: str
    """Address before the operation path, without a trailing slash."""
    token: Token | None = None
    """Overrides the payer's token for this endpoint; absent: the payer's `[token]`."""

    @field_validator("base_url")
    @classmethod
    def _plain_url(cls, text: str) -> str:
        url = _URL.validate_python(text)
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("an address carries no user, query or fragment")
        return text.rstrip("/")


class CrdTimeouts(_Row):
    """Seconds to wait in coverage discovery."""

    connect: Seconds = 2.0
    """Until a connection stands."""
    discovery: Seconds = 5.0
    """For the service list."""
    hook: Seconds = 4.5
    """For a hook answer; the whole hook has a budget of 5 seconds."""


class DtrTimeouts(_Row):
    """Seconds to wait in forms."""

    connect: Seconds = 2.0
    """Until a connection stands."""
    package: Seconds = 15.0
    """For a questionnaire package."""


class PasTimeouts(_Row):
    """Seconds to wait in submission."""

    connect: Seconds = 2.0
    """Until a connection stands."""
    submit: Seconds = 15.0
    """Budget of `$submit` as a person sees it (pas:spec-7)."""
    submit_read: Seconds = 20.0
    """How long the socket stays open for a late answer; longer than `submit`, so that it is not lost."""
    inquire: Seconds = 15.0
    """For `$inquire`."""
    subscription: Seconds = 10.0
    """For subscription requests."""
    attachment: Seconds = 15.0
    """For `$submit-attachment`."""


class Crd(_Endpoint):
    """Coverage discovery: `base_url` lists the services, `base_url/{id}` is one of them."""

    version: CrdVersion = "2.2"
    """Guide version that the payer speaks."""
    timeouts_seconds: CrdTimeouts = CrdTimeouts()
    """Limits of waiting."""
    service_id: str = ""
    """Service to call for order-sign; empty: the first one that discovery lists for the hook."""


class Dtr(_Endpoint):
    """Forms: the FHIR base in front of `Questionnaire/$questionnaire-package`."""

    version: DtrVersion = "2.2.0"
    """Guide version that the payer speaks."""
    timeouts_seconds: DtrTimeouts = DtrTimeouts()
    """Limits of waiting."""
    on_engine_error: Literal["stop", "isolate"] = "stop"
    """After an error in a form's logic: run none of it any more, as the guide says, or go on without the part that
    failed and what depends on it."""


class X12Codes(_Row):
    """Codes of licensed X12 lists that a request carries; which one a payer wants is its business."""

    category: str = "62"
    """Service type of the item (X12 1365)."""
    request_type: str = "HS"
    """Kind of request (X12 1525)."""
    certification_type: str = "I"
    """Certification type of a first request (X12 1322)."""
    certification_type_cancel: str = "3"
    """Certification type of a cancelled item (X12 1322)."""
    organization_type_provider: str = "1P"
    """Entity code of the requesting organization (X12 98)."""
    organization_type_payer: str = "PR"
    """Entity code of the insurer (X12 98)."""
    care_team_role: str = "71"
    """Entity code of the ordering practitioner in the care team (X12 98)."""
    relationship_self: str = "18"
    """Subscriber is the patient (X12 1069)."""
    report_type: str = "M1"
    """Report type of a supporting document (X12 755) unless `report_types` says otherwise."""
    report_types: dict[str, str] = {}
    """Report type by resource type, e.g. `QuestionnaireResponse`."""
    place_of_service: str = "22"
    """CMS place of service of the item where the order names none."""
    level_of_service: str = "E"
    """Level of service of a routine request (X12 1338)."""
    level_of_service_urgent: str = "U"
    """Level of service of an expedited request (X12 1338)."""


class Transmission(_Row):
    """Sender and receiver codes of the exchange (GS02, GS03, ISA06, ISA08)."""

    application_sender_code: str = Field(min_length=1)
    """Our application code at this payer."""
    application_receiver_code: str = Field(min_length=1)
    """The payer's application code."""
    interchange_sender_id: str = ""
    """Our interchange id; subscriptions filter on it."""
    interchange_receiver_id: str = ""
    """The payer's interchange id."""


class Pas(_Endpoint):
    """Submission: the FHIR base in front of `Claim/$submit`."""

    version: PasVersion = "2.2.1"
    """Guide version that the payer speaks."""
    timeouts_seconds: PasTimeouts = PasTimeouts()
    """Limits of waiting."""
    claim_type: Literal["institutional", "professional", "oral"] = "professional"
    """Claim.type of a request."""
    codes: X12Codes = X12Codes()
    """X12 codes of a request."""
    transmission: Transmission
    """Sender and receiver codes."""
    subscription: bool = True
    """The payer notifies by subscription."""
    inquire_after_unknown: bool = True
    """Asking once by `$inquire` is worth it after an outcome that stayed unknown."""
    duplicate_codes: tuple[str, ...] = ()
    """Error codes by which this payer says that it has the request already; the guide defines none."""
    wants_forms_in_bundle: bool = True
    """A completed form goes in as a Bundle with what its answers rest on; false: the bare QuestionnaireResponse."""


class Cdex(_Row):
    """Where documents asked for after a pend are sent."""

    attachment_url: str
    """Address of `$submit-attachment`; the operation name is appended unless it already ends in it."""
    final_only: bool = False
    """The payer takes one call with everything, never a series."""

    @field_validator("attachment_url")
    @classmethod
    def _plain_url(cls, text: str) -> str:
        return _Endpoint._plain_url(text)


class Limits(_Row):
    """How hard we may press one payer."""

    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests under way at one time."""
    requests_per_minute: int = Field(default=600, ge=1)
    """Requests started in any minute."""


class BreakerLimits(_Row):
    """When to stop calling a payer that fails, and when to try again."""

    failures: int = Field(default=5, ge=1)
    """Failures in a row that open the breaker."""
    open_seconds: int = Field(default=30, ge=1)
    """How long it stays open before one trial call."""


class RetryLimits(_Row):
    """How often and how long a delivery is repeated."""

    max_attempts: int = Field(default=8, ge=1, le=50)
    """Attempts in all before a person is asked."""
    first_wait_seconds: int = Field(default=2, ge=1)
    """Wait before the second attempt, doubled each time."""
    longest_wait_seconds: int = Field(default=900, ge=1)
    """No single wait is longer, except one the payer asks for."""


class Quirk(_Row):
    """A named difference of this payer, and why we know."""

    on: bool = True
    """Whether the quirk is in force."""
    reason: str = Field(min_length=1)
    """What was seen, where and when."""


class Payer(_Row):
    """Name and identifiers of the payer."""

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name of the row and of its file."""
    name: str = Field(min_length=1)
    """Name that people see."""
    identifiers: tuple[BusinessIdentifier, ...] = Field(min_length=1)
    """Identifiers by which orders find this payer."""
    org_identifier: BusinessIdentifier
    """Identifier of our own organization as the payer knows it; subscriptions are filtered by it."""
    line_of_business: Literal["medicare_advantage", "medicaid", "chip", "qhp", "commercial", "other"] = "other"
    """Kind of plan; decides which time limits bind the payer (gateway/policy/tables/deadlines.toml)."""
    release: Literal["auto", "person"] = "auto"
    """Whether a complete packet leaves by itself or waits for a person."""
    networks: tuple[str, ...] = ()
    """Private networks (CIDR) in which the payer's addresses may lie; empty: public addresses only."""
    plain_http: bool = False
    """Allow http without TLS; honoured on loopback addresses only."""

    @field_validator("networks")
    @classmethod
    def _cidr(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ip_network(network)) for network in networks)


class PayerRow(_Row):
    """One payer: who it is, where its doors are, what it speaks and how patient it is."""

    payer: Payer
    """Name, identifiers, release and network rules."""
    token: Token = Token()
    """Authentication at all its endpoints, unless one has its own."""
    crd: Crd | None = None
    """Coverage discovery; absent: the payer has none."""
    dtr: Dtr | None = None
    """Forms; absent: the payer has none."""
    pas: Pas | None = None
    """Submission; absent: the payer takes no electronic requests."""
    cdex: Cdex | None = None
    """Documents after a pend; absent: they go in as an update of the request."""
    limits: Limits = Limits()
    """Rate and concurrency."""
    breaker: BreakerLimits = BreakerLimits()
    """Circuit breaker thresholds."""
    retry: RetryLimits = RetryLimits()
    """Repeats of a delivery."""
    quirks: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], Quirk] = {}
    """Named switches, each with its reason."""

    @property
    def slug(self) -> str:
        """Name of the row."""
        return self.payer.slug

    @property
    def name(self) -> str:
        """Name that people see."""
        return self.payer.name

    @property
    def identifiers(self) -> tuple[tuple[str, str], ...]:
        """(system, value) pairs by which orders find this payer."""
        return tuple((known.system, known.value) for known in self.payer.identifiers)

    @property
    def org_identifier(self) -> tuple[str, str]:
        """(system, value) of our own organization at this payer."""
        return self.payer.org_identifier.system, self.payer.org_identifier.value

    @property
    def networks(self) -> tuple[str, ...]:
        """Private networks its addresses may lie in."""
        return self.payer.networks

    @property
    def plain_http(self) -> bool:
        """Whether http without TLS is allowed (loopback only)."""
        return self.payer.plain_http

    @property
    def line_of_business(self) -> str:
        """Kind of plan."""
        return self.payer.line_of_business

    @property
    def release(self) -> Literal["auto", "person"]:
        """Whether a complete packet leaves by itself."""
        return self.payer.release

    def has_quirk(self, name: str) -> bool:
        """Whether the named switch is in force."""
        return name in self.quirks and self.quirks[name].on

    def token_for(self, endpoint: Crd | Dtr | Pas) -> Token:
        """Authentication at one of the row's endpoints."""
        return endpoint.token or self.token

    def without_private_networks(self) -> PayerRow:
        """The row as it reads where settings allow no loopback and no private network."""
        payer = self.payer.model_copy(update={"networks": (), "plain_http": False})
        return self.model_copy(update={"payer": payer})
