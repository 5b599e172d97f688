"""Letters to our own users (a reset link, a notice), never to contacts; its one rule: sending one never makes a request wait.

A letter that is lost because the process ended is asked for again by the person; nothing depends on it having arrived.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from flask import Flask, current_app
from flask_mail import Mail, Message

log = structlog.get_logger(__name__)
mail = Mail()
_postman = ThreadPoolExecutor(max_workers=2, thread_name_prefix="postman")


def init_app(app: Flask) -> None:
    mail.init_app(app)


def post(subject: str, to: str, body: str) -> None:
    """Send a plain text letter; without a mail server it is put into instance/mail as an .eml file instead."""
    letter = Message(subject=subject, recipients=[to], body=body, sender=current_app.config["MAIL_DEFAULT_SENDER"])
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    if app.config["MAIL_SUPPRESS_SEND"]:
        mail.send(letter)  # sends nothing, but tells whoever listens
        if not app.testing:
            _keep(letter, Path(app.config["INSTANCE"]) / "mail")
        return
    _postman.submit(_deliver, app, letter)


def _keep(letter: Message, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{time.time_ns()}.eml").write_bytes(letter.as_bytes())


def _deliver(app: Flask, letter: Message) -> None:
    with app.app_context():
        try:
            mail.send(letter)
        except OSError as error:  # smtplib's errors are OSErrors too
            log.warning("letter_not_sent", error=type(error).__name__)
