"""What a contact later did to a message of theirs: edited or deleted it; its one rule: only its own author's word counts, in any order."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import text

from whatalker.db import new_id, now, session
from whatalker.services.batching import run

_FIND = """
select t.id, t.conversation_id, a.id, a.at, a.content ->> 'type', a.provider_id
from message a join message t on t.organization_id = a.organization_id and t.channel_account_id = a.channel_account_id
  and t.provider_id = a.reply_to and t.conversation_id = a.conversation_id and t.direction = a.direction and t.id <> a.id
where a.organization_id = :organization and a.kind = 'system'
  and a.content ->> 'type' in ('message_deleted', 'message_edited') and {}
"""
_NEW_WORDS = _FIND.format("a.id = any (:ids)")
_NEW_TARGETS = _FIND.format("a.reply_to is not null and t.id = any (:ids)")

_DELETE = """
update message t set removed_at = least(t.removed_at, r.at), text = '', content = '{}'
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, at timestamptz)
where t.organization_id = :organization and t.id = r.id
"""

_FORGET_EDITS = """
update message a set text = '', content = a.content - 'content'
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, at timestamptz)
join message t on t.organization_id = :organization and t.id = r.id and t.removed_at is not null
where a.organization_id = t.organization_id and a.channel_account_id = t.channel_account_id and a.reply_to = t.provider_id
  and a.conversation_id = t.conversation_id and a.direction = t.direction and a.kind = 'system'
  and a.content ->> 'type' = 'message_edited'
"""

_FORGET_FILES = """
update attachment f set state = 'gone', error = 'The contact deleted the message.'
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, at timestamptz)
where f.organization_id = :organization and f.message_id = r.id
"""

_EDIT = """
update message t set text = a.text,
  content = t.content || (a.content -> 'content') || jsonb_build_object('edited_at', a.at,
    'original', coalesce(t.content -> 'original', t.content))
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid)
join lateral (
  select e.* from message t2 join message e on e.organization_id = t2.organization_id
    and e.channel_account_id = t2.channel_account_id and e.reply_to = t2.provider_id
    and e.conversation_id = t2.conversation_id and e.direction = t2.direction
    and e.kind = 'system' and e.content ->> 'type' = 'message_edited' and e.content ? 'content'
  where t2.organization_id = :organization and t2.id = r.id
  order by e.at desc, e.provider_id desc limit 1) a on true
where t.organization_id = :organization and t.id = r.id and t.removed_at is null
"""

_TELL = """
insert into message_event (organization_id, id, message_id, event_key, kind, at, recorded_at, data)
select :organization, r.id, r.message_id, r.event_key, r.kind, r.at, :now, '{}'
from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, message_id uuid, event_key text, kind text, at timestamptz)
on conflict (organization_id, event_key) do nothing
"""


def amend(organization_id: uuid.UUID, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Apply what the just stored messages say about others, and what was said about them before they came.

    The newest edit shows, with the first text kept beside it; a deletion empties the text, its edits and its files for good.
    Answers the conversations that look different now.
    """
    if not ids:
        return set()
    here = {"organization": organization_id, "ids": list(ids)}
    found = {*map(tuple, session.execute(text(_NEW_WORDS), here)), *map(tuple, session.execute(text(_NEW_TARGETS), here))}
    if not found:
        return set()
    deleted: dict[uuid.UUID, object] = {}
    for target, _conversation, _id, at, type_, _provider_id in sorted(found, key=lambda row: row[3], reverse=True):
        if type_ == "message_deleted":
            deleted[target] = at  # of several the earliest
    edited = sorted({row[0] for row in found if row[4] == "message_edited"} - set(deleted))
    run(_EDIT, [{"id": id} for id in edited], organization=organization_id)
    gone = [{"id": id, "at": at} for id, at in sorted(deleted.items())]
    run(_DELETE, gone, organization=organization_id)
    run(_FORGET_FILES, gone, organization=organization_id)
    run(_FORGET_EDITS, [*gone, *({"id": id} for id in edited)], organization=organization_id)
    run(
        _TELL,
        [{"id": new_id(), "message_id": target, "event_key": f"{provider_id}:{type_}:{target}", "kind": type_[8:], "at": at}
         for target, _conversation, _id, at, type_, provider_id in found],
        organization=organization_id, now=now(),
    )  # fmt: skip
    return {row[1] for row in found}
