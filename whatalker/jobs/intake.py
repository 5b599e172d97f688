"""The intake: stored calls of providers become rows, and the files they name are fetched; its one rule: one bad call costs no other."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import structlog

from whatalker.db import transaction
from whatalker.jobs.border import guarded
from whatalker.services import collecting, fetching, receiving
from whatalker.services.collecting import Call, Outcome
from whatalker.tenancy import as_organization

log = structlog.get_logger(__name__)

ROUNDS = 200
"""Batches of one run; then the bell is rung again, so that no run lasts longer than a job may."""

TRIES_OF_ONE = 3
"""A call that fails alone is tried again: the fault may have been another transaction in its way."""


def intake() -> int:
    """Apply whatever is open until nothing is; answers how many calls. Any number may run at once, and any may be killed."""
    done = 0
    for _round in range(ROUNDS):
        with transaction():
            calls = collecting.claim_calls()
        if not calls:
            return done
        apply_calls(calls)
        done += len(calls)
    with transaction():
        collecting.ring_again()
    return done


def apply_calls(calls: Sequence[Call]) -> None:
    """All in one transaction; when that fails, each half in its own, down to the one call that is at fault."""
    if guarded("intake", _apply, calls):
        return
    if len(calls) == 1:
        _set_aside(calls[0])
        return
    middle = len(calls) // 2
    apply_calls(calls[:middle])
    apply_calls(calls[middle:])


def _apply(calls: Sequence[Call]) -> None:
    with transaction():
        collecting.finish_calls(receiving.receive(calls))


def _set_aside(call: Call) -> None:
    """A fault may pass (a deadlock, a contact made by somebody else at that moment), so it is parked; then it is kept and shown."""
    state = "parked" if call.attempts < TRIES_OF_ONE else "unreadable"
    log.error("intake_call_failed", call=str(call.id), state=state)
    with transaction():
        # Never the error's own text: it may hold what the call said.
        note = "Applying it failed; the log says how, under this call's id. It is kept, and can be tried again."
        collecting.finish_calls({call: Outcome(state, note)})


def fetch_media(organization_id: str) -> int:
    """Fetch the files this organization waits for; answers how many are stored now. May run twice at once."""
    id, stored = uuid.UUID(organization_id), 0
    for _round in range(ROUNDS):
        with transaction(), as_organization(id):
            wanted = fetching.claim_files(id)
        if not wanted:
            break
        fetched = fetching.download(wanted)
        with transaction(), as_organization(id):
            stored += fetching.settle_files(fetched)
    return stored
