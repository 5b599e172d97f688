"""Why each message was or was not allowed to leave; the trace is computed again from the stored facts, and compared by its hash."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l

from whatalker import models as m
from whatalker import phones
from whatalker.access import Actor, Permission
from whatalker.admin import cells
from whatalker.admin.base import Screen
from whatalker.admin.keysets import Order
from whatalker.admin.words import READS, VERDICT_TONES, VERDICT_WORDS
from whatalker.services import reading

D = m.SendDecision


def masked_facts(view: Any, context: Any, row: m.SendDecision, name: str) -> Any:
    """The facts, with whom it was for masked: the stored ones are whole, and so is the hash over them."""
    hidden = {
        key: phones.masked(str(value))
        for key, value in row.facts.items()
        if key.startswith("recipient") and isinstance(value, str)
    }
    return cells.structure(view, row.facts | hidden, name)


class Decisions(Screen):
    of = D
    permission = Permission.DECISION_READ
    title, group, address = _l("Decisions"), "work", "decisions"
    intro = _l("The answer to “may this be sent?”, stored for every send, with everything it was based on.")
    empty = _l("No decision yet. One is stored for every message that someone asks to send.")
    order = Order((D.decided_at, D.id), descending=True)
    choices = {"verdict": (_l("Verdict"), tuple(VERDICT_WORDS.items()))}
    within = {"message": D.message_id}
    column_list = ("verdict", "code", "sentence", "message_id", "decided_at")
    column_details_list = (
        "verdict", "code", "sentence", "not_before", "message_id", "decided_at", "engine_version", "trace_hash", "facts", "id",
    )  # fmt: skip
    column_labels = {
        "verdict": _l("Verdict"), "code": _l("Code"), "sentence": _l("In words"), "message_id": _l("Message"),
        "decided_at": _l("Decided"), "not_before": _l("Ask again at"), "engine_version": _l("Engine version"),
        "trace_hash": _l("Hash of the trace"), "facts": _l("Facts"), "id": _l("Id"),
    }  # fmt: skip
    column_formatters = {
        "verdict": cells.badge(VERDICT_WORDS, VERDICT_TONES), "sentence": cells.long_text(100),
    }  # fmt: skip
    column_formatters_detail = {"verdict": column_formatters["verdict"], "facts": masked_facts}
    details_template = "screens/decision.html"
    export_permission = Permission.AUDIT_READ

    def heading(self, row: Any) -> str:
        return str(VERDICT_WORDS.get(row.verdict, row.verdict))

    def details(self, actor: Actor, row: Any) -> dict[str, Any]:
        try:
            again = reading.explained(row)
        except (KeyError, TypeError, ValueError):
            again = None  # facts of another engine, or a tampered record: shown as such
        same = again is not None and again.trace_hash == row.trace_hash
        return {"again": again, "same": same, "words": VERDICT_WORDS, "tones": VERDICT_TONES,
                "may_read": bool(actor.permissions & READS)}  # fmt: skip
