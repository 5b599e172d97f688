"""News from providers made into rows, a batch at a time; its one rule: the same calls in any order, any number of times, end the same."""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import text

from whatalker import access, channels
from whatalker.channels import (
    Incoming,
    News,
    NumberChange,
    Preference,
    TemplateChange,
    Tick,
    Unsupported,
)
from whatalker.db import session
from whatalker.services import arriving, consenting, noticing, ticking
from whatalker.services.collecting import TRIES, Call, Outcome
from whatalker.services.routing import Number, find_numbers, named_account
from whatalker.tenancy import as_organization

Item = tuple[Number, News]

_ONE_AT_A_TIME = text("select pg_advisory_xact_lock(hashtextextended(:key, 0))")
"""One batch at a time in an organization: finding and making contacts and folding their threads is then simple."""

UNREADABLE = "This is no call of the provider that we can read: {0}."


def receive(calls: Sequence[Call]) -> dict[Call, Outcome]:
    """Apply all of them and answer what became of each; writes no outcome itself. All or nothing: an error leaves no trace.

    Needs a transaction and no scope: it reads across organizations to learn whose numbers they are, and writes as each.
    """
    outcomes: dict[Call, Outcome] = {}
    read: dict[Call, list[News]] = {}
    for call in calls:
        if call.attempts > TRIES:
            outcomes[call] = Outcome("unreadable", "Every try to read this call ended before it was done.")
            continue
        try:
            read[call] = channels.get(call.provider).parse(json.loads(call.body))
        except (ValueError, RecursionError) as error:
            outcomes[call] = Outcome("unreadable", UNREADABLE.format(f"{type(error).__name__}: {error}"[:300]))
    notes: dict[Call, list[str]] = defaultdict(list)
    early = _apply(_route(read, notes, outcomes))
    for call, news in read.items():
        if call in outcomes:
            continue
        waiting = sorted({tick.provider_id for tick in news if isinstance(tick, Tick) and _key(tick) in early})
        if waiting:
            notes[call].append(f"Not one of our messages, or not yet: {', '.join(waiting[:20])}.")
        state = "parked" if waiting else "unrouted" if notes[call] else "done"
        outcomes[call] = Outcome(state, " ".join(dict.fromkeys(notes[call])))
    return outcomes


def _route(
    read: dict[Call, list[News]], notes: dict[Call, list[str]], outcomes: dict[Call, Outcome]
) -> dict[uuid.UUID, list[Item]]:
    """Every piece of news once, by organization; what belongs to nobody is noted on its call."""
    by_provider: dict[str, list[Call]] = defaultdict(list)
    for call in read:
        by_provider[call.provider].append(call)
    routed: dict[uuid.UUID, dict[tuple[uuid.UUID, str], list[Item]]] = defaultdict(lambda: defaultdict(list))
    for provider, its_calls in by_provider.items():
        numbers = find_numbers(provider, (news for call in its_calls for news in read[call]))
        for call in its_calls:
            for news in read[call]:
                found = numbers.of(news)
                for number in found:
                    same = routed[number.organization_id][number.id, news.event_key]
                    if (number, news) not in same:
                        same.append((number, news))
                if not found:
                    _note_homeless(call, news, notes, outcomes)
    return {organization_id: [item for same in by_key.values() for item in same] for organization_id, by_key in routed.items()}


def _note_homeless(
    call: Call, news: News, notes: dict[Call, list[str]], outcomes: dict[Call, Outcome]
) -> None:
    account = named_account(news)
    business = getattr(news, "business_id", None)
    if account:
        notes[call].append(f"The number {account} is not connected here.")
    elif business:
        notes[call].append(f"No number of the business account {business} is connected here.")
    else:
        outcomes.setdefault(call, Outcome("unreadable", UNREADABLE.format("it names no number and no account")))


def _key(tick: Tick) -> tuple[str, str]:
    return tick.account, tick.event_key


def _apply(routed: dict[uuid.UUID, list[Item]]) -> set[tuple[str, str]]:
    """Write as each organization in turn, in the order of their ids so that two workers never wait for each other in a ring.

    Answers the ticks whose message is not here.
    """
    early: set[tuple[str, str]] = set()
    for organization_id in sorted(routed):
        items = routed[organization_id]
        with as_organization(organization_id):
            session.execute(_ONE_AT_A_TIME, {"key": f"intake:{organization_id}"})
            actor = access.system("provider news", organization_id, kind="provider")
            arriving.store_messages(actor, _of(items, Incoming))
            early |= {_key(tick) for tick in ticking.apply_ticks(actor, _of(items, Tick))}
            consenting.apply_preferences(actor, _of(items, Preference))
            noticing.apply_changes(actor, _of(items, (TemplateChange, NumberChange, Unsupported)))
            session.flush()
    return early


def _of(items: Iterable[Item], kind: Any) -> list[Any]:
    return [item for item in items if isinstance(item[1], kind)]


