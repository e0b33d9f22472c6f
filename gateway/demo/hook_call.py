"""The demonstration's EHR presses *sign*: one CDS Hooks call to the running gateway, and what comes back.

    python -m gateway.demo.hook_call [--run DIR] [--scenario NAME] [--hook order-sign] [--json]
    python -m gateway.demo.hook_call --feedback CARD --reason CODE

`make demo` must be running; DIR is its run folder, by default the newest one below `demo-data`. The order of the
scenario is sent as a draft with an id of its own, as a screen does it before saving.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from gateway.demo.charts import DemoChart, all_charts, demo_charts
from gateway.demo.hook_keys import sign_call
from gateway.fhir.json import dump_json

REASONS = tuple(
    f"override-{code}"
    for code in ("specialist-request", "patient-specific", "no-authorization", "outside-data", "other")
)
"""Codes of the override reasons that cards list; spelled here because an EHR knows no rooms of the gateway."""
SENT = "The feedback was received. A card that is not known, or was answered before, is passed over."
"""Sentence after feedback; CDS Hooks answers it with nothing that would tell more."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit 0 answered, 1 refused, 2 usage."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.feedback:
        _require_feedback(parser, asked.feedback, asked.reason)
    folder = asked.run or _newest(Path("demo-data"))
    if folder is None or not (folder / "settings.toml").is_file():
        sys.stderr.write("No running demonstration here; start `make demo`, or name its folder with --run.\n")
        return 2
    settings = tomllib.loads((folder / "settings.toml").read_text("utf-8"))
    path = f"/cds-services/{asked.hook}"
    if asked.feedback:
        entry = {"card": asked.feedback, "outcome": "overridden", "overrideReason": {"reason": {"code": asked.reason}}}
        answer = post(folder, settings, f"{path}/feedback", {"feedback": [entry]})
    else:
        chart = next((c for c in (*demo_charts(), *all_charts()) if c.scenario == asked.scenario), None)
        if chart is None:
            sys.stderr.write(f"There is no scenario {asked.scenario}.\n")
            return 2
        answer = post(folder, settings, path, build_call(chart, asked.hook, settings["ehr"]["ehr"]["base_url"]))
    sys.stdout.write(json.dumps(answer.json(), indent=2) + "\n" if asked.json else _told(answer))
    return 0 if answer.is_success else 1


def _require_feedback(parser: argparse.ArgumentParser, card: str, reason: str) -> None:
    """End with a usage error where this cannot be feedback: a service passes over what it does not know."""
    try:
        uuid.UUID(card)
    except ValueError:
        parser.error("--feedback wants the id of a card, which the call before printed in the line `card …`")
    if reason not in REASONS:
        parser.error(f"--reason is one of {', '.join(REASONS)}")


def build_call(chart: DemoChart, hook: str, server: str) -> dict[str, Any]:
    """A hook request for the chart's order as a draft that is not saved yet."""
    resources = [entry["resource"] for entry in chart.bundle["entry"]]
    own = next(item for item in resources if f"{item['resourceType']}/{item['id']}" == chart.order_reference)
    draft = {**{name: value for name, value in own.items() if name not in ("identifier", "meta")}, "status": "draft"}
    draft["id"] = f"draft-{uuid.uuid4()}"
    context = {
        "userId": draft["requester"]["reference"],
        "patientId": chart.patient_reference.partition("/")[2],
        "draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": draft}]},
    }
    if hook == "order-select":
        context["selections"] = [f"{draft['resourceType']}/{draft['id']}"]
    return {"hook": hook, "hookInstance": str(uuid.uuid4()), "fhirServer": server, "context": context}


def post(folder: Path, settings: dict[str, Any], path: str, body: dict[str, Any]) -> httpx.Response:
    """The call, signed as the registered EHR."""
    address = settings["server"]["base_url"].rstrip("/") + path
    token = sign_call(folder, settings["cds_clients"]["demo-ehr"]["issuer"], address)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return httpx.post(address, content=dump_json(body), headers=headers, timeout=30)


def _told(answer: httpx.Response) -> str:
    """Cards and actions as people read them."""
    if not answer.is_success:
        return f"HTTP {answer.status_code}: {answer.text}\n"
    body = answer.json()
    lines = [] if "cards" in body else [SENT, ""]
    for card in body.get("cards", ()):
        lines += [f"[{card['indicator']}] {card['summary']}", card["detail"], f"card {card['uuid']}"]
        lines += [f"  [{link['label']}] {link['url']}" for link in card.get("links", ())]
        lines += ["  going on anyway: " + ", ".join(item["code"] for item in card.get("overrideReasons", ())), ""]
    lines += [f"system action: {item['description']}" for item in body.get("systemActions", ())]
    return "\n".join(lines or ["No cards."]) + "\n"


def _newest(folder: Path) -> Path | None:
    runs = sorted(folder.glob("run-*"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
    return runs[-1] if runs else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.hook_call", description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, help="folder of the running demonstration")
    parser.add_argument("--scenario", default="week-three-held", help="scenario of the demonstration")
    parser.add_argument(
        "--hook", choices=("order-select", "order-sign"), default="order-sign", help="what the clinician does"
    )
    parser.add_argument(
        "--feedback", metavar="CARD", help="send that this card was overridden; the call before printed its id"
    )
    parser.add_argument(
        "--reason", default="override-other", help="code of the override reason, as the card lists them"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as it came")
    return parser


if __name__ == "__main__":
    sys.exit(main())
