"""Views: read the request, call one service in a transaction, answer; every one of them declares its guard."""

from __future__ import annotations

from flask import Flask

from whatalker.web import accountpages, assets, callbacks, inbox, live, probes, responses


def init_app(app: Flask) -> None:
    responses.init_app(app)
    assets.init_app(app)
    probes.init_app(app)
    callbacks.init_app(app)
    accountpages.init_app(app)
    app.register_blueprint(inbox.blueprint)
    live.init_app(app)
