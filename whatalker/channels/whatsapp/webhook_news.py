"""A webhook body as a list of news, in its order; one bad part never costs the others, and nothing is dropped in silence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from whatalker.channels import Incoming, News, NumberChange, Preference, TemplateChange, Tick, Unsupported
from whatalker.channels.whatsapp.webhook_cleaning import (
    clean,
    dicts,
    fingerprint,
    identity,
    mapping,
    moment,
    prose,
    word,
)
from whatalker.channels.whatsapp.webhook_messages import read

__all__ = ["parse"]

STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "failed": "failed", "played": "read"}
"""A voice message that was played was also read."""

WINDOW_AHEAD = 10 * 86_400
"""Seconds that the end of a conversation may lie ahead."""


@dataclass(slots=True)
class Source:
    """Where a change came from; `at` is the entry's own moment, else now."""

    business_id: str
    account: str | None
    field: str
    time: Any
    now: float

    def at(self, value: Any = None) -> datetime:
        found = moment(value, self.now) or moment(self.time, self.now)
        return found or datetime.fromtimestamp(self.now, UTC)

    def unsupported(self, item: Any, field: str | None = None) -> Unsupported:
        payload = clean(item) if isinstance(item, dict) else {"raw": clean(item)}
        name = self.field if field is None else field
        stamp = mapping(item).get("timestamp")
        return Unsupported(
            event_key=fingerprint(self.business_id, name, clean(self.time), payload),
            business_id=self.business_id or None,
            account=self.account,
            field=name,
            payload=payload,
            at=moment(stamp, self.now) or moment(self.time, self.now),
        )


def parse(payload: Any) -> list[News]:
    """Never raises, whatever JSON it is given."""
    now = time.time()
    whole = Source("", None, "", None, now)
    if not isinstance(payload, dict) or not isinstance(payload.get("entry"), list):
        return [whole.unsupported(payload)]
    if payload.get("object") != "whatsapp_business_account":
        return [whole.unsupported(payload)]
    news: list[News] = []
    for entry in payload["entry"]:
        if not isinstance(entry, dict) or not isinstance(entry.get("changes"), list):
            news.append(whole.unsupported(entry, "entry"))
            continue
        business_id = identity(entry.get("id")) or ""
        for change in entry["changes"]:
            news += _change(Source(business_id, None, "", entry.get("time"), now), change)
    return news


def _change(source: Source, change: Any) -> list[News]:
    value = mapping(change).get("value")
    source.field = (word(mapping(change).get("field")) or "")[:100]
    if not isinstance(value, dict):
        return [source.unsupported(change)]
    source.account = identity(mapping(value.get("metadata")).get("phone_number_id"))
    reader = FIELDS.get(source.field)
    news = reader(source, value) if reader else []
    return news or [source.unsupported(value)]


def _messages(source: Source, value: dict[str, Any]) -> list[News]:
    people = [person for person in dicts(value.get("contacts")) if isinstance(person, dict)]
    news: list[News] = []
    for raw in dicts(value.get("messages")):
        news += _incoming(source, raw, people)
    for raw in dicts(value.get("statuses")):
        news.append(_tick(source, raw))
    news += _preferences(source, value)
    news += [source.unsupported({"errors": [error]}, "messages.errors") for error in dicts(value.get("errors"))]
    return news


def _echoes(source: Source, value: dict[str, Any]) -> list[News]:
    people = [person for person in dicts(value.get("contacts")) if isinstance(person, dict)]
    news: list[News] = []
    for raw in dicts(value.get("message_echoes")):
        news += _incoming(source, raw, people, from_me=True)
    return news


