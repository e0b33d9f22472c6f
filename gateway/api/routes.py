"""All doors for machines put on an application."""

from __future__ import annotations

from fastapi import FastAPI

from gateway.api import cases, cds_services, measures, operations, orders, payers
from gateway.api.errors import install_error_handlers
from gateway.api.openapi import describe


def install_api(app: FastAPI) -> None:
    """Add routes, errors, the outermost layer and the API's own description. `app.state.services` holds the house."""
    app.router.redirect_slashes = False  # a redirect would be built from the Host header (security T38)
    install_error_handlers(app)
    for router in (orders.router, cases.router, payers.router, cds_services.router, measures.router, operations.router):
        app.include_router(router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
