"""Structured logs and the request id; its one rule: no phone number, name, address, text or token is ever written.

One line of JSON an event (in development a readable one), the same for our own events, gunicorn's, RQ's and those of libraries.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from typing import Any

import structlog
from flask import Flask, Response, g, request
from gunicorn.glogging import Logger
from jinja2 import TemplateError
from structlog.types import EventDict, Processor

from whatalker import metrics

HEADER = "X-Request-ID"

_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_PRIVATE = re.compile(
    rf"(?P<uuid>{_UUID})"
    r"|(?P<mail>[^\s@<>'\"=,:;()]+@[^\s@<>'\"=,:;()]+)"
    r"|(?P<message>\bwamid\.[\w+/=-]+)"  # Meta's message ids hold both phone numbers, in base64
    r"|(?P<token>\bBearer\s+\S+|\bEAA\w{8,}|\b[\w-]{40,}\b)"
    r"|(?P<number>\+?\(?\d(?:[\s().\u2010-\u2015/-]{0,2}\d){6,})"
)
_SECRET_KEY = re.compile(
    r"passw|token|secret|authoriz|cookie|credential|api_?key|csrf|signature|e?mail|phone|wa_id|username|profile|recipient"
    r"|(^|_)(text|body|content|payload|subject|to|name|display|caption|filename|query|params|parameters|statement|otp|code_given)$",
    re.IGNORECASE,
)
_OURS = frozenset({"timestamp", "level", "logger", "event", "job", "ms", "status", "pid", "request_id", "route", "error"})
"""Keys that we write ourselves, whose values are numbers, moments or names of code."""
_SPEAKING = (TypeError, AttributeError, NameError, ImportError, NotImplementedError, TemplateError)
"""Errors whose message speaks of code; the message of any other may hold what somebody typed."""


def scrub(text: str) -> str:
    """The text without mail addresses, message ids, tokens and anything that has seven digits or more; UUIDs stay."""
    return _PRIVATE.sub(lambda found: found[0] if found.lastgroup == "uuid" else f"[{found.lastgroup}]", text)


def _clean(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 1_000_000 else "[number]"
    if isinstance(value, Mapping) and depth < 4:
        return {str(key): _value(str(key), inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth < 4:
        return [_clean(inner, depth + 1) for inner in value]
    return scrub(str(value)) if depth < 4 else "[deep]"


def _value(key: str, value: Any, depth: int = 0) -> Any:
    return "[removed]" if _SECRET_KEY.search(key) and value not in (None, "", True, False) else _clean(value, depth)


def take_out_private(logger: Any, method: str, event: EventDict) -> EventDict:
    """The last processor before the writer: nothing that passes it can tell who somebody is."""
    for key, value in event.items():
        if key in ("timestamp", "level"):
            continue
        event[key] = _clean(value) if key in _OURS else _value(key, value)
    return event


def explain_error(logger: Any, method: str, event: EventDict) -> EventDict:
    """A trace as places and kinds of errors; what an error says is left out unless it can only speak of code."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["trace"] = "\n".join(_explained(error))
    return event


def _explained(error: BaseException, depth: int = 0) -> list[str]:
    lines = [
        f"{frame.filename.rsplit('site-packages/', 1)[-1]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-25:]
    ]
    said = f": {error}"[:300] if isinstance(error, _SPEAKING) else ""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    lines.append(f"{type(error).__module__}.{type(error).__qualname__}{f' [{state}]' if state else ''}{said}")
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return (_explained(cause, depth + 1) if cause is not None and depth < 4 else []) + lines


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


class _OwnHandler(logging.StreamHandler[Any]):
    """The one handler that is ours, told by its class so that configuring twice does not write twice.

    It writes to what standard error is at that moment: a server or a test may put another one in its place.
    """

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def configure(readable: bool, level: int = logging.INFO) -> None:
    """Send everything that is logged in this process through the same processors; may be called again."""
    renderer: Any = structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer(sort_keys=True)
    end = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, explain_error, take_out_private, renderer]
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _OwnHandler)]:
        root.removeHandler(handler)
    handler = _OwnHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=end))
    root.addHandler(handler)
    root.setLevel(level)
    # Their lines hold addresses with query strings; ours say the same without.
    for name in ("werkzeug", "gunicorn.access", "aiohttp.access", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)


def init_app(app: Flask) -> None:
    configure(readable=app.config["ENVIRONMENT"] == "development" and sys.stderr.isatty())
    app.before_request(_begin)
    app.after_request(_end)


def _request_id() -> str:
    """The caller's, when it is one and tells nothing; else a new one."""
    given = request.headers.get(HEADER, "")
    if re.fullmatch(r"[\w-]{8,64}", given, re.ASCII) and scrub(given) == given:
        return given
    return str(uuid.uuid4())


def _begin() -> None:
    g.request_id, g.began_at = _request_id(), time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def route() -> str:
    """The address as a pattern, never with its values."""
    return request.url_rule.rule if request.url_rule else "(none)"


def _end(response: Response) -> Response:
    seconds = time.perf_counter() - g.get("began_at", time.perf_counter())
    response.headers[HEADER] = g.get("request_id", "")
    metrics.REQUESTS.labels(request.method, route(), f"{response.status_code // 100}xx").observe(seconds)
    who = g.get("actor")
    structlog.get_logger("whatalker.requests").info(
        "request",
        method=request.method,
        route=route(),
        status=response.status_code,
        ms=round(seconds * 1000, 1),
        user_id=str(who.user_id) if who and who.user_id else None,
        organization_id=str(who.organization_id) if who and who.organization_id else None,
    )
    return response


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's own messages in our format: `--logger-class whatalker.logs.GunicornLogger`; it writes no access log."""

    def setup(self, cfg: Any) -> None:
        configure(readable=False)
        self.error_log.setLevel(self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO))
        self.error_log.propagate = True
        self.error_log.handlers = []
        self.access_log.disabled = True

    def access(self, *args: Any, **kwargs: Any) -> None:
        return None