def _incoming(source: Source, raw: Any, people: list[dict[str, Any]], from_me: bool = False) -> list[News]:
    if not isinstance(raw, dict) or not source.account or raw.get("group_id"):
        return [source.unsupported(raw)]  # a group is no conversation with one person: kept, not answered
    provider_id = identity(raw.get("id"))
    wa_id = identity(raw.get("to" if from_me else "from"))
    user_id = identity(raw.get("to_user_id" if from_me else "from_user_id"))
    person = _person(people, wa_id, user_id)
    wa_id = wa_id or identity(person.get("wa_id")) or ""
    user_id = user_id or identity(person.get("user_id"))
    if not provider_id or not (wa_id or user_id):
        return [source.unsupported(raw)]
    reading = read(raw)
    profile = mapping(person.get("profile"))
    referral = raw.get("referral")
    news: list[News] = [
        Incoming(
            event_key=f"{provider_id}:{reading.kind}",
            account=source.account,
            business_id=source.business_id,
            provider_id=provider_id,
            wa_id=wa_id,
            user_id=user_id,
            profile_name=word(profile.get("name")),
            username=word(profile.get("username")),
            at=source.at(raw.get("timestamp")),
            kind=reading.kind,
            content=reading.content,
            text=reading.text,
            reply_to=reading.reply_to,
            referral=clean(referral) if isinstance(referral, dict) and referral else None,
            from_me=from_me,
        )
    ]
    choice = reading.content.get("marketing") if reading.kind == "system" else None
    if choice in ("stop", "resume"):
        news.append(_preference(source, wa_id, user_id, choice, raw.get("timestamp"), provider_id))
    return news


def _person(people: list[dict[str, Any]], wa_id: str | None, user_id: str | None) -> dict[str, Any]:
    for person in people:
        if (wa_id and identity(person.get("wa_id")) == wa_id) or (
            user_id and identity(person.get("user_id")) == user_id
        ):
            return person
    return people[0] if len(people) == 1 else {}


def _tick(source: Source, raw: Any) -> News:
    if not isinstance(raw, dict) or not source.account:
        return source.unsupported(raw)
    provider_id = identity(raw.get("id"))
    said = raw.get("status")
    status = STATUSES.get(said) if isinstance(said, str) else None
    if not provider_id or status is None or raw.get("type") == "call":
        return source.unsupported(raw)
    error = next((item for item in dicts(raw.get("errors")) if isinstance(item, dict)), None) or {}
    conversation = raw.get("conversation")
    pricing = raw.get("pricing")
    member = identity(raw.get("recipient_participant_id"))
    return Tick(
        event_key=f"{provider_id}:{said}:{member}" if member else f"{provider_id}:{said}",
        account=source.account,
        provider_id=provider_id,
        key=identity(raw.get("biz_opaque_callback_data")),
        status=status,
        at=source.at(raw.get("timestamp")),
        recipient_wa_id=identity(raw.get("recipient_id")),
        recipient_user_id=identity(raw.get("recipient_user_id")),
        error_code=word(error.get("code")) if error else None,
        error_title=(word(error.get("title")) or word(error.get("message"))) if error else None,
        error_details=word(mapping(error.get("error_data")).get("details")) if error else None,
        pricing=clean(pricing) if isinstance(pricing, dict) else None,
        expires_at=moment(conversation.get("expiration_timestamp"), source.now, WINDOW_AHEAD)
        if isinstance(conversation, dict)
        else None,
    )


def _preferences(source: Source, value: dict[str, Any]) -> list[News]:
    news: list[News] = []
    people = [person for person in dicts(value.get("contacts")) if isinstance(person, dict)]
    for raw in dicts(value.get("user_preferences")):
        part = mapping(raw)
        wa_id, user_id = identity(part.get("wa_id")), identity(part.get("user_id"))
        person = _person(people, wa_id, user_id)
        wa_id, user_id = wa_id or identity(person.get("wa_id")), user_id or identity(person.get("user_id"))
        choice, known = part.get("value"), part.get("category") in (None, "marketing_messages")
        if choice in ("stop", "resume") and known and source.account and (wa_id or user_id):
            news.append(_preference(source, wa_id or "", user_id, choice, part.get("timestamp"), None))
        else:
            news.append(source.unsupported(raw))
    return news


def _preference(
    source: Source, wa_id: str, user_id: str | None, choice: str, stamp: Any, provider_id: str | None
) -> Preference:
    return Preference(
        event_key=fingerprint(source.account, "user_preferences", wa_id, user_id, choice, clean(stamp)),
        account=source.account or "",
        wa_id=wa_id,
        user_id=user_id,
        at=source.at(stamp),
        choice=choice,
        provider_id=provider_id,
    )


