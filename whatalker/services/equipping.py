"""What an organization lays ready for its agents, labels and canned replies; its one rule: a name is used once, whatever its case."""

from __future__ import annotations

import re
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import delete, func

from whatalker import models as m
from whatalker.access import Actor, Permission, require, visible
from whatalker.db import session
from whatalker.errors import Conflict, Invalid
from whatalker.language import LANGUAGES
from whatalker.services import auditing

COLOURS = {
    "grey": _l("Grey"), "blue": _l("Blue"), "green": _l("Green"), "yellow": _l("Yellow"), "orange": _l("Orange"),
    "red": _l("Red"), "purple": _l("Purple"),
}  # fmt: skip
_SHORTCUT = re.compile(r"[\w-]{1,40}")


def create_label(actor: Actor, *, name: str, colour: str = "grey") -> m.Label:
    require(actor, Permission.LABEL_UPDATE)
    label = m.Label(organization_id=actor.organization_id)
    return _save(actor, label, "label.created", name=_label_name(actor, name, None), colour=_known(colour, COLOURS))


def change_label(actor: Actor, label: m.Label, *, name: str, colour: str) -> None:
    require(actor, Permission.LABEL_UPDATE)
    _save(actor, label, "label.changed", name=_label_name(actor, name, label), colour=_known(colour, COLOURS))


def delete_label(actor: Actor, label: m.Label) -> None:
    """Takes it off every conversation as well."""
    require(actor, Permission.LABEL_UPDATE)
    _delete(actor, label, "label.deleted", label.name)


def create_canned_reply(actor: Actor, *, shortcut: str, text: str, language: str = "en") -> m.CannedReply:
    require(actor, Permission.CANNED_REPLY_UPDATE)
    reply = m.CannedReply(organization_id=actor.organization_id)
    return _save(actor, reply, "canned_reply.created", **_reply_values(actor, None, shortcut, text, language))


def change_canned_reply(actor: Actor, reply: m.CannedReply, *, shortcut: str, text: str, language: str) -> None:
    require(actor, Permission.CANNED_REPLY_UPDATE)
    _save(actor, reply, "canned_reply.changed", **_reply_values(actor, reply, shortcut, text, language))


def delete_canned_reply(actor: Actor, reply: m.CannedReply) -> None:
    require(actor, Permission.CANNED_REPLY_UPDATE)
    _delete(actor, reply, "canned_reply.deleted", reply.shortcut)


def _label_name(actor: Actor, name: str, own: m.Label | None) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 40:
        raise Invalid(_("Give the label a name of 1 to 40 characters."), "bad_name")
    _free(actor, m.Label, m.Label.name, name, own, _("There is already a label with this name."))
    return name


def _reply_values(actor: Actor, own: m.CannedReply | None, shortcut: str, text: str, language: str) -> dict[str, str]:
    shortcut = shortcut.strip().removeprefix("/")
    if not _SHORTCUT.fullmatch(shortcut):
        raise Invalid(_("A shortcut is 1 to 40 letters, digits, hyphens or underscores."), "bad_shortcut")
    if not 1 <= len(text.strip()) <= 4096:
        raise Invalid(_("A canned reply has 1 to 4,096 characters."), "bad_text")
    _free(actor, m.CannedReply, m.CannedReply.shortcut, shortcut, own, _("This shortcut is already in use."))
    return {"shortcut": shortcut, "text": text.strip(), "language": _known(language, LANGUAGES)}


def _free(actor: Actor, model: Any, column: Any, value: str, own: Any, sentence: str) -> None:
    query = visible(actor, model).where(func.lower(column) == value.lower())
    if own is not None:
        query = query.where(model.id != own.id)
    if session.scalar(query.limit(1)) is not None:
        raise Conflict(sentence, "name_taken")


def _known(value: str, words: Any) -> str:
    if value not in words:
        raise Invalid(_("Choose one from the list."), "unknown_choice")
    return value


def _save(actor: Actor, row: Any, action: str, **values: str) -> Any:
    for name, value in values.items():
        setattr(row, name, value)
    session.add(row)
    changes = auditing.pending_changes(row)
    if changes or action.endswith("created"):
        session.flush()
        auditing.record(actor, action, row, diff=changes)
    return row


def _delete(actor: Actor, row: Any, action: str, name: str) -> None:
    auditing.record(actor, action, row, diff={"name": [name, None]})
    session.execute(delete(type(row)).where(type(row).organization_id == row.organization_id, type(row).id == row.id))
