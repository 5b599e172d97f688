"""Which language and time zone a person reads in; its one rule: English is the source, Spanish and Portuguese are complete."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, g, has_request_context, request
from flask_babel import Babel

LANGUAGES = {"en": "English", "es": "Español", "pt": "Português"}

LOCALES = {"en": "en", "es": "es_ES", "pt": "pt_BR"}
"""Whose dates and numbers are shown: also the names under which the libraries ship their own texts; ours are in es and pt."""

TRANSLATIONS = str(Path(__file__).parent / "translations")
"""messages.po: ours, kept by scripts/translate; the others fill gaps in the catalogues of libraries."""


def init_app(app: Flask) -> None:
    app.config.setdefault("BABEL_TRANSLATION_DIRECTORIES", TRANSLATIONS)
    Babel(app, locale_selector=_language, timezone_selector=_time_zone)


def _language() -> str:
    """The person's own choice, else the best of what the browser asks for."""
    if not has_request_context():
        return "en"
    chosen = getattr(g, "language", None) or request.cookies.get("language")
    if chosen not in LANGUAGES:
        chosen = request.accept_languages.best_match(list(LANGUAGES)) or "en"
    return LOCALES[chosen]


def _time_zone() -> str:
    return str(getattr(g, "time_zone", None) or "UTC") if has_request_context() else "UTC"
