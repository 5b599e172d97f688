"""A person who signs in, their memberships, custom roles and sessions; one person may belong to several organizations."""

from __future__ import annotations

import uuid
from datetime import datetime

from flask_security import AsaList, UserMixin
from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, SmallInteger, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.ext.mutable import MutableList
from sqlalchemy.orm import Mapped, mapped_column, relationship

from whatalker.db import Model, now, primary_id
from whatalker.models.organization import OfOrganization, reference

STAFF_ROLES = ("platform_admin", "back_office", "compliance_officer")
ORGANIZATION_ROLES = ("owner", "admin", "team_lead", "agent", "developer", "viewer")


class User(UserMixin, Model):  # type: ignore[misc]
    """Global: a person signs in before any organization is chosen. Once one is, its policy shows only its members."""

    __tablename__ = "user_account"
    __table_args__ = (CheckConstraint(f"staff_role in {STAFF_ROLES}", name="staff_role"),)

    id: Mapped[uuid.UUID] = primary_id()  # type: ignore[assignment]
    email: Mapped[str] = mapped_column(CITEXT, unique=True)
    name: Mapped[str] = mapped_column(String(120), default="")
    staff_role: Mapped[str | None] = mapped_column(String(24))
    """The provider's own people; empty for everyone else."""
    language: Mapped[str] = mapped_column(String(8), default="en")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    enter_sends: Mapped[bool] = mapped_column(default=True)
    """False: Enter makes a new line and Ctrl+Enter sends."""
    created_at: Mapped[datetime] = mapped_column(default=now)

    # What Flask-Security reads and writes.
    password: Mapped[str | None] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(default=True)
    fs_uniquifier: Mapped[str] = mapped_column(String(64), unique=True)
    confirmed_at: Mapped[datetime | None]
    tf_primary_method: Mapped[str | None] = mapped_column(String(64))
    tf_totp_secret: Mapped[str | None] = mapped_column(String(255))
    mf_recovery_codes: Mapped[list[str] | None] = mapped_column(MutableList.as_mutable(AsaList()))
    failed_sign_ins: Mapped[int] = mapped_column(SmallInteger, default=0)
    """Wrong passwords in a row; a right one, or the end of the lock, sets it to 0."""
    locked_until: Mapped[datetime | None]

    def __str__(self) -> str:
        return self.name or self.email

    def check_tf_required(
        self, tf_setup_methods: list[tuple[str, str]], tf_fresh: bool
    ) -> tuple[bool, list[tuple[str, str]]]:
        """Flask-Security asks after the password was right: a second step for staff always, for others once they set one up."""
        return self.check_tf_required_setup() or bool(tf_setup_methods), tf_setup_methods

    def check_tf_required_setup(self) -> bool:
        """The provider's own people cannot do without a second factor."""
        return self.staff_role is not None

    def is_locked(self, form_error: list[str] | None = None) -> bool:
        """Too many wrong passwords in a row; what the person reads is the same as for a wrong one."""
        if self.locked_until is None or self.locked_until <= now():
            return False
        if form_error is not None:
            form_error.append("")
        return True


class Role(OfOrganization, Model):
    """A custom role: a name for permissions from the closed list in access.py, at a rank."""

    __tablename__ = "role"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    name: Mapped[str] = mapped_column(String(80))
    rank: Mapped[int] = mapped_column(SmallInteger)
    """Nobody grants a role whose rank is above their own."""
    permissions: Mapped[list[str]] = mapped_column(ARRAY(String), default=list)

    def __str__(self) -> str:
        return self.name


class Membership(OfOrganization, Model):
    """What a person is in an organization: one of the built-in roles, or a custom one."""

    __tablename__ = "membership"
    __table_args__ = (
        reference("role_id", "role"),
        UniqueConstraint("organization_id", "user_id"),
        CheckConstraint("(role is null) <> (role_id is null)", name="one_role"),
        CheckConstraint(f"role in {ORGANIZATION_ROLES}", name="role"),
        Index(None, "user_id"),
    )

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user_account.id"))
    role: Mapped[str | None] = mapped_column(String(24))
    role_id: Mapped[uuid.UUID | None]
    active: Mapped[bool] = mapped_column(default=True)
    """False: may no longer enter; what they did stays theirs."""
    created_at: Mapped[datetime] = mapped_column(default=now)

    user: Mapped[User] = relationship(lazy="raise")
    custom_role: Mapped[Role | None] = relationship(lazy="raise", overlaps="organization_id")


class UserSession(Model):
    """A signed-in browser, checked on every request, so that a stolen cookie ends when the person says so. Global like User."""

    __tablename__ = "user_session"
    __table_args__ = (Index(None, "user_id", "revoked_at"),)

    id: Mapped[uuid.UUID] = primary_id()
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the random token in the cookie; the token itself is stored nowhere."""
    organization_id_chosen: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("organization.id"))
    """The organization this browser is looking at."""
    reason: Mapped[str] = mapped_column(default="")
    """Why the provider's own person is reading across organizations; empty: they are not."""
    reason_until: Mapped[datetime | None]
    ip: Mapped[str] = mapped_column(String(45), default="")
    agent: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]
