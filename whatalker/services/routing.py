"""Which organization a piece of news belongs to; its one rule: the connected number decides, never anything a message says."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import or_, select

from whatalker import models as m
from whatalker.channels import (
    Incoming,
    News,
    NumberChange,
    Preference,
    TemplateChange,
    Tick,
    Unsupported,
)
from whatalker.db import session
from whatalker.tenancy import across


@dataclass(frozen=True, slots=True)
class Number:
    """A connected number, as much of it as the intake needs."""

    organization_id: uuid.UUID
    id: uuid.UUID
    channel: str
    external_id: str
    business_id: str
    team_id: uuid.UUID | None
    display_number: str


class Numbers:
    """The connected numbers that a batch of news names."""

    def __init__(self, found: Iterable[Number]) -> None:
        self.by_external_id: dict[str, Number] = {}
        self.by_business: dict[str, list[Number]] = {}
        for number in found:
            self.by_external_id[number.external_id] = number
            self.by_business.setdefault(number.business_id, []).append(number)

    def of(self, news: News) -> list[Number]:
        """The number it is about; for news of a whole business account, one number of each organization that has one there."""
        if account := named_account(news):
            number = self.by_external_id.get(account)
            return [number] if number else []
        mine = self.by_business.get(_business(news) or "", [])
        shown = _digits(news.value.get("display_phone_number")) if isinstance(news, NumberChange) else ""
        if shown and (same := [number for number in mine if _digits(number.display_number) == shown]):
            return same
        return list({number.organization_id: number for number in mine}.values())


def find_numbers(channel: str, news: Iterable[News]) -> Numbers:
    """Read across all organizations, by one statement: until it is known whose number it is, there is no organization."""
    accounts: set[str] = set()
    businesses: set[str] = set()
    for each in news:
        if account := named_account(each):
            accounts.add(account)
        elif business := _business(each):
            businesses.add(business)
    if not accounts and not businesses:
        return Numbers(())
    a = m.ChannelAccount
    query = select(
        a.organization_id, a.id, a.channel, a.external_id, a.business_id, a.team_id, a.display_number
    ).where(a.channel == channel, or_(a.external_id.in_(accounts), a.business_id.in_(businesses))).order_by(a.id)  # fmt: skip
    with across("intake: whose number is it"):
        return Numbers([Number(*row) for row in session.execute(query)])


def named_account(news: News) -> str | None:
    if isinstance(news, Incoming | Tick | Preference):
        return news.account
    return news.account if isinstance(news, NumberChange | Unsupported) else None


def _business(news: News) -> str | None:
    return news.business_id if isinstance(news, TemplateChange | NumberChange | Unsupported) else None


def _digits(value: object) -> str:
    return "".join(c for c in value if c.isdigit()) if isinstance(value, str) else ""
