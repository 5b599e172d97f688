"""Our style sheets and scripts, and htmx from its package; its one rule: an address names the content, so it may be kept for ever."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, current_app, send_file, url_for
from flask_babel import get_locale

from whatalker.security import public

FOLDER = Path(__file__).parent / "static"
PACKAGED = {
    "htmx.js": "htmx/htmx.min.js",
    "htmx-sse.js": "htmx/ext/sse.js",
}
"""Our name, and the file in the package that carries htmx: nothing of it is copied into the project."""

A_YEAR = 31_536_000
pages = Blueprint("assets", __name__, template_folder="templates")


def init_app(app: Flask) -> None:
    app.register_blueprint(pages)
    app.jinja_env.globals.update(asset=asset, get_locale=get_locale)


def _path(name: str) -> Path | None:
    if name in PACKAGED:
        return Path(str(files("js_lib_htmx"))) / "static" / PACKAGED[name]
    path = (FOLDER / name).resolve()
    return path if path.is_relative_to(FOLDER) and path.is_file() else None


@cache
def _version(path: Path, changed_at: float) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def asset(name: str) -> str:
    """The address of a file of web/static, or of a packaged one, as it is now."""
    path = _path(name)
    if path is None:
        raise FileNotFoundError(f"There is no {name} in web/static, nor in a package we take files from.")
    return url_for("assets.static_file", version=_version(path, path.stat().st_mtime), name=name)


@pages.get("/static/<version>/<path:name>")
@public("style sheets and scripts, the same for everyone")
def static_file(version: str, name: str) -> Response:
    path = _path(name)
    if path is None:
        abort(404)
    response = send_file(path, conditional=True, etag=True, max_age=A_YEAR)
    current = version == _version(path, path.stat().st_mtime)
    # A page that was open while a new version was installed still gets a file, but must not keep it.
    response.headers["Cache-Control"] = f"public, max-age={A_YEAR}, immutable" if current else "no-cache"
    if current_app.debug:
        response.headers["Cache-Control"] = "no-cache"
    return response
