"""The first letter to a person somebody added; its one rule: it leaves after the commit, or not at all."""

from __future__ import annotations

import uuid

from flask_security.recoverable import send_reset_password_instructions
from sqlalchemy import select

from whatalker.db import on_commit, session
from whatalker.models import User


def send_first_letter(user_id: uuid.UUID) -> None:
    """A link under which they choose their password; when it has expired they ask for another at the sign-in page."""
    user = session.scalar(select(User).where(User.id == user_id))
    if user is not None:
        on_commit(lambda: send_reset_password_instructions(user))
