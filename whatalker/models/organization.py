"""An organization, the customer whose rows nobody else sees, its teams and its labels; every other row of theirs names it."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, UniqueConstraint
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from whatalker.db import Model, now, primary_id

STANDINGS = ("pending", "active", "suspended", "cancelled")


class Organization(Model):
    __tablename__ = "organization"
    __table_args__ = (CheckConstraint(f"standing in {STANDINGS}", name="standing"),)

    id: Mapped[uuid.UUID] = primary_id()
    name: Mapped[str] = mapped_column(String(120))
    slug: Mapped[str] = mapped_column(CITEXT, unique=True)
    """Short name for commands and addresses; never reused."""
    standing: Mapped[str] = mapped_column(String(16), default="active")
    """Only an active organization sends; a suspended or cancelled one still receives, reads and exports."""
    standing_reason: Mapped[str] = mapped_column(default="")
    """The sentence shown to its people when it may not send."""
    standing_until: Mapped[datetime | None]
    """When a temporary suspension ends; empty: until reviewed."""
    country: Mapped[str] = mapped_column(String(2), default="US")
    """ISO 3166-1 alpha-2; the last resort when a contact's country is not known."""
    language: Mapped[str] = mapped_column(String(8), default="en")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    created_at: Mapped[datetime] = mapped_column(default=now)

    def __str__(self) -> str:
        return self.name


class OfOrganization:
    """Mixin of every row that belongs to an organization: a composite key, so that references cannot cross organizations.

    Foreign-key checks bypass row-level security; the organization in the key is what keeps them inside.
    """

    @declared_attr
    def organization_id(cls) -> Mapped[uuid.UUID]:
        # First in the key: lists of one organization walk it by id, and never see another organization's part of it.
        return mapped_column(ForeignKey("organization.id"), primary_key=True, sort_order=-1)

    id: Mapped[uuid.UUID] = primary_id()


def reference(column: str, table: str, **options: Any) -> ForeignKeyConstraint:
    """A foreign key to another row of the same organization."""
    return ForeignKeyConstraint(["organization_id", column], [f"{table}.organization_id", f"{table}.id"], **options)


class Team(OfOrganization, Model):
    __tablename__ = "team"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    name: Mapped[str] = mapped_column(String(80))

    def __str__(self) -> str:
        return self.name


class TeamMember(OfOrganization, Model):
    __tablename__ = "team_member"
    __table_args__ = (
        reference("team_id", "team", ondelete="CASCADE"),
        reference("membership_id", "membership", ondelete="CASCADE"),
        UniqueConstraint("organization_id", "team_id", "membership_id"),
        Index(None, "organization_id", "membership_id"),
    )

    team_id: Mapped[uuid.UUID]
    membership_id: Mapped[uuid.UUID]


class Label(OfOrganization, Model):
    __tablename__ = "label"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    name: Mapped[str] = mapped_column(String(40))
    colour: Mapped[str] = mapped_column(String(16), default="grey")
    """One of the names of web/static: never the only carrier of meaning."""

    def __str__(self) -> str:
        return self.name


class CannedReply(OfOrganization, Model):
    __tablename__ = "canned_reply"
    __table_args__ = (UniqueConstraint("organization_id", "shortcut"),)

    shortcut: Mapped[str] = mapped_column(String(40))
    """What an agent types after the slash."""
    text: Mapped[str]
    """May name {{contact.name}}, {{agent.name}} and {{organization.name}}; an unresolved name blocks the send."""
    language: Mapped[str] = mapped_column(String(8), default="en")

    def __str__(self) -> str:
        return f"/{self.shortcut}"
