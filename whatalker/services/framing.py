"""What stands around every pane: colleagues, teams, labels, numbers and what stops sending; its one rule: one statement for all of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, and_, case, cast, func, literal, select

from whatalker import models as m
from whatalker.access import Actor, visible
from whatalker.db import now, session


@dataclass(frozen=True, slots=True)
class Colleague:
    id: uuid.UUID
    name: str
    active: bool
    """False: left; their name stays on what they did."""


@dataclass(frozen=True, slots=True)
class Label:
    id: uuid.UUID
    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class Number:
    id: uuid.UUID
    name: str
    display_number: str
    business_id: str
    state: str
    state_reason: str
    quality: str
    messaging_limit: str

    @property
    def sends(self) -> bool:
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class Frame:
    organization: str
    standing: str
    standing_reason: str
    standing_until: datetime | None
    time_zone: str
    people: dict[uuid.UUID, Colleague]
    teams: dict[uuid.UUID, str]
    labels: dict[uuid.UUID, Label]
    numbers: dict[uuid.UUID, Number]
    counts: dict[str, int] = field(default_factory=dict)
    """What the caller asked to be counted along the way."""

    def name_of(self, user_id: uuid.UUID | None) -> str:
        """Empty for nobody and for somebody who is no colleague any more."""
        person = self.people.get(user_id) if user_id else None
        return person.name if person else ""

    @property
    def colleagues(self) -> list[Colleague]:
        """Those who still work here, by name."""
        return sorted((one for one in self.people.values() if one.active), key=lambda one: one.name.lower())


def frame(actor: Actor, counting: Mapping[str, Any] | None = None) -> Frame:
    """Everything the panes name by id, and what `counting` adds (name: scalar subquery), read by one statement."""
    people = (
        visible(actor, m.Membership).join(m.User, m.User.id == m.Membership.user_id)
        .with_only_columns(m.User.id, func.coalesce(func.nullif(m.User.name, ""), m.User.email).label("name"),
                           and_(m.Membership.active, m.User.active).label("active"))
    )  # fmt: skip
    teams = visible(actor, m.Team).with_only_columns(m.Team.id, m.Team.name).order_by(m.Team.name)
    labels = visible(actor, m.Label).with_only_columns(m.Label.id, m.Label.name, m.Label.colour).order_by(m.Label.name)
    account = m.ChannelAccount
    numbers = visible(actor, account).with_only_columns(
        account.id, account.name, account.display_number, account.business_id, account.state, account.state_reason,
        account.quality, account.messaging_limit,
    ).order_by(account.name)  # fmt: skip
    organization = m.Organization
    row = session.execute(
        visible(actor, organization).where(organization.id == actor.organization_id).with_only_columns(
            organization.name, _standing(), organization.standing_reason, organization.standing_until,
            organization.time_zone, _rows(people).label("people"), _rows(teams).label("teams"),
            _rows(labels).label("labels"), _rows(numbers).label("numbers"),
            *[query.label(f"count_{name}") for name, query in (counting or {}).items()],
        )
    ).one()  # fmt: skip
    return Frame(
        organization=row.name, standing=row.standing, standing_reason=row.standing_reason,
        standing_until=row.standing_until, time_zone=row.time_zone,
        people={one.id: one for one in (Colleague(**_with_id(each)) for each in row.people)},
        teams={uuid.UUID(each["id"]): each["name"] for each in row.teams},
        labels={one.id: one for one in (Label(**_with_id(each)) for each in row.labels)},
        numbers={one.id: one for one in (Number(**_with_id(each)) for each in row.numbers)},
        counts={name: getattr(row, f"count_{name}") for name in counting or {}},
    )  # fmt: skip


def _standing() -> Any:
    """A suspension whose end has passed is over, whether or not somebody has written it down yet."""
    organization = m.Organization
    over = and_(organization.standing == "suspended", organization.standing_until <= now())
    return case((over, literal("active")), else_=organization.standing).label("standing")


def _rows(query: Any) -> Any:
    part = query.subquery()
    every = func.coalesce(func.json_agg(func.row_to_json(part.table_valued())), cast(literal("[]"), JSON))
    return select(every).select_from(part).scalar_subquery()


def _with_id(values: dict[str, Any]) -> dict[str, Any]:
    return values | {"id": uuid.UUID(values["id"])}
