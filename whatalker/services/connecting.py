"""Numbers of an organization at a provider: connect, stop, resume, ask how they are; its one rule: no call inside a transaction.

So each thing that asks the provider comes in two parts: `ask_…` calls and touches no row, the other one writes and calls nobody.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.attributes import flag_modified

from whatalker import channels
from whatalker import models as m
from whatalker.access import Actor, Permission, get, require, visible
from whatalker.channels import NumberHealth, RemoteTemplate, Sender
from whatalker.channels.provider_codes import explain
from whatalker.db import new_id, now, session
from whatalker.errors import Conflict, Invalid
from whatalker.events import Event, publish
from whatalker.http import Http
from whatalker.queues import DEFAULT, Job, enqueue
from whatalker.services import auditing

PROVIDERS = {"whatsapp": "meta"}
"""The catalogue of error codes that belongs to a channel."""

NEEDS_NEW_TOKEN = frozenset({"0", "190"})
"""Meta: the token has expired or was taken back; the number works again as soon as it has a new one."""

SLOWEST = 20.0
"""Seconds a person waits for the provider before we say that it does not answer."""

_ID = re.compile(r"[0-9]{5,32}")
_TOKEN = re.compile(r"[!-~]{8,1000}")
T = TypeVar("T")


# ---------------------------------------------------------------- asking the provider


def sender_of(account: m.ChannelAccount) -> Sender:
    """The stored number as its channel needs it; Invalid when it has no access token any more."""
    if not account.credentials.get("access_token"):
        raise Invalid(_("This number has no access token; give it one under Connections."), "bad_token")
    return Sender(
        organization_id=account.organization_id, id=account.id, external_id=account.external_id,
        business_id=account.business_id, credentials=dict(account.credentials),
        api_base=current_app.config["WHATSAPP_API_BASE"],
    )  # fmt: skip


def make_sender(organization_id: uuid.UUID, external_id: str, business_id: str, credentials: dict[str, str]) -> Sender:
    """A number that is not stored yet; Invalid when an id or a token cannot be one."""
    if not _ID.fullmatch(external_id) or not _ID.fullmatch(business_id):
        raise Invalid(
            _("The ids of the number and of its business account are digits; copy them from WhatsApp Manager."),
            "bad_id",
        )
    if not _TOKEN.fullmatch(credentials.get("access_token", "")):
        raise Invalid(_("Paste the whole access token, without spaces or line breaks."), "bad_token")
    return Sender(
        organization_id=organization_id, id=new_id(), external_id=external_id, business_id=business_id,
        credentials=credentials, api_base=current_app.config["WHATSAPP_API_BASE"],
    )  # fmt: skip


def ask_health(channel: str, sender: Sender) -> NumberHealth:
    """What the provider says about the number now. Raises ProviderError; needs no transaction and must not run in one."""
    return _call(lambda http: channels.get(channel).number_health(sender, http))


def ask_templates(channel: str, sender: Sender) -> list[RemoteTemplate]:
    """Every template of the number's business account. Raises ProviderError; must not run in a transaction."""
    return _call(lambda http: channels.get(channel).list_templates(sender, http))


def _call(ask: Callable[[Http], Awaitable[T]]) -> T:
    base = urlsplit(current_app.config["WHATSAPP_API_BASE"])
    # The operator's own configuration may name an inner host (the sandbox); nothing a customer types can.
    host = f"{base.hostname}:{base.port or (443 if base.scheme == 'https' else 80)}"

    async def run() -> T:
        async with Http(allowed_inner=(host,), timeout=SLOWEST) as http:
            return await ask(http)

    return asyncio.run(run())


# ---------------------------------------------------------------- connecting


