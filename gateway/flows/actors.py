"""Who acts: the gateway itself, a person, a client system, a payer or an EHR."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.policy.access import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The one on whose behalf something is done."""

    id: str
    """Client id, person id, payer slug or EHR id; `gateway` for the gateway itself."""
    kind: str = "gateway"
    """gateway, user, client, payer or ehr."""
    tenant: str = ""
    """Tenant of the credentials."""
    roles: tuple[str, ...] = ()
    """Roles of the credentials."""
    name: str = ""
    """Name of a person."""
    practitioner: str = ""
    """Reference of a person's Practitioner in the EHR, or empty."""
    session: str = field(default="", repr=False)
    """Opaque id of the session or request that the act came by; hashed before it is kept."""

    @property
    def label(self) -> str:
        """How events name the actor: `gateway`, `user:jo`, `payer:example`."""
        return self.kind if self.kind == "gateway" else f"{self.kind}:{self.id}"

    @property
    def caller(self) -> Caller:
        """The actor as the access policy sees it."""
        return Caller(id=self.id, tenant=self.tenant, roles=frozenset(self.roles))


GATEWAY = Actor(id="gateway")
"""The gateway acting by itself."""
