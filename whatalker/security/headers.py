"""What every answer says to the browser; its one rule: nothing runs, loads or frames that we did not name.

Scripts and styles need this request's nonce or come from our own static files; a page that must allow more says so with relax().
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.sansio.utils import host_is_trusted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)

PROBES = ("/healthz", "/readyz", "/metrics")

POLICY = {
    "default-src": ("'none'",),
    "script-src": ("'self'",),
    "style-src": ("'self'",),
    "img-src": ("'self'",),
    "media-src": ("'self'",),
    "font-src": ("'self'",),
    "connect-src": ("'self'",),
    "manifest-src": ("'self'",),
    "form-action": ("'self'",),
    "base-uri": ("'none'",),
    "object-src": ("'none'",),
    "frame-src": ("'none'",),
    "frame-ancestors": ("'none'",),
}

FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    "X-Permitted-Cross-Domain-Policies": "none",
}


class PublicAddress:
    """Requests come in as the address people open, whatever the way to us was: links in letters and cookies depend on it.

    Another Host header is refused before anything is made of it. Probes ask by the machine's own name or number; they get the
    public one.
    """

    def __init__(self, application: WSGIApplication, public_url: str, trusted: list[str]) -> None:
        self.application, self.trusted = application, trusted
        self.scheme, self.host = urlsplit(public_url).scheme, urlsplit(public_url).netloc

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self.scheme:
            environ["wsgi.url_scheme"] = self.scheme
        if environ.get("PATH_INFO") in PROBES and self.host:
            environ["HTTP_HOST"] = self.host
        if not host_is_trusted(environ.get("HTTP_HOST", ""), self.trusted):
            log.info("host_refused")
            refusal = Response("This address is not served here.\n", 400, FIXED, content_type="text/plain; charset=utf-8")
            return refusal(environ, start_response)
        return self.application(environ, start_response)


def init_app(app: Flask) -> None:
    app.after_request(_add)
    app.jinja_env.globals["csp_nonce"] = csp_nonce
    inner = app.wsgi_app
    if proxies := int(app.config.get("TRUSTED_PROXIES", 0)):
        inner = ProxyFix(inner, x_for=proxies, x_proto=proxies, x_host=0)  # type: ignore[assignment]
    app.wsgi_app = PublicAddress(inner, app.config["PUBLIC_URL"], app.config["TRUSTED_HOSTS"])  # type: ignore[method-assign]


def csp_nonce() -> str:
    """This request's nonce for script and style tags."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(18)
    return str(g.csp_nonce)


def relax(directive: str, source: str) -> None:
    """Allow one source more in this answer alone."""
    if directive not in POLICY and directive not in ("style-src-attr", "style-src-elem"):
        raise ValueError(f"{directive} is not part of our policy.")
    g.setdefault("csp_more", {}).setdefault(directive, []).append(source)


def policy() -> str:
    allowed = {directive: list(sources) for directive, sources in POLICY.items()}
    if "csp_nonce" in g:
        for directive in ("script-src", "style-src"):
            allowed[directive].append(f"'nonce-{g.csp_nonce}'")
    for directive, sources in g.get("csp_more", {}).items():
        allowed.setdefault(directive, []).extend(sources)
    return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in allowed.items())


def _add(response: Response) -> Response:
    for name, value in FIXED.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", policy())
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
    if "Cache-Control" not in response.headers:
        # Pages hold people's data: neither a shared cache nor the back button of the next person may show them.
        response.headers["Cache-Control"] = "private, no-store"
    response.headers.pop("Server", None)
    return response
