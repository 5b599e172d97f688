"""What the provider says about templates, numbers and accounts; its one rule: all of it is kept, and of two words the newer stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from whatalker import models as m
from whatalker.access import Actor
from whatalker.channels import NumberChange, TemplateChange, Unsupported
from whatalker.db import new_id, now, session
from whatalker.events import Event, publish
from whatalker.queues import DEFAULT, Job, enqueue
from whatalker.services import auditing, connecting
from whatalker.services.batching import run
from whatalker.services.routing import Number

Change = TemplateChange | NumberChange | Unsupported
Item = tuple[Number, Change]

STILL_APPROVED = {"REINSTATED": "APPROVED", "UNPAUSED": "APPROVED", "FLAGGED": "APPROVED"}
"""Words for events after which the template can be sent as before."""

BANNED = "WhatsApp has disabled this business account. See its notices, and appeal in WhatsApp Manager."
REMOVED = "WhatsApp says that this number is no longer connected to us. Connect it again to write."
GONE = frozenset({"ACCOUNT_DELETED", "PARTNER_REMOVED", "PARTNER_APP_UNINSTALLED", "PHONE_NUMBER_REMOVED"})


def apply_changes(actor: Actor, items: Sequence[Item]) -> None:
    """Keep every word as a notice, and change the template or the number it speaks of."""
    if not items:
        return
    fresh = _keep(actor, items)
    ordered = sorted(items, key=lambda item: (item[1].at or now(), item[1].event_key))
    _change_templates(actor, [item for item in ordered if isinstance(item[1], TemplateChange)])  # type: ignore[misc]
    _change_numbers(actor, [item for item in ordered if isinstance(item[1], NumberChange)], fresh)  # type: ignore[misc]


def _keep(actor: Actor, items: Sequence[Item]) -> set[str]:
    """The keys of the notices that are new."""
    moment = now()
    rows = {
        news.event_key: {
            "id": new_id(), "account": number.id if _names_number(news) else None, "event_key": news.event_key[:200],
            "field": _field(news)[:80], "understood": not isinstance(news, Unsupported), "payload": _payload(news),
            "at": news.at or moment,
        }
        for number, news in items
    }  # fmt: skip
    kept = run(
        """insert into account_notice (organization_id, id, channel_account_id, event_key, field, understood, payload, at,
             recorded_at)
           select :organization, r.id, r.account, r.event_key, r.field, r.understood, r.payload, r.at, :now
           from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, account uuid, event_key text, field text,
             understood boolean, payload jsonb, at timestamptz)
           on conflict (organization_id, event_key) do nothing returning event_key""",
        [rows[key] for key in sorted(rows)],
        organization=actor.organization_id,
        now=moment,
    )
    return {key for (key,) in kept}


def _names_number(news: Change) -> bool:
    if isinstance(news, NumberChange):
        return bool(news.account or news.value.get("display_phone_number"))
    return isinstance(news, Unsupported) and news.account is not None


def _field(news: Change) -> str:
    if isinstance(news, TemplateChange):
        return f"template.{news.change}"
    return f"number.{news.change}" if isinstance(news, NumberChange) else news.field or "unknown"


def _payload(news: Change) -> dict[str, Any]:
    if isinstance(news, TemplateChange):
        return {"template": news.name, "language": news.language, "value": news.value, "reason": news.reason,
                "provider_template_id": news.provider_template_id}  # fmt: skip
    return news.value if isinstance(news, NumberChange) else news.payload


def _is_newer(row: m.Template | m.ChannelAccount, what: str, at: datetime, value: str, current: str) -> bool:
    """The provider's clock has whole seconds; of two words in the same one the greater stands, so that order does not matter."""
    before = row.heard.get(what)
    if before is None:
        return True
    second = datetime.fromisoformat(before).replace(microsecond=0)
    return (at.replace(microsecond=0), value) > (second, current)


# ---------------------------------------------------------------- templates


def _change_templates(actor: Actor, items: Sequence[tuple[Number, TemplateChange]]) -> None:
    if not items:
        return
    t = m.Template
    ids = {news.provider_template_id for _number, news in items} - {""}
    rows = session.scalars(
        select(t).where(t.organization_id == actor.organization_id,
                        or_(t.provider_id.in_(ids), t.name.in_({news.name for _number, news in items} - {""})))
        .order_by(t.id).with_for_update().execution_options(populate_existing=True)
    )  # fmt: skip
    templates = list(rows)
    for number, news in items:
        template = _find(templates, news) or _make(actor, number, news, templates)
        if template is not None:
            _change_template(actor, template, news)
    session.flush()


def _find(templates: Sequence[m.Template], news: TemplateChange) -> m.Template | None:
    mine = [template for template in templates if template.business_id == news.business_id]
    by_id = (template for template in mine if news.provider_template_id and template.provider_id == news.provider_template_id)
    by_name = (template for template in mine if (template.name, template.language) == (news.name, news.language))
    return next(by_id, None) or next(by_name, None)


def _make(actor: Actor, number: Number, news: TemplateChange, templates: list[m.Template]) -> m.Template | None:
    """A template we had not heard of; the rest of it is asked for."""
    enqueue(DEFAULT, Job.REFRESH_NUMBER, str(number.organization_id), str(number.id))
    if not news.name or not news.language or len(news.language) > 16:
        return None
    template = m.Template(
        organization_id=actor.organization_id, id=new_id(), business_id=news.business_id, name=news.name,
        provider_id=news.provider_template_id[:64], language=news.language, category="UNKNOWN", status="UNKNOWN",
        status_reason="", quality="UNKNOWN", components=[], heard={}, synced_at=news.at,
    )  # fmt: skip
    session.add(template)
    templates.append(template)
    return template


