"""Messages handed to their channel: the only caller of Channel.send; its one rule: no call without a stored, allowing decision.

A call is made only for an Attempt, and gating.open_gate() makes an Attempt only for a message whose decision allows it and whose
`sending` is in the same transaction.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from whatalker import channels
from whatalker.channels import Receipt, Sender
from whatalker.db import now
from whatalker.errors import Invalid, ProviderError
from whatalker.http import Http
from whatalker.services import fetching
from whatalker.services.gating import Attempt, sending_lease


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the provider said to an attempt: a receipt, or how it ended instead."""

    attempt: Attempt
    at: datetime
    receipt: Receipt | None = None
    error: ProviderError | None = None


def call_seconds() -> float:
    """A call ends well before its `sending` lease does, or the sweeper would doubt it while it is still on the wire."""
    return min(30.0, sending_lease().total_seconds() * 0.6)


async def send(channel: str, sender: Sender, attempt: Attempt, http: Http, seconds: float) -> Outcome:
    """One call; how it ended is in the outcome, never an exception. Touches no row: many run at once."""
    if (now() - attempt.gated_at).total_seconds() > seconds / 2:
        # This process stood still; by the time it is heard the sweeper may have sent the message again.
        return Outcome(attempt, now(), error=_refused("too_late_to_call", "The call was begun too late and not made."))
    try:
        async with asyncio.timeout(seconds / 2):
            outgoing = await fetching.upload_for(channel, sender, attempt.outgoing, http)
    except ProviderError as error:
        # Nothing was sent yet, only the file was on its way: a doubt about that is none about the message.
        certain = error.outcome == "refused"
        return Outcome(attempt, now(), error=error if certain else _refused("no_connection", error.message))
    except TimeoutError:
        return Outcome(attempt, now(), error=_refused("no_connection", "The file could not be uploaded in time."))
    try:
        async with asyncio.timeout(seconds / 2 if outgoing is not attempt.outgoing else seconds):
            receipt = await channels.get(channel).send(sender, outgoing, http)
    except ProviderError as error:
        return Outcome(attempt, now(), error=error)
    except TimeoutError:
        silent = ProviderError("The provider did not answer in time.", outcome="unknown", provider_code="timeout")
        return Outcome(attempt, now(), error=silent)
    except Invalid as error:
        return Outcome(attempt, now(), error=_refused("not_sendable", error.message, permanent=True))
    return Outcome(attempt, now(), receipt=receipt)


def _refused(code: str, message: str, *, permanent: bool = False) -> ProviderError:
    return ProviderError(message, outcome="refused", provider_code=code, title=message, permanent=permanent)