def connect_number(
    actor: Actor,
    sender: Sender,
    health: NumberHealth,
    *,
    channel: str = "whatsapp",
    name: str = "",
    team_id: uuid.UUID | None = None,
) -> m.ChannelAccount:
    """Store the number that the provider has just confirmed, and fetch its templates soon.

    Conflict when it is connected already, here or in another organization: a number decides whose the messages are.
    """
    require(actor, Permission.CHANNEL_ACCOUNT_UPDATE)
    if health.external_id != sender.external_id:
        raise Invalid(_("The provider answered about another number; check the id."), "other_number")
    account = m.ChannelAccount(
        id=sender.id, organization_id=actor.organization_id, channel=channel, external_id=sender.external_id,
        business_id=sender.business_id, credentials=dict(sender.credentials), team_id=_team(actor, team_id),
        name=(name.strip() or health.verified_name or health.display_phone or sender.external_id)[:120],
    )  # fmt: skip
    _apply(account, health)
    try:
        with session.begin_nested():
            session.add(account)
    except IntegrityError:
        raise Conflict(
            _("This number is already connected. If another organization holds it and it is yours, write to support."),
            "number_taken",
        ) from None
    auditing.record(actor, "number.connected", account, diff={"external_id": [None, account.external_id]})
    _tell(account)
    enqueue(DEFAULT, Job.REFRESH_NUMBER, str(account.organization_id), str(account.id))
    return account


def change_number(
    actor: Actor,
    account: m.ChannelAccount,
    *,
    name: str,
    team_id: uuid.UUID | None,
    access_token: str = "",
    app_secret: str = "",
) -> None:
    """Change its name here, its team, or its secrets; an empty secret stays as it is. The audit says only that one changed."""
    require(actor, Permission.CHANNEL_ACCOUNT_UPDATE)
    if not 1 <= len(name.strip()) <= 120:
        raise Invalid(_("Give the number a name of 1 to 120 characters."), "bad_name")
    account.name, account.team_id = name.strip(), _team(actor, team_id)
    given = {key: value for key, value in (("access_token", access_token), ("app_secret", app_secret)) if value}
    if any(not _TOKEN.fullmatch(value) for value in given.values()):
        raise Invalid(_("Paste the whole access token, without spaces or line breaks."), "bad_token")
    if given:
        account.credentials = account.credentials | given
        flag_modified(account, "credentials")
    _record(actor, "number.changed", account)
    if given:
        enqueue(DEFAULT, Job.REFRESH_NUMBER, str(account.organization_id), str(account.id))


def stop_number(
    account: m.ChannelAccount, code: str, sentence: str, actor: Actor, *, whole_account: bool | None = None
) -> list[m.ChannelAccount]:
    """Stop sending through it, or, where the code concerns the business account, through all its numbers; answers those stopped.

    May run twice: a number that has stopped keeps its first reason. It goes on receiving.
    """
    fact = explain(PROVIDERS.get(account.channel, account.channel), code)
    wide = fact.stops_account if whole_account is None else whole_account
    numbers = [account]
    if wide:
        a = m.ChannelAccount
        numbers = list(session.scalars(
            visible(actor, a).where(a.channel == account.channel, a.business_id == account.business_id).order_by(a.id).with_for_update()
        ))  # fmt: skip
    stopped = []
    for number in numbers:
        if number.state != "active":
            continue
        number.state = "needs_reauth" if code in NEEDS_NEW_TOKEN else "stopped"
        number.state_reason = sentence
        _record(actor, "number.stopped", number, reason=sentence)
        stopped.append(number)
    return stopped


def stop_by_hand(actor: Actor, account: m.ChannelAccount) -> None:
    require(actor, Permission.CHANNEL_ACCOUNT_UPDATE)
    if account.state == "disconnected":
        raise Conflict(_("This number is disconnected."), "number_disconnected")
    sentence = _("%(name)s stopped it. Resume it in the admin when messages may leave again.", name=actor.name)
    stop_number(account, "", sentence, actor, whole_account=False)


def resume_number(actor: Actor, account: m.ChannelAccount) -> None:
    """Let it send again; what waited leaves by the next doorbell of the sweeper."""
    require(actor, Permission.CHANNEL_ACCOUNT_UPDATE)
    if account.state in ("read_only", "disconnected"):
        raise Conflict(
            _("This number cannot be resumed here: %(reason)s", reason=account.state_reason), "cannot_resume"
        )
    if account.state == "active":
        return
    account.state, account.state_reason = "active", ""
    _record(actor, "number.resumed", account)


def disconnect_number(actor: Actor, account: m.ChannelAccount) -> None:
    """Stop for good and forget its secrets; its conversations stay readable."""
    require(actor, Permission.CHANNEL_ACCOUNT_UPDATE)
    if account.state == "disconnected":
        return
    account.state, account.credentials = "disconnected", {}
    account.state_reason = _("It was disconnected. Its conversations stay readable; connect it again to write.")
    _record(actor, "number.disconnected", account)


