"""Measures of a period for systems that keep their own boards: JSON, or CSV where that is asked for."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from gateway.api.doors import CallerDep, ServicesDep, answer
from gateway.flows.measures import MOST_ON_A_PAGE, read_measures
from gateway.flows.measures_output import as_csv, as_json

router = APIRouter(tags=["measures"])
CSV = "text/csv"


@router.get("/measures", operation_id="readMeasures", response_class=Response)
def get_measures(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    start: Annotated[date | None, Query(alias="from", description="First local day; 90 days in all without.")] = None,
    end: Annotated[date | None, Query(alias="to", description="Last local day; today without.")] = None,
) -> Response:
    """Denials, time, completeness, conservative care and exceptions of a period; numbers of 1 to 10 are hidden.

    JSON, or CSV with `Accept: text/csv`. Needs the staff, clinician, auditor or administrator role.
    """
    sheet = read_measures(services, caller, start, end, most=MOST_ON_A_PAGE)
    if CSV in request.headers.get("accept", ""):
        headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="measures.csv"'}
        return Response(as_csv(sheet), 200, headers, f"{CSV}; charset=utf-8")
    return answer(as_json(sheet))
