"""The blueprint all views of the inbox belong to; its one rule: it holds nothing else, so that they can all import it."""

from __future__ import annotations

from flask import Blueprint

blueprint = Blueprint("inbox", __name__)
