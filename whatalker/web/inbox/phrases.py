"""The words and signs of the inbox: windows, ticks, happenings, moments; its one rule: no state is told by colour alone."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import format_date, format_datetime, format_time, get_locale, ngettext, to_user_timezone
from flask_babel import gettext as _

from whatalker import models as m
from whatalker.channels import provider_codes
from whatalker.db import now
from whatalker.policies import verdicts

AMBER, RED = timedelta(hours=4), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The customer service window as its pill says it."""

    state: str
    """open, amber, red, closed or never."""
    text: str
    short: str
    """For the narrow row of the list."""
    expires_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.state in ("open", "amber", "red")


def window_of(conversation: m.Conversation, at: datetime | None = None) -> Window:
    moment, end = at or now(), conversation.window_expires_at
    if end is None:
        text = _("Not yet messaged — template only")
        return Window("never", text, _("Template only"), None)
    left = end - moment
    if left <= timedelta(0):
        return Window("closed", _("Window closed — template only"), _("Template only"), end)
    state = "red" if left <= RED else "amber" if left <= AMBER else "open"
    said = _("%(time)s left", time=duration(left))
    return Window(state, said, said, end)


def duration(left: timedelta) -> str:
    """ "19 h", "3 h 20 min", "42 min", "50 s": as much as a person needs."""
    seconds = max(0, int(left.total_seconds()))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if seconds >= 4 * 3600:
        return _("%(hours)s h", hours=hours)
    if hours:
        return _("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes)
    return _("%(minutes)s min", minutes=minutes) if minutes else _("%(seconds)s s", seconds=seconds)


@dataclass(frozen=True, slots=True)
class Tick:
    """What a bubble says about its own fate."""

    icon: str
    text: str
    tone: str = ""
    """Empty, good, warn or bad."""
    help: str = ""
    """What it means and what to do, where that is not plain."""


def tick_of(message: m.Message) -> Tick | None:
    """None for what came in."""
    if message.direction == "in":
        return None
    says = {
        "queued": _queued, "claimed": _sending, "sending": _sending, "unknown": _unknown, "sent": _sent,
        "delivered": _delivered, "read": _read, "failed": _failed, "blocked": _blocked, "expired": _expired,
    }  # fmt: skip
    return says[message.status](message)


def _queued(message: m.Message) -> Tick:
    if message.hold_reason:
        if message.available_at > now():
            return Tick("hold", _("Held until %(time)s", time=moment(message.available_at)), "warn", message.hold_reason)
        return Tick("hold", _("Held"), "warn", message.hold_reason)
    return Tick("clock", _("Queued"))


def _sending(message: m.Message) -> Tick:
    return Tick("clock", _("Sending"))


def _unknown(message: m.Message) -> Tick:
    return Tick("question", _("Provider did not confirm — checking"), "warn",
                _("It may have arrived. Wait for the answer before you write it again."))  # fmt: skip


def _sent(message: m.Message) -> Tick:
    return Tick("check", _("Sent %(time)s", time=clock(message.sent_at or message.at)))


def _delivered(message: m.Message) -> Tick:
    return Tick("checks", _("Delivered %(time)s", time=clock(message.delivered_at or message.at)))


def _read(message: m.Message) -> Tick:
    return Tick("checks", _("Read %(time)s", time=clock(message.read_at or message.at)), "read")


def _failed(message: m.Message) -> Tick:
    return Tick("failed", _("Failed"), "bad", error_text(message))


def _blocked(message: m.Message) -> Tick:
    return Tick("blocked", _("Not sent"), "bad", verdict_text(message.error_code, message.error_text))


def _expired(message: m.Message) -> Tick:
    if message.error_code == "cancelled":
        return Tick("expired", _("Taken back"), "warn", message.error_text)
    return Tick("expired", _("Too late to send"), "bad",
                message.error_text or _("The last moment it could be sent has passed; nothing reached the contact."))  # fmt: skip


def error_text(message: m.Message) -> str:
    """The catalogue's sentence for the provider's code, in the reader's language; an unknown code shows itself."""
    reference = str(message.id)[-8:]
    fact = provider_codes.explain(_provider(message), message.error_code or None, title=message.error_text, reference=reference)
    return fact.text(language())


def may_retry(message: m.Message) -> bool:
    """Whether sending the same again could help; never while its fate is unknown."""
    if message.status in ("expired", "blocked"):
        return message.error_code not in ("cancelled", "suppressed")
    if message.status != "failed" or not message.error_code:
        return message.status == "failed"
    fact = provider_codes.explain(_provider(message), message.error_code)
    return fact.retry or fact.message == "hold"


def needs_template(message: m.Message) -> bool:
    """Whether it failed because the window is closed: then a template is the way."""
    return message.error_code in ("window_closed", "window_never_opened", "131047") and message.kind != "template"


def _provider(message: m.Message) -> str:
    return "meta"


def verdict_text(code: str, sentence: str) -> str:
    """Why our own rules said no: in the reader's language by its code, else in the words of the decision."""
    return str(verdicts.CODES.get(code) or sentence or code)


# ---------------------------------------------------------------- happenings


def happening(entry: Any, me: uuid.UUID | None) -> str:
    """One line of the thread about the conversation itself."""
    who, diff = entry.actor_name or _("The system"), entry.diff
    after = _after(diff, "assignee")
    sentences = {
        "conversation.taken": lambda: _("%(who)s took this conversation", who=who),
        "conversation.assigned": lambda: _("%(who)s assigned this to %(name)s", who=who, name=after),
        "conversation.unassigned": lambda: _("%(who)s gave this back to the queue", who=who),
        "conversation.moved": lambda: _("%(who)s moved this to %(team)s", who=who, team=_after(diff, "team") or _("everyone")),
        "conversation.resolved": lambda: _("%(who)s resolved this", who=who),
        "conversation.reopened": lambda: _("%(who)s reopened this", who=who),
        "conversation.snoozed": lambda: _("%(who)s snoozed this until %(time)s", who=who, time=_until(diff)),
        "conversation.woken": lambda: _("The snooze ended"),
        "conversation.labelled": lambda: _("%(who)s added the label %(label)s", who=who, label=_after(diff, "label")),
        "conversation.unlabelled": lambda: _("%(who)s removed the label %(label)s", who=who, label=_before(diff, "label")),
    }  # fmt: skip
    said = sentences.get(entry.action)
    if entry.action == "conversation.assigned" and entry.author_id and diff.get("assignee_id", [None, None])[1] == str(entry.author_id):
        return str(_("%(who)s took this conversation", who=who))
    return str(said()) if said else entry.action


def _before(diff: dict[str, Any], name: str) -> str:
    return str((diff.get(name) or ["", ""])[0] or "")


def _after(diff: dict[str, Any], name: str) -> str:
    return str((diff.get(name) or ["", ""])[1] or "")


def _until(diff: dict[str, Any]) -> str:
    try:
        return moment(datetime.fromisoformat(_after(diff, "snoozed_until")))
    except ValueError:
        return ""


# ---------------------------------------------------------------- moments


def language() -> str:
    locale = get_locale()
    return locale.language if locale else "en"


def clock(at: datetime) -> str:
    """10:42"""
    return format_time(at, "short")


def moment(at: datetime) -> str:
    """10:42 today, Mon 07:00 this week, 3 May 07:00 else."""
    here, today = to_user_timezone(at), to_user_timezone(now())
    days = (here.date() - today.date()).days
    if days == 0:
        return clock(at)
    return f"{format_date(at, 'EEE') if abs(days) < 7 else format_date(at, 'd MMM')} {clock(at)}"


def exactly(at: datetime) -> str:
    return format_datetime(at, "long")


def precisely(at: datetime) -> str:
    """Short, with seconds: for the lines of a timeline."""
    return format_datetime(at, "medium")


def row_time(at: datetime) -> str:
    """The time today, "Yesterday", the weekday this week, the date before that."""
    here, today = to_user_timezone(at), to_user_timezone(now())
    days = (today.date() - here.date()).days
    if days <= 0:
        return clock(at)
    if days == 1:
        return _("Yesterday")
    return format_date(at, "EEE") if days < 7 else format_date(at, "d MMM" if here.year == today.year else "d MMM yy")


def day(at: datetime) -> str:
    """The words on the line between two days."""
    here, today = to_user_timezone(at), to_user_timezone(now())
    days = (today.date() - here.date()).days
    if days in (0, 1):
        return _("Today") if days == 0 else _("Yesterday")
    return format_date(at, "EEEE, d MMMM" if here.year == today.year else "d MMMM yyyy")


def local_day(at: datetime) -> Any:
    return to_user_timezone(at).date()


def event_names() -> dict[str, str]:
    """What the lines of a message's timeline are called."""
    return {
        "queued": _("Written"), "decided": _("Checked against the rules"), "sending": _("Handed to the provider"),
        "accepted": _("Accepted by the provider"), "refused": _("Refused by the provider"), "unknown": _("No clear answer"),
        "returned": _("Back in the queue"), "sent": _("Sent"), "delivered": _("Delivered"), "read": _("Read"),
        "failed": _("Failed"), "blocked": _("Stopped by a rule"), "expired": _("Too late"), "cancelled": _("Taken back"),
        "held": _("Held"), "deferred": _("Has to wait"),
    }  # fmt: skip


def rule_names() -> dict[str, str]:
    """What the rules are about, in words."""
    return {
        "standing": _("Your organization and you may send"), "number_state": _("The number may send"),
        "destination": _("There is somebody to send to"), "content_present": _("There is something to read"),
        "window": _("The 24-hour window, or an approved template"), "suppression": _("The contact has not asked us to stop"),
        "pace": _("Not too many at once"), "readable": _("Everything could be checked"),
    }  # fmt: skip


def badge(count: int, most: int = 99) -> str:
    return f"{most}+" if count > most else str(count)


def row_label(name: str, conversation: m.Conversation, window: Window, assignee: str, mine: bool) -> str:
    """What a screen reader says of a row: who, how many unread, how long the window lasts, whose it is."""
    parts = [name]
    if conversation.unread_count:
        parts.append(ngettext("%(num)d unread", "%(num)d unread", conversation.unread_count))
    if window.is_open and window.expires_at:
        parts.append(_("window closes in %(time)s", time=duration(window.expires_at - now())))
    else:
        parts.append(window.text)
    if conversation.failed_at:
        parts.append(_("the last message failed"))
    parts.append(_("assigned to you") if mine else _("assigned to %(name)s", name=assignee) if assignee else _("not assigned"))
    return ", ".join(parts)


def initials(name: str) -> str:
    """Two letters at most; a masked number shows its last digits."""
    words = [word for word in name.split() if word[:1].isalnum()]
    if not words or not words[0][0].isalpha():
        return name[-2:] if name else "?"
    return (words[0][0] + (words[-1][0] if len(words) > 1 and words[-1][0].isalpha() else "")).upper()


def tint(id: uuid.UUID) -> int:
    """One of six quiet colours for an avatar, the same every time."""
    return id.int % 6


def file_size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1_048_576:.1f} MB" if size >= 1_048_576 else f"{max(1, size // 1024)} kB"
