"""What became of the calls, written down many at a time; its one rule: acceptance is always recorded, all else only under our claim."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from flask import current_app

from whatalker import models as m
from whatalker.access import Actor, visible
from whatalker.channels import Tick
from whatalker.channels.provider_codes import ErrorFact, explain
from whatalker.db import new_id, session
from whatalker.events import Event, publish
from whatalker.services import auditing, consenting, summarizing
from whatalker.services.batching import run
from whatalker.services.connecting import PROVIDERS, stop_number
from whatalker.services.routing import Number
from whatalker.services.sending import Outcome

log = structlog.get_logger(__name__)

MOST_ATTEMPTS = 10


def unknown_wait() -> timedelta:
    """How long we wait for a status webhook to settle an unknown outcome, before a resend is even considered."""
    return timedelta(seconds=current_app.config["UNKNOWN_WAIT_SECONDS"])


@dataclass(slots=True)
class Settled:
    """What the caller must see to: the pace, the number, the people and templates that the provider's answers concern."""

    accepted: int = 0
    slow_down: bool = False
    unanswered: int = 0
    """Calls to which nobody answered at all."""
    reactions: list[tuple[Outcome, ErrorFact]] = field(default_factory=list)
    """Answers that stop a number, a template or a person's marketing."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a message whose call was not accepted."""

    status: str
    event: str
    text: str
    again_at: datetime | None = None
    look_at: datetime | None = None


def settle(account: m.ChannelAccount, outcomes: Sequence[Outcome]) -> Settled:
    """Write all outcomes of one number; may run twice. Ticks that came first stay: no status goes down."""
    settled = Settled()
    accepted = [outcome for outcome in outcomes if outcome.receipt is not None]
    if accepted:
        settled.accepted = len(accepted)
        run(_ACCEPTED, [_accepted(outcome) for outcome in accepted], organization=account.organization_id)
    others, failed = [], set()
    for outcome in outcomes:
        if outcome.error is None:
            continue
        fact = _explain(account.channel, outcome)
        fate = fate_of(outcome, fact)
        others.append(_other(outcome, fate))
        if fate.status == "failed":
            failed.add(outcome.attempt.message.conversation_id)
        settled.slow_down |= fact.action == "slow_down"
        settled.unanswered += outcome.error.outcome == "unknown" or fact.code in NOBODY_THERE
        if outcome.error.outcome == "refused" and fact.action in REACTIONS:
            settled.reactions.append((outcome, fact))
        if not fact.known:
            log.warning("provider_code_not_listed", channel=account.channel, code=fact.code, title=fact.meaning[:80])
    if others:
        run(_OTHERS, others, organization=account.organization_id)
    summarizing.summarize(account.organization_id, failed)
    _tell(outcomes)
    return settled


REACTIONS = frozenset({"hold_number", "stop_account", "stop_marketing", "hold_template"})
NOBODY_THERE = frozenset({"no_connection", "name_not_found", "tls_failed"})


def _explain(channel: str, outcome: Outcome) -> ErrorFact:
    error = outcome.error
    assert error is not None
    said = error.details
    return explain(
        PROVIDERS.get(channel, channel), error.provider_code, title=error.title, reference=str(said.get("reference") or ""),
        http_status=said.get("http_status"),
    )  # fmt: skip


def fate_of(outcome: Outcome, fact: ErrorFact) -> Fate:
    """By outcome, class and wait: unknown is looked at later, a refusal is tried again, held or failed as the catalogue says."""
    error, attempt = outcome.error, outcome.attempt.number
    assert error is not None
    if error.outcome == "unknown":
        text = explain("network", "timeout").text()
        return Fate("unknown", "unknown", text, look_at=outcome.at + unknown_wait())
    if fact.message == "check":
        # A code that otherwise means doubt, about something that certainly was not the message: its file, say.
        fact = explain("network", "no_connection")
    text = fact.text(details=str(error.details.get("said") or ""), reference=str(error.details.get("reference") or ""))
    if error.provider_code == "too_late_to_call":
        return Fate("queued", "returned", text="", again_at=outcome.at)
    if fact.message == "hold":
        wait = fact.waits[0] if fact.waits else 0
        return Fate("queued", "refused", text, again_at=outcome.at + timedelta(seconds=wait))
    if fact.retry and attempt <= len(fact.waits) and attempt < MOST_ATTEMPTS:
        # Every further try of a batch at its own moment: all at once would be refused all at once again.
        wait = max(fact.waits[attempt - 1], error.retry_after or 0) * (1 + outcome.attempt.message.id.int % 256 / 1024)
        return Fate("queued", "refused", text, again_at=outcome.at + timedelta(seconds=wait))
    return Fate("failed", "failed", text)


def _accepted(outcome: Outcome) -> dict[str, Any]:
    receipt, attempt = outcome.receipt, outcome.attempt
    assert receipt is not None
    return {
        "id": attempt.message.id, "provider_id": receipt.provider_id, "at": outcome.at, "event": new_id(),
        "event_key": f"{attempt.outgoing.key}:accepted", "attempt": attempt.number, "held": receipt.held,
    }  # fmt: skip


