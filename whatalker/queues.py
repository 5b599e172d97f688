"""Job names, the queue each is on, and enqueue(); its one rule: a job is a doorbell rung after the commit, never the record.

A doorbell that is lost (the queue server was away) loses nothing: the sweeper in jobs/upkeep.py rings again from the rows.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import structlog
from flask import Flask, current_app
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer

from whatalker.db import on_commit
from whatalker.errors import NotAllowed

log = structlog.get_logger(__name__)


class Job(StrEnum):
    """Every job by its path: services name a job, they never import one."""

    DISPATCH = "whatalker.jobs.dispatch.dispatch"
    INTAKE = "whatalker.jobs.intake.intake"
    FETCH_MEDIA = "whatalker.jobs.intake.fetch_media"


INTERACTIVE, BULK, INTAKE, DEFAULT = "interactive", "bulk", "intake", "default"
QUEUES = (INTERACTIVE, BULK, INTAKE, DEFAULT)
"""One worker process serves one queue: two queues on one worker lost jobs without a trace when it was killed."""

JOB_TIMEOUT = 300
"""Seconds after which a job's horse is killed; what it had claimed comes back when the lease ends."""


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
    on_commit(lambda: ring(queue_name, job, *args))


def ring(queue_name: str, job: Job, *args: str) -> bool:
    """Ring now; False when the queue server is away, which the sweeper makes good."""
    bell = "-".join((job.rsplit(".", 1)[1], *args))
    try:
        # The first name may belong to a run that is just ending and will not look again: the second one then waits behind it.
        for job_id in (bell, f"{bell}-again"):
            try:
                queue(queue_name).enqueue(str(job), *args, job_id=job_id, unique=True, result_ttl=0, failure_ttl=3600)
                return True
            except DuplicateJobError:
                continue
    except RedisError as error:
        log.warning("doorbell_not_rung", job=str(job), error=type(error).__name__)
        return False
    return True
