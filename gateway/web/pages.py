"""Staff pages: server-rendered, keyboard usable, under a strict content security policy.

The pages share some addresses with the JSON API (`/cases/{id}`). Which of the two answers is decided by what
is asked for: a browser, which wants HTML or carries the session's cookie, gets a page; a client system, which
carries a token, never does.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from gateway.errors import NotFound
from gateway.web import (
    audit,
    audit_pages,
    care_pages,
    case_actions,
    case_pages,
    exam_pages,
    form_pages,
    instrument_pages,
    measures_pages,
    red_flag_pages,
    sign_in,
    worklist,
)
from gateway.web.page import Handler, Page, endpoint
from gateway.web.passwords import Brake
from gateway.web.rendering import STATIC, static_file
from gateway.web.safety import HEADERS

Line = tuple[str, str, Handler]
OPEN: Sequence[Line] = (
    ("GET", "/sign-in", sign_in.show),
    ("POST", "/sign-in", sign_in.enter),
    ("GET", "/about", audit.about),
    ("GET", "/answer/{token}", instrument_pages.invite),
    ("POST", "/answer/{token}", instrument_pages.answer),
)
"""The only pages without sign-in; help is one of them, so that it is where it always is."""
CLOSED: Sequence[Line] = (
    ("POST", "/sign-out", sign_in.leave),
    ("GET", "/", worklist.show),
    ("POST", "/search", worklist.search),
    ("GET", "/worklist.csv", worklist.export),
    ("GET", "/measures", measures_pages.show),
    ("GET", "/measures.csv", measures_pages.export),
    ("GET", "/audit", audit_pages.show),
    ("POST", "/audit", audit_pages.run),
    ("GET", "/cases/{case_id}", case_pages.overview),
    ("GET", "/cases/{case_id}/timeline", case_pages.timeline),
    ("GET", "/cases/{case_id}/exchange", case_pages.exchange),
    ("GET", "/cases/{case_id}/objects/{digest}", case_pages.show_object),
    ("GET", "/cases/{case_id}/objects/{digest}/raw", case_pages.download),
    ("GET", "/cases/{case_id}/actions/{action}", case_actions.confirm),
    ("POST", "/cases/{case_id}/actions/{action}", case_actions.act),
    ("GET", "/cases/{case_id}/requests/{number}", case_actions.choose_documents),
    ("POST", "/cases/{case_id}/requests/{number}", case_actions.send_documents),
    ("GET", "/cases/{case_id}/forms/{form_id}", form_pages.show),
    ("POST", "/cases/{case_id}/forms/{form_id}", form_pages.save),
    ("GET", "/cases/{case_id}/forms/{form_id}/next", form_pages.confirm_next),
    ("POST", "/cases/{case_id}/forms/{form_id}/next", form_pages.ask_next),
    ("GET", "/cases/{case_id}/forms/{form_id}/complete", form_pages.confirm),
    ("POST", "/cases/{case_id}/forms/{form_id}/complete", form_pages.complete),
    ("GET", "/cases/{case_id}/red-flag", red_flag_pages.choose),
    ("GET", "/cases/{case_id}/red-flag/{slug}", red_flag_pages.show),
    ("POST", "/cases/{case_id}/red-flag/{slug}", red_flag_pages.save),
    ("GET", "/cases/{case_id}/red-flag/{slug}/attest", red_flag_pages.confirm),
    ("POST", "/cases/{case_id}/red-flag/{slug}/attest", red_flag_pages.act),
    ("POST", "/cases/{case_id}/red-flag/{slug}/write", red_flag_pages.write),
    ("GET", "/cases/{case_id}/instruments", instrument_pages.overview),
    ("GET", "/cases/{case_id}/instruments/{slug}", instrument_pages.show),
    ("POST", "/cases/{case_id}/instruments/{slug}", instrument_pages.enter),
    ("POST", "/cases/{case_id}/instruments/{slug}/link", instrument_pages.make_link),
    ("GET", "/cases/{case_id}/neuro-exam", exam_pages.show),
    ("POST", "/cases/{case_id}/neuro-exam", exam_pages.save),
    ("GET", "/cases/{case_id}/neuro-exam/support", exam_pages.support),
    ("POST", "/cases/{case_id}/neuro-exam/support", exam_pages.assert_diagnosis),
    ("POST", "/cases/{case_id}/neuro-exam/write", exam_pages.write),
    ("GET", "/care", care_pages.show_list),
    ("GET", "/cases/{case_id}/timer", care_pages.show_timer),
    ("POST", "/cases/{case_id}/timer", care_pages.start),
    ("POST", "/cases/{case_id}/timer/sign", care_pages.sign),
    ("POST", "/cases/{case_id}/timer/cancel", care_pages.cancel),
    ("POST", "/cases/{case_id}/timer/visits", care_pages.hand_in),
    ("GET", "/cases/{case_id}/timer/visits/{upload_id}", care_pages.show_visits),
    ("POST", "/cases/{case_id}/timer/visits/{upload_id}", care_pages.decide_visits),
    ("GET", "/cases/{case_id}/verify", audit.verify),
    ("GET", "/cases/{case_id}/evidence", audit.download),
)


def install(app: FastAPI) -> None:
    """Add the staff pages to the application, before its other routes. `app.state.services` holds the house."""
    app.state.brake = Brake()
    app.router.routes.insert(0, PageDoor(app))


class PageDoor(BaseRoute):
    """Takes the requests that are for a page and leaves all others to the routes behind it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._routes = [
            *(_route(line, is_open=True) for line in OPEN),
            *(_route(line, is_open=False) for line in CLOSED),
        ]
        self._static = Route("/static/{name}", _static, methods=["GET"])
        self._nothing = Route("/{path:path}", endpoint(_nothing, is_open=True), methods=["GET"])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """FULL for a page and for its files, NONE for everything else."""
        if scope["type"] != "http" or Request(scope).headers.get("authorization"):
            return Match.NONE, {}
        found = self._page(scope)
        if found is not None and (_wants_page(scope) or not self._is_taken(scope)):
            route, child = found
            return Match.FULL, {**child, "page": route.path, "page_route": route}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the page that was found."""
        await scope["page_route"].handle(scope, receive, send)

    def _page(self, scope: Scope) -> tuple[Route, Scope] | None:
        for route in (*self._routes, self._static):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return route, child
        if _wants_page(scope) and not self._is_taken(scope):
            match, child = self._nothing.matches(scope)
            return (self._nothing, child) if match is Match.FULL else None
        return None

    def _is_taken(self, scope: Scope) -> bool:
        """Whether a route that is no page answers this address."""
        others = (route for route in self._app.router.routes if route is not self)
        return any(route.matches(dict(scope))[0] is not Match.NONE for route in others)


def _route(line: Line, *, is_open: bool) -> Route:
    method, path, handler = line
    return Route(path, endpoint(handler, is_open=is_open), methods=[method], include_in_schema=False)


def _wants_page(scope: Scope) -> bool:
    request = Request(scope)
    is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    has_cookie = any(name.endswith("pa-session") for name in request.cookies)
    return is_form or has_cookie or "text/html" in request.headers.get("accept", "")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        return Response(status_code=404, headers=dict(HEADERS))
    headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
    return Response(static_file(name), headers=headers, media_type=STATIC[name])


def _nothing(page: Page) -> Response:
    raise NotFound("There is nothing at this address.")


__all__ = ["CLOSED", "OPEN", "PageDoor", "install"]
