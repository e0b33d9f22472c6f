"""One request to a page and how it is answered: who asks, what was posted, what is rendered.

Everything that is the same for all pages stands here, so that a page itself is a plain function from a
`Page` to a response: proof that the request is ours, the session, the form's token, errors as pages, headers.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.errors import AccessError, GatewayError, InputError, TooLarge
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.web import lost, sessions
from gateway.web.rendering import render
from gateway.web.safety import HEADERS, NO_STORE, is_own_request, is_token, local_path
from gateway.web.sessions import Visitor

MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes of a posted form."""
MAX_FIELDS: Final = 5_000
MAX_UPLOAD: Final = 12 * 1024 * 1024
"""Bytes of a posted form that carries files."""
MAX_FILES: Final = 20
SAFE: Final = frozenset({"GET", "HEAD"})
LATER: Final = frozenset({409, 429, 502, 504})
"""Statuses of a page that may show itself a moment later."""
MULTIPART: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that was posted."""

    name: str
    """Its name as the browser gave it, without folders; for people only."""
    media_type: str
    """Media type as the browser gave it, without parameters; believe it only after a look at the bytes."""
    body: bytes = field(repr=False)
    """Its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Fields of a posted form, in their order."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    """Name → values."""
    files: Mapping[str, Sequence[Upload]] = field(default_factory=dict, repr=False)
    """Name → files chosen; a field in which none was chosen is not there."""

    def one(self, name: str) -> str:
        """The first value of a field; empty when it was not sent."""
        return next(iter(self.fields.get(name, ())), "")

    def all(self, name: str) -> tuple[str, ...]:
        """All values of a field."""
        return tuple(self.fields.get(name, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One request to a page."""

    services: Services
    """The opened house."""
    request: Request
    """The request itself; its body was read into `form`."""
    form: Form
    """What was posted."""
    visitor: Visitor | None
    """Who asks; None on the few pages that are open to everybody."""

    @property
    def who(self) -> Visitor:
        """The person who has signed in; AccessError where nobody has."""
        if self.visitor is None:
            raise AccessError("Sign in first.", code="login", status=401)
        return self.visitor

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        """A parameter of the address; empty when it is not there."""
        return self.request.query_params.get(name, "")

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page from a template."""
        shared = {
            "visitor": self.visitor,
            "token": self.visitor.token if self.visitor else "",
            "tenant": self.services.settings.tenant.name,
            "zone": self.services.settings.tenant.practice_zone,
            "now": self.services.clock.now(),
            "is_demonstration": self.services.settings.server.mode == "demonstration",
            "here": self.request.url.path,
        }
        return HTMLResponse(render(template, **shared | values), status)

    def go(self, path: str) -> Response:
        """Send the browser to another of our pages, by GET."""
        return RedirectResponse(path, 303)


Handler = Callable[[Page], Response]


def endpoint(handler: Handler, *, is_open: bool = False) -> Callable[[Request], Awaitable[Response]]:
    """The page as Starlette serves it; `is_open` pages need no sign-in."""

    async def serve(request: Request) -> Response:
        response = await _answer(request, handler, is_open)
        for name, value in {**NO_STORE, **HEADERS}.items():
            response.headers.setdefault(name, value)
        return response

    return serve


async def _answer(request: Request, handler: Handler, is_open: bool) -> Response:
    form = Form()
    try:
        form = await _read_form(request)
        return await run_in_threadpool(_serve, request, form, handler, is_open)
    except GatewayError as error:
        return await run_in_threadpool(show_error, request, error, form)
    except Exception as error:
        get_logger().error("unexpected", error=type(error), route=_route(request))
        return await run_in_threadpool(show_error, request, GatewayError("The gateway failed on this page."))


def _serve(request: Request, form: Form, handler: Handler, is_open: bool) -> Response:
    """Steps: (1) it comes from our own pages; (2) who asks; (3) the form is this session's; (4) the page."""
    services: Services = request.app.state.services
    is_unsafe = request.method not in SAFE
    if is_unsafe and not is_own_request(request.headers, services.settings.server.base_url):  # (1)
        raise AccessError("This request did not come from the gateway's own pages.", code="request.cross-site")
    visitor = _visitor(request, services)  # (2)
    if visitor is None and not is_open:
        return _to_sign_in(request)
    if is_unsafe and visitor is not None and not is_open and not is_token(form.one("token"), visitor.token):  # (3)
        raise AccessError(lost.SENTENCE, code=lost.CODE)
    return handler(Page(services=services, request=request, form=form, visitor=visitor))  # (4)


