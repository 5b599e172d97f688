"""Job names, the queue each is on, and enqueue(); its one rule: a job is a doorbell rung after the commit, never the record.

A doorbell that is lost (the queue server was away) loses nothing: the sweeper in jobs/upkeep.py rings again from the rows.
"""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Any

import structlog
from flask import Flask, current_app
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from whatalker.db import on_commit
from whatalker.errors import NotAllowed

log = structlog.get_logger(__name__)


class Job(StrEnum):
    """Every job by its path: services name a job, they never import one."""

    DISPATCH = "whatalker.jobs.dispatch.dispatch"
    REFRESH_NUMBER = "whatalker.jobs.numbers.refresh_number"
    INTAKE = "whatalker.jobs.intake.intake"
    FETCH_MEDIA = "whatalker.jobs.intake.fetch_media"
    CONFIRM_READ = "whatalker.jobs.receipts.confirm_read"


INTERACTIVE, BULK, INTAKE, DEFAULT = "interactive", "bulk", "intake", "default"
QUEUES = (INTERACTIVE, BULK, INTAKE, DEFAULT)
"""One worker process serves one queue: two queues on one worker lost jobs without a trace when it was killed."""

JOB_TIMEOUT = 300
"""Seconds after which a job's horse is killed; what it had claimed comes back when the lease ends."""


BELL_SECONDS = 60
"""How long a bell that was lost can keep others from ringing, where no sweeper looks."""


class ListedJob(RQJob):
    """Runs only what is listed in Job: whoever can write to the queue server must not be able to call os.system."""

    @property
    def func(self) -> Any:
        if self.func_name not in set(Job):
            raise NotAllowed(f"{self.func_name!r} is not a job of ours.", "unlisted_job")
        return super().func


def init_app(app: Flask) -> None:
    app.extensions["redis"] = Redis.from_url(
        app.config["REDIS_URL"], socket_connect_timeout=2, socket_timeout=10, health_check_interval=30
    )


def redis() -> Redis:
    """The queue server's connection pool of this process."""
    return current_app.extensions["redis"]  # type: ignore[no-any-return]


def queue(name: str) -> Queue:
    return Queue(
        name, connection=redis(), serializer=JSONSerializer, job_class=ListedJob, default_timeout=JOB_TIMEOUT
    )


def enqueue(queue_name: str, job: Job, *args: str) -> None:
    """Ring for the job once the running transaction has committed; the same bell rung twice while it waits rings once."""

    def later() -> None:
        ring(queue_name, job, *args)

    on_commit(later)


def ring(queue_name: str, job: Job, *args: str, again: bool = False) -> bool:
    """Ring now; False when the queue server is away, which the sweeper makes good.

    A bell is marked until a worker hears it, and while it is marked it is not rung twice; `again` rings all the same: for the
    sweeper, which has seen that it does not wait in the queue. Each has a job id of its own, for RQ keeps the ids of jobs whose
    worker was killed, and with one id for all of them a killed worker would silence the bell for an hour.
    """
    bell = bell_of(job, *args)
    try:
        if redis().set(f"bell:{bell}", 1, nx=not again, ex=BELL_SECONDS):
            queue(queue_name).enqueue(
                str(job), *args, job_id=f"{bell}-{secrets.token_hex(4)}", result_ttl=0, failure_ttl=3600
            )
    except RedisError as error:
        log.warning("doorbell_not_rung", job=str(job), error=type(error).__name__)
        return False
    return True


def bell_of(job: Job, *args: str) -> str:
    return "-".join((job.rsplit(".", 1)[1], *args))


def hear(job_id: str) -> None:
    """A worker has begun the job: from now on the bell may be rung again, and the new one waits behind."""
    redis().delete(f"bell:{job_id.rpartition('-')[0]}")


def waiting_bells(queue_name: str) -> set[str]:
    """The bells that wait in the queue, read from the queue itself."""
    return {job_id.rpartition("-")[0] for job_id in queue(queue_name).get_job_ids()}