def _change_template(actor: Actor, template: m.Template, news: TemplateChange) -> None:
    value = news.value if isinstance(news.value, str) else ""
    current = {"status": template.status, "quality": template.quality, "category": template.category}.get(news.change, "")
    if news.change == "status":
        value = STILL_APPROVED.get(value, value)
    if not _is_newer(template, news.change, news.at, value, current):
        return
    if news.change == "status":
        template.status, template.status_reason = value[:24], news.reason or ""
        template.removed_at = news.at if value == "DELETED" else None
    elif news.change == "quality":
        template.quality = value[:16]
    elif news.change == "category":
        template.category = value[:24]
    elif isinstance(news.value, dict):
        template.components = _components(template.components, news.value)
    heard = template.heard | {news.change: news.at.isoformat()}
    changes = {} if template in session.new else auditing.pending_changes(template)
    template.heard = heard
    if changes:
        auditing.record(actor, "template.changed", template, reason=news.reason or "", diff=changes)


def _components(before: Sequence[Any], said: dict[str, Any]) -> list[Any]:
    """The parts with their new words; parts that the news does not name stay."""
    parts = {part.get("type"): dict(part) for part in before if isinstance(part, dict)}
    for type_, name in (("HEADER", "title"), ("BODY", "element"), ("FOOTER", "footer")):
        if isinstance(said.get(name), str) and said[name]:
            parts[type_] = {"type": type_, **({"format": "TEXT"} if type_ == "HEADER" else {}), **parts.get(type_, {}),
                            "text": said[name]}  # fmt: skip
    if isinstance(said.get("buttons"), list):
        parts["BUTTONS"] = {"type": "BUTTONS", "buttons": [
            {name.removeprefix("message_template_button_"): value for name, value in button.items()}
            for button in said["buttons"] if isinstance(button, dict)
        ]}  # fmt: skip
    return [parts[type_] for type_ in ("HEADER", "BODY", "FOOTER", "BUTTONS") if type_ in parts] + [
        part for type_, part in parts.items() if type_ not in ("HEADER", "BODY", "FOOTER", "BUTTONS")
    ]


# ---------------------------------------------------------------- numbers


def _change_numbers(actor: Actor, items: Sequence[tuple[Number, NumberChange]], fresh: set[str]) -> None:
    if not items:
        return
    a = m.ChannelAccount
    rows = list(session.scalars(
        select(a).where(a.organization_id == actor.organization_id,
                        a.business_id.in_({number.business_id for number, _news in items}))
        .order_by(a.id).with_for_update().execution_options(populate_existing=True)
    ))  # fmt: skip
    for number, news in items:
        for account in rows:
            if account.id == number.id or (account.business_id == number.business_id and not _names_number(news)):
                _change_number(actor, account, news, is_fresh=news.event_key in fresh)
    session.flush()


def _change_number(actor: Actor, account: m.ChannelAccount, news: NumberChange, *, is_fresh: bool) -> None:
    value = news.value
    event = _text(value.get("event"))
    if event in ("FLAGGED", "UNFLAGGED"):
        # Unflagged says only that it is no longer red; how good it is, the next refresh tells.
        _set(account, news, "quality", "quality", "RED" if event == "FLAGGED" else "UNKNOWN")
    limit = value.get("current_limit") or value.get("max_daily_conversations_per_business")
    if news.change in ("quality", "limit", "capabilities") and limit:
        _set(account, news, "limit", "messaging_limit", _tier(limit))
    if news.change == "name" and value.get("decision") == "APPROVED" and _text(value.get("requested_verified_name")):
        _set(account, news, "name", "name", _text(value["requested_verified_name"]))
    if event == "THROUGHPUT_UPGRADE":
        account.throughput = 1_000
    changes = auditing.pending_changes(account)
    changes.pop("heard", None)
    if changes:
        auditing.record(actor, "number.changed", account, reason="the provider said so", diff=changes)
    if news.change == "account":
        _apply_ban(actor, account, news, event, is_fresh)
    publish(Event.NUMBER_CHANGED, account.organization_id, channel_account_id=account.id)


def _set(account: m.ChannelAccount, news: NumberChange, what: str, column: str, value: str) -> None:
    longest = {"quality": 16, "messaging_limit": 32, "name": 120}[column]
    if _is_newer(account, what, news.at, value, getattr(account, column)):
        setattr(account, column, value[:longest])
        account.heard = account.heard | {what: news.at.isoformat()}


def _apply_ban(actor: Actor, account: m.ChannelAccount, news: NumberChange, event: str, is_fresh: bool) -> None:
    """Stop what the provider has closed, and let it go on when the provider takes that back; a replayed call changes nothing."""
    info = news.value.get("ban_info")
    ban = _text(info.get("waba_ban_state")) if isinstance(info, dict) else ""
    step: dict[str, Callable[[], object]] = {
        "DISABLE": lambda: connecting.stop_number(account, "", BANNED, actor, whole_account=False),
        "GONE": lambda: connecting.stop_number(account, "", REMOVED, actor, whole_account=False),
        "REINSTATE": lambda: connecting.resume_number(actor, account) if account.state_reason == BANNED else None,
    }
    word = "GONE" if event in GONE else ban
    if word in step and is_fresh and _is_newer(account, "account", news.at, word, ""):
        account.heard = account.heard | {"account": news.at.isoformat()}
        session.flush()
        step[word]()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _tier(value: Any) -> str:
    """The provider's tier; newer news carries the bare number of people."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {250: "TIER_250", 1_000: "TIER_1K", 2_000: "TIER_2K", 10_000: "TIER_10K", 100_000: "TIER_100K"}.get(
            value, "TIER_UNLIMITED" if value < 0 else f"TIER_{value}"
        )
    return _text(value)


