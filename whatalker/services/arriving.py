"""Messages that contacts wrote, and echoes of what was answered elsewhere; its one rule: the provider's id makes each of them once."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, tuple_

from whatalker import models as m
from whatalker.access import Actor
from whatalker.channels import Incoming
from whatalker.db import new_id, now, session
from whatalker.events import Event, publish
from whatalker.queues import DEFAULT, Job, enqueue
from whatalker.services import amending, auditing, consenting, contacting, summarizing
from whatalker.services.batching import run
from whatalker.services.recognizing import Known, Person
from whatalker.services.routing import Number
from whatalker.services.summarizing import SILENT

WINDOW = timedelta(hours=24)
"""Free text may be sent for so long after the contact's last message (Meta, customer service window)."""

ENTRY_WINDOW = timedelta(hours=72)
"""The same after a message that came through an advertisement or a page's button (Meta, free entry point)."""

FILES = frozenset({"image", "video", "audio", "document", "sticker"})


@dataclass(slots=True)
class Arrival:
    """One message on its way into its conversation."""

    number: Number
    news: Incoming
    identity: Known
    id: uuid.UUID
    conversation_id: uuid.UUID | None = None

    @property
    def counts(self) -> bool:
        """Whether the contact said something that waits for an answer."""
        return not self.news.from_me and self.news.kind not in SILENT


def store_messages(actor: Actor, items: Sequence[tuple[Number, Incoming]]) -> None:
    """Store all of them in their conversations; what is stored already changes nothing. A fixed number of statements."""
    if not items:
        return
    ordered = sorted(items, key=lambda item: (item[1].at, item[1].event_key))
    identities = contacting.find_or_create(actor, [_person(news) for _number, news in ordered], ordered[0][0].channel)
    # Ids are made in the order the calls came in, so that two messages of the same second stay in that order.
    places = {id(news): new_id() for _number, news in items}
    arrivals = [
        Arrival(number, news, identity, places[id(news)])
        for (number, news), identity in zip(ordered, identities, strict=True)
    ]
    organization_id = ordered[0][0].organization_id
    fresh_threads = _find_threads(actor, arrivals)
    stored = _insert(arrivals)
    _touch_threads(actor, stored)
    _insert_files(stored)
    amended = amending.amend(organization_id, [arrival.id for arrival in stored])
    touched = {arrival.conversation_id for arrival in stored if arrival.conversation_id}
    summarizing.summarize(organization_id, touched | amended)
    consenting.mark_threads(actor, fresh_threads)
    for arrival in stored:
        publish(Event.MESSAGE_RECEIVED, arrival.number.organization_id, conversation_id=arrival.conversation_id)


def _person(news: Incoming) -> Person:
    moved = news.content.get("wa_id") or news.content.get("new_wa_id") if news.kind == "system" else None
    name = "" if news.from_me else (news.profile_name or "")
    return Person(
        wa_id=news.wa_id, user_id=news.user_id, username=news.username, name=name, at=news.at,
        moved_to=moved if isinstance(moved, str) and moved.isdigit() else "",
    )  # fmt: skip


def _find_threads(actor: Actor, arrivals: Sequence[Arrival]) -> list[uuid.UUID]:
    """Give each arrival the thread of its contact with its number; answers those that had to be made."""
    c = m.Conversation
    pairs = {(arrival.number.id, arrival.identity.contact_id): arrival for arrival in arrivals}
    query = select(c.channel_account_id, c.contact_id, c.id).where(
        c.organization_id == actor.organization_id, tuple_(c.channel_account_id, c.contact_id).in_(list(pairs))
    )
    threads: dict[tuple[uuid.UUID, uuid.UUID], uuid.UUID] = {
        (row.channel_account_id, row.contact_id): row.id for row in session.execute(query)
    }
    rows: list[dict[str, Any]] = [
        {"id": new_id(), "contact_id": contact_id, "identity_id": arrival.identity.id, "account": account_id,
         "team_id": arrival.number.team_id, "at": arrival.news.at}
        for (account_id, contact_id), arrival in pairs.items() if (account_id, contact_id) not in threads
    ]  # fmt: skip
    if rows:
        made = run(
            """insert into conversation (organization_id, id, contact_id, identity_id, channel_account_id, team_id, status,
                 unread_count, last_message_at, last_preview, last_direction, created_at)
               select :organization, r.id, r.contact_id, r.identity_id, r.account, r.team_id, 'open', 0, r.at, '', 'in', :now
               from jsonb_to_recordset(cast(:rows as jsonb))
                 as r(id uuid, contact_id uuid, identity_id uuid, account uuid, team_id uuid, at timestamptz)
               on conflict (organization_id, channel_account_id, identity_id) do update set contact_id = excluded.contact_id
               returning channel_account_id, contact_id, id""",
            sorted(rows, key=lambda row: str(row["identity_id"])),
            organization=actor.organization_id,
            now=now(),
        )
        threads |= {(row.channel_account_id, row.contact_id): row.id for row in made}
    for arrival in arrivals:
        arrival.conversation_id = threads[arrival.number.id, arrival.identity.contact_id]
    return [row["id"] for row in rows]


