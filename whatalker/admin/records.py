"""What was recorded and never changes: the audit, and the provider's calls as they came; to read, not to edit."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy import Select

from whatalker import models as m
from whatalker.access import Actor, Permission
from whatalker.admin import cells
from whatalker.admin.base import Screen
from whatalker.admin.keysets import Order
from whatalker.admin.words import ACTOR_WORDS

A, W = m.AuditEvent, m.WebhookCall


class Audit(Screen):
    of = A
    permission = export_permission = Permission.AUDIT_READ
    title, group, address = _l("Audit"), "settings", "audit"
    intro = _l("Who changed what, when and why. Lines are added and never changed.")
    empty = _l("Nothing has been changed yet.")
    order = Order((A.at, A.id), descending=True)
    choices = {"actor_kind": (_l("Who"), tuple(ACTOR_WORDS.items()))}
    search_hint = _l("Action, such as membership, or the id of a thing")
    column_list = ("action", "actor_name", "actor_kind", "object_type", "reason", "at")
    column_details_list = (
        "action", "actor_name", "actor_kind", "object_type", "object_id", "reason", "at", "request_id", "ip", "id",
    )  # fmt: skip
    column_labels = {
        "action": _l("What"), "actor_name": _l("Who"), "actor_kind": _l("Kind"), "object_type": _l("Thing"),
        "object_id": _l("Id of the thing"), "reason": _l("Reason"), "diff": _l("Before and after"), "at": _l("When"),
        "request_id": _l("Request"), "ip": _l("Address"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {"actor_kind": cells.badge(ACTOR_WORDS, {"staff": "warn"}), "reason": cells.long_text(80)}
    details_template = "screens/audit_line.html"

    def found(self, query: Select[Any], text: str) -> Select[Any]:
        # An id is looked up through the index over things; a word is the beginning of an action.
        if len(text) >= 32:
            return query.where(A.object_id == text)
        return query.where(A.action.istartswith(text, autoescape=True))

    def heading(self, row: Any) -> str:
        return str(row.action)


class WebhookCalls(Screen):
    of = W
    permission = Permission.WEBHOOK_READ
    title, group, address = _l("Webhook calls"), "provider", "webhook_calls"
    intro = _l("What messaging providers sent us, exactly as it came, until and after it was understood.")
    empty = _l("No call yet. The provider calls as soon as a contact writes or a message is delivered.")
    order = Order((W.id,), descending=True)
    choices = {
        "state": (_l("State"), (
            ("waiting", _l("Waiting")), ("claimed", _l("Being read")), ("done", _l("Done")), ("parked", _l("Parked")),
            ("unreadable", _l("Unreadable")), ("unrouted", _l("Nobody's number")),
        )),
    }  # fmt: skip
    column_list = ("provider", "state", "attempts", "note", "size", "received_at")
    column_details_list = (
        "provider", "state", "note", "attempts", "size", "received_at", "available_at", "finished_at", "id",
    )  # fmt: skip
    column_labels = {
        "provider": _l("Provider"), "state": _l("State"), "attempts": _l("Attempts"), "note": _l("What was wanting"),
        "size": _l("Bytes"), "received_at": _l("Received"), "available_at": _l("Looked at again"),
        "finished_at": _l("Finished"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {
        "size": lambda view, context, row, name: len(row.body), "note": cells.long_text(80),
        "state": lambda view, context, row, name: dict(WebhookCalls.choices["state"][1]).get(row.state, row.state),
    }  # fmt: skip

    def heading(self, row: Any) -> str:
        return f"{row.provider} · {row.id.hex[-8:]}"

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        # The body holds what contacts wrote; it stays closed to the provider's people until break-glass exists.
        return {}