def _other(outcome: Outcome, fate: Fate) -> dict[str, Any]:
    attempt, error = outcome.attempt, outcome.error
    assert error is not None
    said = " ".join(filter(None, (error.title, str(error.details.get("said") or ""))))
    return {
        "id": attempt.message.id, "token": attempt.message.claim_token, "attempt": attempt.number, "status": fate.status,
        "text": fate.text, "code": (error.provider_code or "")[:64], "said": said[:500], "at": outcome.at,
        "again_at": fate.again_at, "look_at": fate.look_at, "event": new_id(), "kind": fate.event,
        "event_key": f"{attempt.outgoing.key}:{fate.event}",
    }  # fmt: skip


# Rows are locked in the order of their ids, as whoever applies the ticks does: two batches never wait for each other in a ring.
_ACCEPTED = """
with r as (
  select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    id uuid, provider_id text, at timestamptz, event uuid, event_key text, attempt int, held boolean)
), locked as materialized (
  select m.id from message m where m.organization_id = :organization and m.id = any (array(select r.id from r)) order by m.id for update
), changed as (
  update message m
  set provider_id = coalesce(m.provider_id, r.provider_id), sent_at = coalesce(m.sent_at, r.at),
    status = case when m.status in ('queued', 'claimed', 'sending', 'unknown') then 'sent' else m.status end,
    error_code = case when m.status = 'failed' then m.error_code else '' end,
    error_text = case when m.status = 'failed' then m.error_text else '' end,
    hold_reason = '', claim_token = null, claimed_until = null
  from r join locked using (id) where m.organization_id = :organization and m.id = r.id
)
insert into message_event (organization_id, id, message_id, event_key, kind, at, recorded_at, data)
select :organization, r.event, r.id, r.event_key, 'accepted', r.at, now(),
  jsonb_build_object('provider_id', r.provider_id, 'attempt', r.attempt, 'held', r.held)
from r on conflict do nothing
"""

_OTHERS = """
with r as (
  select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    id uuid, token uuid, attempt int, status text, text text, code text, said text, at timestamptz, again_at timestamptz,
    look_at timestamptz, event uuid, kind text, event_key text)
), locked as materialized (
  select m.id from message m where m.organization_id = :organization and m.id = any (array(select r.id from r)) order by m.id for update
), changed as (
  update message m
  set status = r.status, error_code = r.code, error_text = r.said,
    hold_reason = case when r.status = 'queued' then r.text else '' end,
    available_at = coalesce(r.again_at, m.available_at), claimed_until = r.look_at,
    claim_token = case when r.status = 'unknown' then m.claim_token end,
    failed_at = case when r.status = 'failed' then r.at else m.failed_at end
  from r join locked using (id)
  where m.organization_id = :organization and m.id = r.id and m.status in ('sending', 'unknown')
    and m.claim_token = r.token and m.attempt = r.attempt and m.status <> r.status
  returning m.id
)
insert into message_event (organization_id, id, message_id, event_key, kind, at, recorded_at, data)
select :organization, r.event, r.id, r.event_key, r.kind, r.at, now(),
  jsonb_build_object('code', r.code, 'title', r.said, 'attempt', r.attempt, 'until', r.again_at)
from r join changed using (id) on conflict do nothing
"""


def _tell(outcomes: Sequence[Outcome]) -> None:
    """Pages hear of every reply at once; of bulk only what went wrong, for its ticks follow and would drown the rest."""
    for outcome in outcomes:
        message = outcome.attempt.message
        if message.lane == "interactive" or outcome.error is not None:
            publish(
                Event.MESSAGE_CHANGED, message.organization_id, conversation_id=message.conversation_id, message_id=message.id
            )


def react(actor: Actor, account: m.ChannelAccount, settled: Settled) -> None:
    """Stop what the provider's answers stop: the number, a template, marketing to a person. May run twice."""
    for outcome, fact in settled.reactions:
        message, code = outcome.attempt.message, fact.code
        if fact.stops_number:
            stop_number(account, code, fact.text(), actor)
        elif fact.action == "hold_template":
            _hold_template(actor, message.template_id, code)
        elif fact.action == "stop_marketing":
            consenting.hear(actor, [consenting.word_of_failure(_number(account), _as_tick(account, outcome))])


def _hold_template(actor: Actor, template_id: uuid.UUID | None, code: str) -> None:
    """What the provider has just said about it is newer than our copy; its next webhook or sync says when it is back."""
    t = m.Template
    template = session.scalar(visible(actor, t).where(t.id == template_id, t.status == "APPROVED"))
    if template is not None:
        template.status = "DISABLED" if code == "132016" else "PAUSED"
        auditing.record(actor, "template.held", template, reason=f"The provider refused it ({code}).")


def _number(account: m.ChannelAccount) -> Number:
    return Number(
        account.organization_id, account.id, account.channel, account.external_id, account.business_id, account.team_id,
        account.display_number,
    )  # fmt: skip


def _as_tick(account: m.ChannelAccount, outcome: Outcome) -> Tick:
    """The same refusal, had it come by webhook: what follows from it is written in one place."""
    error, to = outcome.error, outcome.attempt.outgoing
    assert error is not None
    return Tick(
        event_key=f"{to.key}:refused", account=account.external_id, provider_id="", key=to.key, status="failed", at=outcome.at,
        recipient_wa_id=to.to or None, recipient_user_id=to.to_user_id, error_code=error.provider_code, error_title=error.title,
    )  # fmt: skip
