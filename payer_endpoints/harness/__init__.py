"""Simulated payers for tests and demonstrations. Everything here is a fake and says so.

They read the guides a second time, on their own: this room imports nothing of the gateway but its FHIR JSON reader, so
a misread url or rule cannot be wrong on both sides and pass. They check what they receive strictly, answer as scenario
files say, break on request, and keep a ledger of what arrived and how often.
"""

from payer_endpoints.harness.app import Harness, create_harness_app
from payer_endpoints.harness.config import PAYERS, HarnessConfig, Payer
from payer_endpoints.harness.server import serve

__all__ = ["PAYERS", "Harness", "HarnessConfig", "Payer", "create_harness_app", "serve"]