def _visitor(request: Request, services: Services) -> Visitor | None:
    return sessions.find(services, request.cookies.get(sessions.cookie_name(services), ""))


def _wanted(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _to_sign_in(request: Request) -> Response:
    """To the sign-in page, and afterwards back here where the request only wanted to read."""
    target = local_path(_wanted(request)) if request.method in SAFE else "/"
    return RedirectResponse("/sign-in" if target == "/" else f"/sign-in?next={quote(target, safe='/')}", 303)


async def _read_form(request: Request) -> Form:
    """Fields of a form body. Raises InputError for another kind of body, TooLarge over `MAX_BODY` or `MAX_UPLOAD`."""
    if request.method in SAFE:
        return Form()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    most = MAX_UPLOAD if kind == MULTIPART else MAX_BODY
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge("The form is too long to be taken.")
    if kind == MULTIPART:
        return await _read_parts(request.headers, bytes(body))
    if body and kind != "application/x-www-form-urlencoded":
        raise InputError("A form is expected.", code="body.media-type", status=415)
    return Form(fields=_fields(bytes(body)))


async def _read_parts(headers: Headers, body: bytes) -> Form:
    """A form with files. Raises InputError for one that cannot be read or has too many parts."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = MultiPartParser(headers, once(), max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_BODY)
        found = await parser.parse()
    except (MultiPartException, FormParserError, UnicodeDecodeError, KeyError):
        raise InputError("The form cannot be read.", code="body.form") from None
    fields: dict[str, list[str]] = {}
    files: dict[str, list[Upload]] = {}
    for name, value in found.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
        elif value.filename:
            files.setdefault(name, []).append(await _upload(value))
    await found.close()
    return Form(fields=fields, files=files)


async def _upload(file: UploadFile) -> Upload:
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
    media_type = (file.content_type or "").partition(";")[0].strip().lower()
    return Upload(name=name[:200], media_type=media_type, body=await file.read())


def _fields(body: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise InputError("The form cannot be read.", code="body.form") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return found


def show_error(request: Request, error: GatewayError, form: Form | None = None) -> Response:
    """The error as a page: its sentence, what to do, and a number to find it in the log.

    `form` is what was posted; of a form that came too late the page shows what was typed.
    """
    services: Services = request.app.state.services
    correlation_id = str(uuid.uuid4())
    get_logger().info(
        "request-refused",
        route=_route(request),
        method=request.method,
        status=error.http_status,
        code=error.reason,
        request_id=correlation_id,
    )
    try:
        visitor = _visitor(request, services)
    except GatewayError:
        visitor = None
    page = Page(services=services, request=request, form=Form(), visitor=visitor)
    again = _wanted(request) if request.method in SAFE and error.http_status in LATER else ""
    said: list[tuple[str, str]] = []
    if error.reason == lost.CODE and form is not None:
        again, said = lost.page_of(request.url.path), lost.typed(form)
    response = page.show(
        "error.html", error.http_status, error=error, correlation_id=correlation_id, again=again, typed=said
    )
    if error.http_status == 429:
        response.headers["Retry-After"] = "30"
    return response


def _route(request: Request) -> str:
    """The page's template path, never the path itself."""
    return str(request.scope.get("page", "(none)"))
