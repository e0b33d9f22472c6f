"""Subscriptions of the simulated payers: their life, their events, and the delivery of notifications.

Each subscription has one delivery task that sends in order: handshake first, then events. A delivery is retried with
growing pauses until `delivery_seconds` have passed; then the subscription turns to `error` and stays there until its
owner puts it again, as the framework wants (a server never re-activates). Events keep their numbers meanwhile and can
be read by `$events`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx

from gateway.fhir import Json
from gateway.fhir.json import dump_json
from payer_endpoints.harness import names
from payer_endpoints.harness.answers import instant
from payer_endpoints.harness.book import Authorization
from payer_endpoints.harness.config import HarnessConfig
from payer_endpoints.harness.faults import FaultBoard, NotificationFault
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.journal import Journal, unpack
from payer_endpoints.harness.ledger import Ledger, Message, digest
from payer_endpoints.harness.reading import as_text, at, parse_body
from payer_endpoints.harness.subscription_bundles import (
    Event,
    flattened,
    heartbeat_seconds,
    is_id_only,
    notification,
    only_ids,
    org_identifiers,
    status_parameters,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """One subscription as the payer keeps it."""

    id: str
    payer: str
    url: str
    """Its absolute url."""
    guide: str
    """Generation of the guides at whose address it was made; it hears of requests of the same."""
    resource: bytes
    """The Subscription, JSON."""
    status: str = "requested"
    count: int = 0
    """Events since it began; the number of the newest."""
    delivered: int = 0
    """Number of the newest event that was accepted."""
    events: tuple[Event, ...] = field(default=())

    def body(self) -> dict[str, Any]:
        """The Subscription with id and current status."""
        resource, _ = parse_body(self.resource)
        return {"resourceType": "Subscription", "id": self.id, **(resource or {}), "status": self.status} | {
            "id": self.id
        }


class Subscriptions:
    """All subscriptions of one harness process."""

    def __init__(self, config: HarnessConfig, ledger: Ledger, journal: Journal, faults: FaultBoard) -> None:
        self._config, self._ledger, self._journal, self._faults = config, ledger, journal, faults
        self._followers: dict[str, Follower] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wake: dict[str, asyncio.Event] = {}

    def get(self, payer: str, key: str) -> Follower | None:
        """The payer's subscription with this id."""
        found = self._followers.get(key)
        return found if found and found.payer == payer else None

    def of_payer(self, payer: str) -> list[Follower]:
        """All of one payer."""
        return [found for found in self._followers.values() if found.payer == payer]

    def create(self, payer: str, guide: Guide, base: str, resource: Json) -> Follower:
        """Store a new one and greet its endpoint in the background; `base` is the payer's FHIR base url."""
        key = str(uuid4())
        url, body = f"{base}/Subscription/{key}", dump_json(resource)
        follower = Follower(id=key, payer=payer, guide=guide.value, url=url, resource=body)
        return self._begin(follower)

    def renew(self, follower: Follower, resource: Json) -> Follower:
        """Its owner put it again: greet again; numbers go on, what was missed stays missed."""
        return self._begin(
            replace(follower, resource=dump_json(resource), status="requested", delivered=follower.count)
        )

    def delete(self, follower: Follower) -> None:
        """Forget it."""
        self._stop(follower.id)
        self._followers.pop(follower.id, None)
        self._journal.append("subscription-deleted", id=follower.id)

    def publish(self, authorization: Authorization) -> None:
        """Tell everyone who follows this requestor."""
        for follower in self.of_payer(authorization.payer):
            wanted = org_identifiers(follower.body())
            if follower.guide == authorization.guide and set(wanted) & set(authorization.senders):
                self._add_event(follower, authorization.answer)

    def start(self) -> None:
        """Take up every delivery again, after a restart."""
        for follower in self._followers.values():
            if follower.status in ("requested", "active"):
                self._run(follower.id)

    async def stop(self) -> None:
        """End every delivery; nothing is forgotten."""
        tasks = list(self._tasks.values())
        for key in list(self._tasks):
            self._stop(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def clear(self) -> None:
        """End every delivery and forget every subscription."""
        for key in list(self._followers):
            self._stop(key)
        self._followers.clear()

    def restore(self, line: dict[str, Any]) -> None:
        """Take one journal line back in; lines of other kinds are passed over."""
        kind = line.pop("kind")
        if kind == "subscription-deleted":
            self._followers.pop(line["id"], None)
        elif kind == "subscription":
            known = self._followers.get(line["id"])
            line["resource"] = unpack(line["resource"])
            self._followers[line["id"]] = Follower(**line, events=known.events if known else ())
        elif kind == "event":
            follower = self._followers[line.pop("subscription")]
            event = Event(**{**line, "answer": unpack(line["answer"])})
            self._followers[follower.id] = replace(follower, events=(*follower.events, event))

    def _begin(self, follower: Follower) -> Follower:
        self._keep(follower)
        self._stop(follower.id)
        self._run(follower.id)
        return follower

    def _add_event(self, follower: Follower, answer: bytes) -> None:
        step = 2 if self._fault(follower.payer).skip_numbers else 1
        event = Event(
            number=follower.count + step,
            at=instant(self._config.now()),
            answer=answer,
            url=f"urn:uuid:{uuid4()}",
        )
        self._keep(replace(follower, count=event.number, events=(*follower.events, event)))
        self._journal.append("event", subscription=follower.id, **asdict(event))
        if follower.id in self._wake:
            self._wake[follower.id].set()

    def _keep(self, follower: Follower) -> None:
        self._followers[follower.id] = follower
        fields = {name: getattr(follower, name) for name in follower.__slots__ if name != "events"}
        self._journal.append("subscription", **fields)

    def _change(self, key: str, **changes: Any) -> None:
        if key in self._followers:
            self._keep(replace(self._followers[key], **changes))

    def _fault(self, payer: str) -> NotificationFault:
        found = self._faults.notification
        return found.get(payer) or found.get("*") or NotificationFault()

    def _run(self, key: str) -> None:
        self._wake[key] = asyncio.Event()
        self._tasks[key] = asyncio.get_running_loop().create_task(self._deliver(key))

    def _stop(self, key: str) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
        self._wake.pop(key, None)

    async def _deliver(self, key: str) -> None:
        """The delivery task of one subscription."""
        wake = self._wake[key]
        async with httpx.AsyncClient(transport=self._config.transport, timeout=10, trust_env=False) as client:
            if self._followers[key].status == "requested":
                greeted = await self._try(partial(self._send, client, key, "handshake", []))
                self._change(key, status="active" if greeted else "error")
            while key in self._followers and self._followers[key].status == "active":
                if not await self._send_waiting(client, key):
                    self._change(key, status="error")
                    return
                await self._rest(client, key, wake)

    async def _send_waiting(self, client: httpx.AsyncClient, key: str) -> bool:
        """Send every event not yet accepted; False when the endpoint stayed away."""
        while True:
            follower = self._followers[key]
            waiting = [event for event in follower.events if event.number > follower.delivered]
            if not waiting:
                return True
            fault = self._fault(follower.payer)
            for event in reversed(waiting) if fault.out_of_order else waiting:
                for _ in range(2 if fault.duplicate else 1):
                    if not await self._try(partial(self._send, client, key, "event-notification", [event])):
                        return False
            self._change(key, delivered=max(event.number for event in waiting))

    async def _rest(self, client: httpx.AsyncClient, key: str, wake: asyncio.Event) -> None:
        """Sleep until an event comes, with heartbeats meanwhile where they were asked for."""
        period = heartbeat_seconds(self._followers[key].body())
        try:
            await asyncio.wait_for(wake.wait(), timeout=period * self._config.pace if period else None)
            wake.clear()
        except TimeoutError:
            await self._send(client, key, "heartbeat", [])

    async def _try(self, send: Callable[[], Awaitable[bool]]) -> bool:
        """Send until it is accepted or `delivery_seconds` have passed; pauses double from half a second to ten."""
        until = self._config.now() + timedelta(seconds=self._config.delivery_seconds)
        pause = 0.5 * self._config.pace
        while not await send():
            if self._config.now() + timedelta(seconds=pause) > until:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10 * self._config.pace)
        return True

    async def _send(self, client: httpx.AsyncClient, key: str, kind: str, events: list[Event]) -> bool:
        """One POST to the endpoint; True for a 2xx."""
        follower = self._followers[key]
        body = dump_json(self._message(follower, kind, events))
        channel = follower.body().get("channel", {})
        headers = {"Content-Type": names.FHIR_JSON}
        headers |= {
            name.strip(): value.strip()
            for name, _, value in (as_text(header).partition(":") for header in channel.get("header", []))
        }
        endpoint = as_text(at(channel, "endpoint"))
        try:
            answer = await client.post(endpoint, content=body, headers=headers)
            status, content = answer.status_code, answer.content
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            status, content = 0, b""
        self._note(follower, kind, endpoint, body, status, content)
        return 200 <= status < 300

    def _message(self, follower: Follower, kind: str, events: list[Event]) -> dict[str, Any]:
        fault = self._fault(follower.payer)
        topic = names.PAS_TOPIC + "/other" if fault.wrong_topic else names.PAS_TOPIC
        count = max((event.number for event in events), default=follower.count)
        status = status_parameters(follower.url, kind, follower.status, count, events, topic)
        if fault.without_status:
            left_out = ("status", "events-since-subscription-start")
            status["parameter"] = [item for item in status["parameter"] if item["name"] not in left_out]
        bodies = [(event.url, parse_body(event.answer)[0] or {}) for event in events]
        message = notification(status, follower.url, self._config.now(), bodies)
        if events and is_id_only(follower.body()):
            return only_ids(message, follower.url.partition("/Subscription/")[0])
        return flattened(message) if fault.flattened and events else message

    def _note(self, follower: Follower, kind: str, endpoint: str, body: bytes, status: int, content: bytes) -> None:
        if kind == "event-notification" and 200 <= status < 300:
            self._ledger.count(follower.payer, "notifications")
        message = Message(
            number=self._ledger.next_number(),
            at=instant(self._config.now()),
            payer=follower.payer,
            operation=f"notification:{kind}",
            method="POST",
            path=endpoint,
            status=status,
            request=body,
            response=content[:65_536],
            request_digest=digest(body),
            response_digest=digest(content),
            direction="out",
        )
        self._ledger.keep(message)
