"""Who may ask what: the token, the host names under which we may be addressed, sizes, safe headers."""

import hmac
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from loguru import logger

from helios_agent.config.model import LOOPBACK, Http
from helios_agent.errors import ConfigError

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
SHORTEST_TOKEN = 16
READING = ("GET", "HEAD", "OPTIONS")
LARGEST_BODY_BYTES = 64 * 1024
UPLOADS = ("/api/models/import",)
"""Where a body may be larger, for it is read part by part."""
SIGNED = re.compile(r"/proposals/[^/]+")
"""Where a request needs no token, for its own signature says that it may act."""


def read_token(http: Http) -> str | None:
    """Return the token that acting requests must carry, or None. Raises ConfigError, never showing it."""
    if http.token_file is None:
        return None
    try:
        token = http.token_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"http.token_file: {http.token_file}: cannot be read: {error}") from error
    if len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"http.token_file: {http.token_file}: the token has {len(token)} characters; "
            f"at least {SHORTEST_TOKEN} are needed"
        )
    return token


def guard(
    http: Http, token: str | None
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Return the middleware that looks at who asks before a body is read, and sets safe headers.

    Without the Host check a web page anywhere could reach a server on this machine under a name of its own
    (DNS rebinding); without the Origin check it could make a visitor's browser send requests that act. These
    need the token, if there is one, or a signature, and a body of known and modest size.
    """
    public = urlsplit(str(http.public_url or ""))  # a proxy may pass on another Host than a browser sees
    names = {http.host, *http.hosts, *LOOPBACK, public.hostname}

    def refusal(request: Request) -> Response | None:
        host = _host_name(request.headers.get("host", ""))
        if host not in names and not _is_address(host):
            return problem(421, f"This server is not called {host!r}; see http.hosts.")
        if request.method in READING:
            return None
        path = request.scope["path"]  # which is what is routed, whatever the Host header may say
        origin, own = request.headers.get("origin"), {request.headers.get("host"), public.netloc} - {""}
        if origin is not None and urlsplit(origin).netloc not in own:
            return problem(403, f"Requests from pages of {origin} are not accepted.")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        is_signed = SIGNED.fullmatch(path) is not None
        if token is not None and not (is_signed or hmac.compare_digest(given.encode(), token.encode())):
            needed = "This needs the header «Authorization: Bearer TOKEN»."
            return problem(401, needed, {"www-authenticate": "Bearer"})
        return None if path in UPLOADS else _too_large(request)

    async def middleware(request: Request, following: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            response = refusal(request) or await following(request)
        except Exception:
            logger.exception("{} {} could not be answered", request.method, request.scope["path"])
            response = problem(500, "Helios met with something unforeseen; its log says more.")
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return middleware


def _too_large(request: Request) -> Response | None:
    """Return the refusal of a body that is too large, or may turn out to be."""
    if "transfer-encoding" in request.headers:
        return problem(413, "The body comes without its size; expected the header Content-Length.")
    size = int(request.headers.get("content-length", 0))  # what is no number gets no further than the server
    if size > LARGEST_BODY_BYTES:
        return problem(413, f"The body has {size:,} bytes; expected at most {LARGEST_BODY_BYTES:,}.")
    return None


def problem(
    status: int, detail: str, headers: dict[str, str] | None = None, **further: object
) -> JSONResponse:
    """Return an answer that says what was wrong, as RFC 9457 problem details; `further` are added to them."""
    told = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(
        told | further, status_code=status, headers=headers, media_type="application/problem+json"
    )


def _host_name(host: str) -> str:
    return (urlsplit(f"//{host}").hostname or "") if host else ""


def _is_address(host: str) -> bool:
    """Return whether a host is an IP address: no name, so nobody can point it elsewhere."""
    return re.fullmatch(r"[0-9.]+|[0-9a-f:]+", host) is not None
