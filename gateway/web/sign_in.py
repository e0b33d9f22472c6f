"""Signing in and out. What went wrong is never said: a name that does not exist reads like a wrong password."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from gateway.errors import Busy
from gateway.logs import get_logger
from gateway.web import passwords, sessions
from gateway.web.page import Page
from gateway.web.safety import local_path

FAILED = "User name and password do not fit together. Try again, or ask whoever runs the gateway."


def show(page: Page) -> Response:
    """The sign-in form."""
    wanted = local_path(page.query("next") or "/")
    return page.go(wanted) if page.visitor else _form(page, wanted)


def enter(page: Page) -> Response:
    """Check the password and open a session under a new id."""
    wanted, user = local_path(page.form.one("next") or "/"), page.form.one("user").strip()
    try:
        fits = passwords.check(page.services, page.request.app.state.brake, user, page.form.one("password"))
    except Busy as error:
        return _form(page, wanted, user, error.diagnostics(), 429)
    get_logger().info("sign-in", status="ok" if fits else "refused")
    if not fits:
        return _form(page, wanted, user, FAILED, 401)
    sessions.end(page.services, page.request.cookies.get(sessions.cookie_name(page.services), ""))
    response = page.go(wanted)
    response.set_cookie(
        sessions.cookie_name(page.services),
        sessions.begin(page.services, user),
        httponly=True,
        secure=sessions.is_https(page.services),
        samesite="lax",
        path="/",
    )
    return response


def leave(page: Page) -> Response:
    """End the session."""
    name = sessions.cookie_name(page.services)
    sessions.end(page.services, page.request.cookies.get(name, ""))
    response = page.go("/sign-in")
    response.delete_cookie(name, path="/", httponly=True, secure=sessions.is_https(page.services), samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _form(page: Page, wanted: str, user: str = "", error: str = "", status: int = 200) -> Response:
    action = "/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='/')}"
    return page.show("sign_in.html", status, wanted=wanted, user=user, error=error, action=action)
