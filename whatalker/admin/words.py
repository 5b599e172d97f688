"""The words for values of closed lists, and their tones; their one rule: a tone repeats what the word says and never stands alone."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l

from whatalker.access import Permission

READS = frozenset(
    {Permission.CONVERSATION_READ_OWN, Permission.CONVERSATION_READ_TEAM, Permission.CONVERSATION_READ_ALL}
)
"""Any of these lets a person see some conversations."""

CONVERSATION_WORDS = {"open": _l("Open"), "snoozed": _l("Snoozed"), "resolved": _l("Resolved")}
MESSAGE_WORDS = {
    "received": _l("Received"), "queued": _l("Queued"), "claimed": _l("About to be sent"), "sending": _l("Being sent"),
    "unknown": _l("Not confirmed yet"), "sent": _l("Sent"), "delivered": _l("Delivered"), "read": _l("Read"),
    "failed": _l("Failed"), "blocked": _l("Not allowed"), "expired": _l("Too late, not sent"),
}  # fmt: skip
MESSAGE_TONES = {
    "delivered": "good", "read": "good", "unknown": "warn", "failed": "bad", "blocked": "bad", "expired": "warn",
}  # fmt: skip
STATE_WORDS = {
    "active": _l("Sends and receives"), "stopped": _l("Stopped"), "needs_reauth": _l("Needs a new access token"),
    "read_only": _l("Receives only"), "disconnected": _l("Disconnected"),
}  # fmt: skip
STATE_TONES = {"active": "good", "stopped": "bad", "needs_reauth": "bad", "read_only": "warn"}
LIMIT_WORDS = {
    "TIER_50": _l("50 people a day"), "TIER_250": _l("250 people a day"), "TIER_1K": _l("1,000 people a day"),
    "TIER_2K": _l("2,000 people a day"), "TIER_10K": _l("10,000 people a day"), "TIER_100K": _l("100,000 people a day"),
    "TIER_UNLIMITED": _l("No limit"), "": _l("Not told yet"),
}  # fmt: skip
VERDICT_WORDS = {"allow": _l("Allowed"), "deny": _l("Not allowed"), "defer": _l("Not yet")}
VERDICT_TONES = {"allow": "good", "deny": "bad", "defer": "warn"}
STANDING_WORDS = {
    "pending": _l("Waiting for review"), "active": _l("Active"), "suspended": _l("Suspended"), "cancelled": _l("Cancelled"),
}  # fmt: skip
STANDING_TONES = {"active": "good", "suspended": "bad", "cancelled": "bad", "pending": "warn"}
ROLE_WORDS = {
    "owner": _l("Owner"), "admin": _l("Admin"), "team_lead": _l("Team lead"), "agent": _l("Agent"),
    "developer": _l("Developer"), "viewer": _l("Viewer"),
}  # fmt: skip
ACTOR_WORDS = {
    "user": _l("Person"), "staff": _l("The provider's staff"), "system": _l("The product"), "contact": _l("Contact"),
    "provider": _l("Messaging provider"),
}  # fmt: skip
TEMPLATE_WORDS = {
    "APPROVED": _l("Approved"), "PENDING": _l("In review"), "REJECTED": _l("Rejected"), "PAUSED": _l("Paused"),
    "DISABLED": _l("Disabled"), "IN_APPEAL": _l("In appeal"), "LIMIT_EXCEEDED": _l("Limit reached"),
    "PENDING_DELETION": _l("Being deleted"), "DELETED": _l("Deleted"),
}  # fmt: skip
TEMPLATE_TONES = {"APPROVED": "good", "REJECTED": "bad", "DISABLED": "bad", "PAUSED": "warn", "LIMIT_EXCEEDED": "warn"}
CATEGORY_WORDS = {"MARKETING": _l("Marketing"), "UTILITY": _l("Utility"), "AUTHENTICATION": _l("Authentication")}
QUALITY_WORDS = {"GREEN": _l("High"), "YELLOW": _l("Medium"), "RED": _l("Low"), "UNKNOWN": _l("Not rated yet")}
QUALITY_TONES = {"GREEN": "good", "YELLOW": "warn", "RED": "bad"}

PERMISSION_WORDS = {
    Permission.INBOX_OPEN: _l("Open the inbox"),
    Permission.ADMIN_OPEN: _l("Open the admin"),
    Permission.CONVERSATION_READ_OWN: _l("Read their own conversations and those nobody has taken"),
    Permission.CONVERSATION_READ_TEAM: _l("Read the conversations of their teams"),
    Permission.CONVERSATION_READ_ALL: _l("Read every conversation"),
    Permission.CONVERSATION_UPDATE: _l("Take, resolve, snooze and label conversations"),
    Permission.CONVERSATION_ASSIGN: _l("Assign conversations"),
    Permission.MESSAGE_SEND: _l("Write to contacts"),
    Permission.NOTE_CREATE: _l("Write notes"),
    Permission.CONTACT_READ: _l("See contacts, with masked numbers"),
    Permission.CONTACT_UPDATE: _l("Add, rename and block contacts"),
    Permission.CONTACT_MERGE: _l("Merge contacts"),
    Permission.CONTACT_REVEAL: _l("See whole numbers"),
    Permission.TEMPLATE_READ: _l("See templates"),
    Permission.TEMPLATE_UPDATE: _l("Create and delete templates"),
    Permission.CANNED_REPLY_UPDATE: _l("Change canned replies"),
    Permission.LABEL_UPDATE: _l("Change labels"),
    Permission.CHANNEL_ACCOUNT_READ: _l("See connected numbers"),
    Permission.CHANNEL_ACCOUNT_UPDATE: _l("Connect, stop and resume numbers"),
    Permission.USER_READ: _l("See users and teams"),
    Permission.USER_UPDATE: _l("Add users and change their roles"),
    Permission.ROLE_READ: _l("See roles"),
    Permission.ROLE_UPDATE: _l("Change roles"),
    Permission.TEAM_UPDATE: _l("Change teams"),
    Permission.ORGANIZATION_READ: _l("See the organization’s settings"),
    Permission.ORGANIZATION_UPDATE: _l("Change the organization’s settings"),
    Permission.DECISION_READ: _l("See why messages were or were not allowed"),
    Permission.AUDIT_READ: _l("Read the audit"),
}
"""What each permission lets a person do; the provider's own are not offered to organizations."""