def _insert(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Those that were not there yet."""
    by_id = {arrival.id: arrival for arrival in arrivals}
    stored = run(
        """insert into message (organization_id, id, conversation_id, contact_id, channel_account_id, direction, kind, content,
             text, status, at, created_at, provider_id, reply_to, author_kind, purpose, lane, available_at, hold_reason,
             attempt, error_code, error_text, sent_at)
           select :organization, r.id, r.conversation_id, r.contact_id, r.account, r.direction, r.kind, r.content, r.text,
             r.status, r.at, :now, r.provider_id, r.reply_to, r.author_kind, 'service_reply', 'interactive', :now, '',
             0, '', '', r.sent_at
           from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, conversation_id uuid, contact_id uuid, account uuid,
             direction text, kind text, content jsonb, text text, status text, at timestamptz, provider_id text,
             reply_to text, author_kind text, sent_at timestamptz)
           on conflict (organization_id, channel_account_id, provider_id, kind) do nothing returning id""",
        [_row(arrival) for arrival in arrivals],
        organization=arrivals[0].number.organization_id,
        now=now(),
    )
    return [by_id[id] for (id,) in stored]


def _row(arrival: Arrival) -> dict[str, Any]:
    news, mine = arrival.news, arrival.news.from_me
    content = news.content | ({"referral": news.referral} if news.referral else {}) | ({"from_app": True} if mine else {})
    return {
        "id": arrival.id, "conversation_id": arrival.conversation_id, "contact_id": arrival.identity.contact_id,
        "account": arrival.number.id, "direction": "out" if mine else "in", "kind": news.kind, "content": content,
        "text": news.text, "status": "sent" if mine else "received", "at": news.at, "provider_id": news.provider_id,
        "reply_to": news.reply_to, "author_kind": "agent" if mine else "contact", "sent_at": news.at if mine else None,
    }  # fmt: skip


def _touch_threads(actor: Actor, stored: Sequence[Arrival]) -> None:
    """Unread, window, waiting, the identity that answers go to; a thread that was resolved or snoozed is open again."""
    threads: dict[uuid.UUID, dict[str, Any]] = defaultdict(lambda: {"unread": 0})
    for arrival in stored:
        thread = threads[arrival.conversation_id or uuid.UUID(int=0)]
        at = arrival.news.at
        if not arrival.news.from_me and (at, str(arrival.identity.id)) >= thread.get("newest", (at, "")):
            thread["newest"] = (at, str(arrival.identity.id))
        if arrival.counts:
            thread["unread"] += 1
            thread["last"] = _most(thread.get("last"), at)
            thread["first"] = min(thread.get("first", at), at)
            thread["closes"] = _most(thread.get("closes"), at + (ENTRY_WINDOW if arrival.news.referral else WINDOW))
    if not threads:
        return
    rows = [
        {"id": id, "unread": thread["unread"], "last": thread.get("last"), "first": thread.get("first"),
         "closes": thread.get("closes"), "identity_id": thread.get("newest", (None, None))[1],
         "identity_at": thread.get("newest", (None, None))[0]}
        for id, thread in sorted(threads.items())
    ]  # fmt: skip
    again = _reopened(actor, [row["id"] for row in rows if row["unread"]])
    run(_TOUCH, rows, organization=actor.organization_id)
    auditing.record_many(actor, [
        {"action": "conversation.reopened", "object_type": "conversation", "object_id": str(id),
         "reason": "the contact wrote", "diff": {"status": [status, "open"]}} for id, status in again
    ])  # fmt: skip


_TOUCH = """
update conversation c set
  unread_count = c.unread_count + r.unread,
  last_inbound_at = greatest(c.last_inbound_at, r.last),
  window_expires_at = greatest(c.window_expires_at, r.closes),
  waiting_since = least(c.waiting_since, r.first),
  status = case when r.unread > 0 then 'open' else c.status end,
  snoozed_until = case when r.unread > 0 then null else c.snoozed_until end,
  identity_id = case when r.chosen then r.identity_id else c.identity_id end,
  identity_at = case when r.chosen then r.identity_at else c.identity_at end
from (
  select r.*, r.identity_id is not null and (k.identity_at is null
    or (r.identity_at, r.identity_id) > (k.identity_at, k.identity_id)) as chosen
  from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, unread int, last timestamptz, first timestamptz,
    closes timestamptz, identity_id uuid, identity_at timestamptz)
  join conversation k on k.organization_id = :organization and k.id = r.id) r
where c.organization_id = :organization and c.id = r.id
"""


def _reopened(actor: Actor, ids: Sequence[uuid.UUID]) -> list[tuple[uuid.UUID, str]]:
    c = m.Conversation
    query = select(c.id, c.status).where(
        c.organization_id == actor.organization_id, c.id.in_(ids), or_(c.status == "resolved", c.status == "snoozed")
    )
    return [(id, status) for id, status in session.execute(query)]


def _most(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)


def _insert_files(stored: Sequence[Arrival]) -> None:
    """A row for every file the provider holds for us, wanted; the bell is rung once."""
    rows = [
        {"id": new_id(), "message_id": arrival.id, "kind": arrival.news.kind, "media_id": arrival.news.content["media_id"],
         "filename": str(arrival.news.content.get("filename") or "")[:240],
         "mime_type": str(arrival.news.content.get("mime_type") or "application/octet-stream")[:120]}
        for arrival in stored if arrival.news.kind in FILES and arrival.news.content.get("media_id")
    ]  # fmt: skip
    if rows:
        organization_id = stored[0].number.organization_id
        run(
            """insert into attachment (organization_id, id, message_id, kind, filename, mime_type, provider_media_id, state,
                 error, attempts, available_at, created_at)
               select :organization, r.id, r.message_id, r.kind, r.filename, r.mime_type, r.media_id, 'wanted', '', 0, :now, :now
               from jsonb_to_recordset(cast(:rows as jsonb))
                 as r(id uuid, message_id uuid, kind text, filename text, mime_type text, media_id text)""",
            rows,
            organization=organization_id,
            now=now(),
        )
        enqueue(DEFAULT, Job.FETCH_MEDIA, str(organization_id))


