"""What matters now, on one page; its one rule: every number leads to the rows it counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import url_for
from flask_admin import AdminIndexView, expose
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from whatalker import access, security
from whatalker import models as m
from whatalker.access import Actor, Permission, can, count_up_to, visible
from whatalker.admin.base import Page
from whatalker.admin.words import QUALITY_WORDS, READS, STATE_WORDS
from whatalker.db import session


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, counted no further than 99, what it counts and where those are."""

    count: int
    label: str
    url: str
    tone: str = "calm"

    @property
    def text(self) -> str:
        return "99+" if self.count >= 100 else str(self.count)


class Home(Page, AdminIndexView):  # type: ignore[misc]
    permission = Permission.ADMIN_OPEN
    title = _l("Home")
    group = ""
    address = "home"

    def __init__(self) -> None:
        AdminIndexView.__init__(self, name=self.title)

    @expose("/")
    def index(self) -> Any:
        actor = security.actor()
        numbers = self._numbers(actor)
        return self.render(
            "screens/home.html", figures=[*self._work(actor), *self._provider(actor)], numbers=numbers,
            no_number=not numbers and can(actor, Permission.CHANNEL_ACCOUNT_UPDATE),
            state_words=STATE_WORDS, quality_words=QUALITY_WORDS,
            may_connect=can(actor, Permission.CHANNEL_ACCOUNT_UPDATE) and actor.kind != "staff",
        )  # fmt: skip

    def _work(self, actor: Actor) -> list[Figure]:
        if not actor.permissions & READS:
            return []
        c = m.Conversation
        mine = visible(actor, c).where(c.status == "open")
        failed = count_up_to(mine.where(c.failed_at.is_not(None)))
        where = partial(url_for, "admin_conversations.index_view", status="open")
        return [
            Figure(count_up_to(mine), _("open conversations"), where()),
            Figure(
                count_up_to(mine.where(c.assignee_id.is_(None))), _("open and taken by nobody"), where(needs="taking")
            ),
            Figure(failed, _("open with a message that failed"), where(needs="repair"), "bad" if failed else "calm"),
        ]

    def _numbers(self, actor: Actor) -> list[m.ChannelAccount]:
        if not can(actor, Permission.CHANNEL_ACCOUNT_READ):
            return []
        a = m.ChannelAccount
        # The ones that need somebody come first.
        return list(session.scalars(visible(actor, a).order_by((a.state == "active"), a.name, a.id).limit(12)))

    def _provider(self, actor: Actor) -> list[Figure]:
        if not can(actor, Permission.WEBHOOK_READ):
            return []
        calls = access.visible(actor, m.WebhookCall)
        figures = []
        for state, label in (
            ("waiting", _("webhook calls waiting")),
            ("unreadable", _("webhook calls nobody could read")),
            ("unrouted", _("webhook calls for a number nobody has connected")),
        ):
            count = count_up_to(calls.where(m.WebhookCall.state == state))
            tone = "bad" if count and state != "waiting" else "calm"
            figures.append(Figure(count, label, url_for("admin_webhook_calls.index_view", state=state), tone))
        return figures