def request_refresh(actor: Actor, account: m.ChannelAccount) -> None:
    """Ask the provider soon, in the background, for the number's health and its templates."""
    require(actor, Permission.CHANNEL_ACCOUNT_UPDATE)
    enqueue(DEFAULT, Job.REFRESH_NUMBER, str(account.organization_id), str(account.id))


# ---------------------------------------------------------------- what the provider answered


def find_number(actor: Actor, id: uuid.UUID | str) -> m.ChannelAccount:
    return get(actor, m.ChannelAccount, id)


def apply_health(actor: Actor, account: m.ChannelAccount, health: NumberHealth) -> None:
    """Keep what the provider said; a number that only lacked a working token and now answers sends again."""
    _apply(account, health)
    if account.state == "needs_reauth":
        account.state, account.state_reason = "active", ""
        _record(actor, "number.resumed", account, reason="The provider takes its access token again.")
    else:
        _record(actor, "number.refreshed", account)


def _apply(account: m.ChannelAccount, health: NumberHealth) -> None:
    account.display_number = health.display_phone[:40] or account.display_number or ""
    account.quality = health.quality[:16] or "UNKNOWN"
    account.messaging_limit = (health.limit_tier or "")[:32]
    account.health = {
        "asked_at": now().isoformat(),
        "status": health.status,
        "name_status": health.name_status,
        "raw": health.raw,
    }
    throughput = health.raw.get("throughput")
    if isinstance(throughput, dict) and throughput.get("level") in ("STANDARD", "HIGH"):
        account.throughput = 1_000 if throughput["level"] == "HIGH" else 80


def store_templates(actor: Actor, account: m.ChannelAccount, found: list[RemoteTemplate]) -> tuple[int, int]:
    """Make our copy of the business account's templates equal to the provider's: (stored, gone). One statement for all of them."""
    moment, t = now(), m.Template
    heard = dict.fromkeys(("status", "quality", "category", "components"), moment.isoformat())
    rows = {
        (remote.name, remote.language): {
            "organization_id": account.organization_id, "id": new_id(), "business_id": account.business_id,
            "provider_id": remote.provider_id, "name": remote.name, "language": remote.language, "category": remote.category,
            "status": remote.status, "status_reason": remote.rejected_reason or "", "quality": remote.quality or "UNKNOWN",
            "components": remote.components, "heard": heard, "removed_at": None, "synced_at": moment,
        }
        for remote in found
        if remote.name and len(remote.language) <= 16
    }  # fmt: skip
    if rows:
        statement = insert(t).values(list(rows.values()))
        taken = (
            "provider_id",
            "category",
            "status",
            "status_reason",
            "quality",
            "components",
            "heard",
            "removed_at",
            "synced_at",
        )
        session.execute(
            statement.on_conflict_do_update(
                index_elements=["organization_id", "business_id", "name", "language"],
                set_={name: statement.excluded[name] for name in taken},
            )
        )
    gone = list(session.scalars(
        select(t).where(
            t.organization_id == account.organization_id, t.business_id == account.business_id, t.removed_at.is_(None),
            t.synced_at < moment,
        )
    ))  # fmt: skip
    for template in gone:
        template.removed_at = moment
        auditing.record(actor, "template.removed", template)
    auditing.record(actor, "template.synced", account, diff={"stored": [None, len(rows)], "gone": [None, len(gone)]})
    return len(rows), len(gone)


def _team(actor: Actor, team_id: uuid.UUID | None) -> uuid.UUID | None:
    return get(actor, m.Team, team_id).id if team_id else None


def _record(actor: Actor, action: str, account: m.ChannelAccount, *, reason: str = "") -> None:
    changes: dict[str, Any] = auditing.pending_changes(account)
    changes.pop("health", None)  # the whole answer is on the row; in the audit it would bury what matters
    if changes:
        session.flush()
        auditing.record(actor, action, account, reason=reason, diff=changes)
        _tell(account)


def _tell(account: m.ChannelAccount) -> None:
    publish(Event.NUMBER_CHANGED, account.organization_id, channel_account_id=account.id)
