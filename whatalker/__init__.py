"""WhaTalker: the WhatsApp CRM that can prove every message was allowed. create_app is the list of its parts, in order."""

from __future__ import annotations

from pathlib import Path

from flask import Flask


def create_app(config: str = "config.Config") -> Flask:
    """The application; `config` names a class of config.py, the only place that reads the environment."""
    # Imported here so that `import whatalker.sandbox` and the launcher load nothing of the application.
    from flask_migrate import Migrate

    from whatalker import admin, channels, cli, language, logs, queues, security, vault, web
    from whatalker.db import db

    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config.from_object(config)
    logs.init_app(app)
    vault.init_app(app)
    queues.init_app(app)
    db.init_app(app)
    Migrate(app, db, directory=str(Path(__file__).parent.parent / "migrations"), compare_type=True)
    language.init_app(app)
    channels.init_app(app)
    security.init_app(app)
    web.init_app(app)
    admin.init_app(app)
    cli.init_app(app)
    return app
