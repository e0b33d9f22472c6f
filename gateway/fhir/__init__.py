"""FHIR as it travels: JSON that keeps its digits, references, Bundles, outcomes.

The room knows nothing of Da Vinci; guide knowledge lives in `gateway.profiles`.
"""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
"""A FHIR resource or element as parsed JSON: str, int, Decimal, bool, None, list, dict."""
