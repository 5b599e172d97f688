"""What the product has: one file per noun; every model is imported here so that mappers and migrations see all of them."""

from whatalker.models.audit import AuditEvent
from whatalker.models.channel_account import AccountNotice, ChannelAccount
from whatalker.models.contact import Contact, ContactIdentity, Suppression
from whatalker.models.conversation import Conversation, ConversationLabel, Draft, Note
from whatalker.models.decision import SendDecision
from whatalker.models.message import Attachment, Message, MessageEvent
from whatalker.models.organization import CannedReply, Label, Organization, Team, TeamMember
from whatalker.models.template import Template
from whatalker.models.user import Membership, Role, User, UserSession
from whatalker.models.webhook import WebhookCall

__all__ = [
    "AccountNotice", "Attachment", "AuditEvent", "CannedReply", "ChannelAccount", "Contact", "ContactIdentity",
    "Conversation", "ConversationLabel", "Draft", "Label", "Membership", "Message", "MessageEvent", "Note",
    "Organization", "Role", "SendDecision", "Suppression", "Team", "TeamMember", "Template", "User", "UserSession",
    "WebhookCall",
]  # fmt: skip