def _template(change: str) -> Callable[[Source, dict[str, Any]], list[News]]:
    def reader(source: Source, value: dict[str, Any]) -> list[News]:
        template_id, name = identity(value.get("message_template_id")), word(value.get("message_template_name"))
        news_value, reason = TEMPLATE_VALUES[change](value)
        if not source.business_id or not (template_id or name) or not news_value:
            return []
        return [
            TemplateChange(
                event_key=fingerprint(source.business_id, source.field, clean(source.time), clean(value)),
                business_id=source.business_id,
                provider_template_id=template_id or "",
                name=name or "",
                language=word(value.get("message_template_language")) or "",
                change=change,
                value=news_value,
                reason=reason,
                at=source.at(),
            )
        ]

    return reader


def _status_value(value: dict[str, Any]) -> tuple[Any, str | None]:
    reason = word(value.get("reason"))
    said = [reason if reason and reason.upper() != "NONE" else None]
    for name in ("other_info", "rejection_info", "disable_info"):
        said += [prose(item) for item in mapping(value.get(name)).values() if isinstance(item, str)]
    return (word(value.get("event")) or "").upper(), ": ".join(part for part in said if part) or None


def _quality_value(value: dict[str, Any]) -> tuple[Any, str | None]:
    before = word(value.get("previous_quality_score"))
    return (word(value.get("new_quality_score")) or "").upper(), f"previously {before}" if before else None


def _category_value(value: dict[str, Any]) -> tuple[Any, str | None]:
    """`correct_category` announces a change that Meta has not made yet; the value stays what holds now."""
    holds = (word(value.get("new_category")) or "").upper()
    coming, before = word(value.get("correct_category")), word(value.get("previous_category"))
    if coming and coming.upper() != holds:
        return holds, f"announced {coming}"
    return holds, f"previously {before}" if before else None


def _components_value(value: dict[str, Any]) -> tuple[Any, str | None]:
    parts = {name.removeprefix("message_template_"): clean(item) for name, item in value.items()}
    for name in ("id", "name", "language"):
        parts.pop(name, None)
    return parts, None


TEMPLATE_VALUES: dict[str, Callable[[dict[str, Any]], tuple[Any, str | None]]] = {
    "status": _status_value,
    "quality": _quality_value,
    "category": _category_value,
    "components": _components_value,
}


def _number(change: str) -> Callable[[Source, dict[str, Any]], list[News]]:
    def reader(source: Source, value: dict[str, Any]) -> list[News]:
        if not source.business_id or not value:
            return []
        flagged = change == "quality" and value.get("event") not in ("FLAGGED", "UNFLAGGED")
        return [
            NumberChange(
                event_key=fingerprint(source.business_id, source.field, clean(source.time), clean(value)),
                account=source.account or identity(value.get("phone_number_id")),
                business_id=source.business_id,
                change="limit" if flagged else change,
                value=clean(value),
                at=source.at(value.get("timestamp")),
            )
        ]

    return reader


def _each(name: str) -> Callable[[Source, dict[str, Any]], list[News]]:
    def reader(source: Source, value: dict[str, Any]) -> list[News]:
        return [source.unsupported(item) for item in dicts(value.get(name))]

    return reader


FIELDS: dict[str, Callable[[Source, dict[str, Any]], list[News]]] = {
    "messages": _messages,
    "smb_message_echoes": _echoes,
    "user_preferences": _preferences,
    "message_template_status_update": _template("status"),
    "message_template_quality_update": _template("quality"),
    "template_category_update": _template("category"),
    "message_template_components_update": _template("components"),
    "phone_number_quality_update": _number("quality"),
    "phone_number_name_update": _number("name"),
    "account_update": _number("account"),
    "account_review_update": _number("review"),
    "account_alerts": _number("alerts"),
    "business_capability_update": _number("capabilities"),
    "security": _number("security"),
    "account_settings_update": _number("settings"),
    "calls": _each("calls"),
    "group_lifecycle_update": _each("groups"),
    "group_settings_update": _each("groups"),
    "group_participants_update": _each("groups"),
    "group_participant_update": _each("groups"),
    "group_status_update": _each("groups"),
}
"""Every other field (history, flows, smb_app_state_sync, what comes next year) is kept as Unsupported, whole."""
