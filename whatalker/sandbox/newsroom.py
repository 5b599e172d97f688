"""News of the provider that are not messages: templates, numbers, the account; the sandbox's own state follows them."""

import time
from collections.abc import Callable
from typing import Any

from .emulator import Emulator
from .envelopes import Number, template_value
from .refusals import GraphError
from .utterances import number_of

News = dict[str, Any]


def tell(emulator: Emulator, body: News) -> str:
    """Send one piece of news; the webhook's field is answered. Raises ValueError with a sentence."""
    kind = body.get("kind")
    if kind not in KINDS:
        raise ValueError(f'"kind" must be one of {", ".join(KINDS)}.')
    number = number_of(emulator, body)
    field, value = KINDS[kind](emulator, number, body)
    emulator.post(number.waba_id, field, value)
    return field


def _template(emulator: Emulator, number: Number, body: News) -> News:
    try:
        return emulator.templates.named(number.waba_id, str(body.get("name")), body.get("language"))
    except GraphError as error:
        raise ValueError(error.message) from None


def _template_status(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    template = _template(emulator, number, body)
    event = str(body.get("status", "PAUSED")).upper()
    template["status"] = {"REINSTATED": "APPROVED", "FLAGGED": "APPROVED"}.get(event, event)
    more: News = {"message_template_category": template["category"]}
    if event == "PAUSED":
        more["other_info"] = {
            "title": "FIRST_PAUSE",
            "description": "Your template was paused for 3 hours: its quality is low.",
        }
    if event == "REJECTED":
        template["rejected_reason"] = str(body.get("reason", "NONE"))
    return "message_template_status_update", template_value(
        template, event=event, reason=str(body.get("reason", "NONE")), **more
    )


def _template_quality(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    template = _template(emulator, number, body)
    before, template["quality"] = template["quality"], str(body.get("quality", "YELLOW")).upper()
    template["quality_at"] = int(time.time())
    value = {"previous_quality_score": before, "new_quality_score": template["quality"]}
    return "message_template_quality_update", template_value(template, **value)


def _template_category(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    template = _template(emulator, number, body)
    before, template["category"] = template["category"], str(body.get("category", "MARKETING")).upper()
    template["previous_category"] = before
    return "template_category_update", template_value(
        template, previous_category=before, new_category=template["category"]
    )


def _template_components(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    template = _template(emulator, number, body)
    by_type = {one["type"]: one for one in template["components"]}
    value = {"message_template_element": by_type["BODY"]["text"]}
    if "HEADER" in by_type:
        value["message_template_title"] = by_type["HEADER"].get("text", "")
    if "FOOTER" in by_type:
        value["message_template_footer"] = by_type["FOOTER"]["text"]
    return "message_template_components_update", template_value(template, **value)


def _number_quality(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    before = number.limit
    number.limit = str(body.get("limit", number.limit))
    event = str(body.get("event", "FLAGGED")).upper()
    number.quality = str(body.get("quality") or {"FLAGGED": "RED", "UNFLAGGED": "GREEN"}.get(event, number.quality))
    value = {"display_phone_number": number.digits, "event": event, "current_limit": number.limit, "old_limit": before}
    return "phone_number_quality_update", value | {"max_daily_conversations_per_business": number.limit}


def _number_name(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    decision = str(body.get("decision", "APPROVED")).upper()
    name = str(body.get("name", number.verified_name))
    number.name_status = decision
    if decision == "APPROVED":
        number.verified_name = name
    value = {"display_phone_number": number.digits, "decision": decision, "requested_verified_name": name}
    return "phone_number_name_update", value | {"rejection_reason": body.get("reason", "NONE")}


def _account_update(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    event = str(body.get("event", "ACCOUNT_VIOLATION")).upper()
    value: News = {"phone_number": number.digits, "event": event}
    if event == "DISABLED_UPDATE":
        state = str(body.get("ban_state", "DISABLE"))
        value["ban_info"] = {"waba_ban_state": state, "waba_ban_date": time.strftime("%B %-d, %Y", time.gmtime())}
        locked = "CONNECTED" if state == "REINSTATE" else "BANNED"
        for one in emulator.numbers.values():
            if one.waba_id == number.waba_id:
                one.status = locked
    elif event == "ACCOUNT_VIOLATION":
        value["violation_info"] = {"violation_type": str(body.get("violation", "SPAM"))}
    elif event == "ACCOUNT_RESTRICTION":
        kind = str(body.get("restriction", "RESTRICTED_BIZ_INITIATED_MESSAGING"))
        value["restriction_info"] = [{"restriction_type": kind, "expiration": int(time.time()) + 86_400}]
    return "account_update", value | body.get("value", {})


def _account_review(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    return "account_review_update", {"decision": str(body.get("decision", "APPROVED")).upper()}


def _account_alert(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    return "account_alerts", {
        "entity_type": "PHONE_NUMBER",
        "entity_id": number.phone_number_id,
        "alert_severity": str(body.get("severity", "WARNING")).upper(),
        "alert_status": "ACTIVE",
        "alert_type": str(body.get("type", "INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED")),
        "alert_description": str(body.get("description", "Your messaging limit was not raised.")),
    }


def _capability(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    return "business_capability_update", {
        "max_daily_conversations_per_business": body.get("max_daily_conversations_per_business", 2000),
        "max_phone_numbers_per_business": body.get("max_phone_numbers", 25),
    }


def _security(emulator: Emulator, number: Number, body: News) -> tuple[str, News]:
    event = str(body.get("event", "PIN_CHANGED")).upper()
    return "security", {"display_phone_number": number.digits, "event": event, "requester": "0"}


KINDS: dict[str, Callable[[Emulator, Number, News], tuple[str, News]]] = {
    "template_status": _template_status,
    "template_quality": _template_quality,
    "template_category": _template_category,
    "template_components": _template_components,
    "number_quality": _number_quality,
    "number_name": _number_name,
    "account_update": _account_update,
    "account_review": _account_review,
    "account_alert": _account_alert,
    "capability": _capability,
    "security": _security,
}
