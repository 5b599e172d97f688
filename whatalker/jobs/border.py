"""The border around every job: here, and nowhere else in the jobs, any error ends; it is logged under a reference and goes no further.

Nothing is lost by that: what a job works on lives in rows, and the sweeper rings again for what is left.
"""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Callable
from typing import Any

import structlog
from rq.timeouts import JobTimeoutException

from whatalker.db import session
from whatalker.queues import ListedJob, hear

log = structlog.get_logger(__name__)

_stopping = threading.Event()


def guarded(name: str, work: Callable[..., Any], *args: Any) -> bool:
    """Do the work; False when an error ended it. Leaves no session behind."""
    try:
        work(*args)
        return True
    except JobTimeoutException:
        # RQ's own word that the job ran too long; it must reach RQ, which an `except Exception` below would prevent.
        raise
    except Exception as error:
        log.exception("job_failed", job=name, reference=secrets.token_hex(4), error=type(error).__name__)
        return False
    finally:
        session.remove()


class BorderedJob(ListedJob):
    """A listed job whose errors end at the border, and whose bell may ring again as soon as it has begun."""

    def _execute(self) -> None:
        hear(self.id)
        guarded(str(self.func_name), self.func, *self.args)


def stop_on_sigterm() -> None:
    """From now on SIGTERM only asks: the job finishes what it has begun and takes nothing new."""
    _stopping.clear()
    signal.signal(signal.SIGTERM, lambda _number, _frame: _stopping.set())


def is_stopping() -> bool:
    return _stopping.is_set()
