"""A worker of one queue; its one rule: one queue a process, one fork a job, and nothing outlives its parent.

The application is loaded once, before any fork; a horse drops the connections it inherited and dies with its worker. When the
queue server is away the worker waits for it, and it ends by SIGTERM only: the running job finishes what it has begun.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

import structlog
from flask import Flask, current_app
from redis import Redis
from redis.exceptions import RedisError
from rq import Worker
from rq.job import Job as RQJob
from rq.queue import Queue
from rq.serializers import JSONSerializer

from whatalker.db import db
from whatalker.errors import NotFound
from whatalker.jobs.border import BorderedJob, stop_on_sigterm
from whatalker.processes import die_with_parent
from whatalker.queues import JOB_TIMEOUT, QUEUES, Job

log = structlog.get_logger(__name__)

WORKER_TTL, MAINTENANCE, MONITORING = 30, 10, 5
"""Seconds. With RQ's own settings a machine that died is noticed after about 815 s, with these after 75 to 90."""

PAUSE = 1.0
"""Seconds between two tries to reach the queue server."""


class QueueWorker(Worker):
    """RQ's worker with an application, horses that die with it, and a word to the horse when it is asked to stop."""

    max_connection_wait_time = 2.0
    app: Flask
    die_with_parent: Callable[[], None]
    """Made in the worker, for it remembers who the parent is."""
    asked_to_stop = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        type(self).asked_to_stop = True
        super().request_stop(signum, frame)

    def handle_warm_shutdown_request(self) -> None:
        super().handle_warm_shutdown_request()
        if self.horse_pid:
            try:
                os.kill(self.horse_pid, signal.SIGTERM)
            except ProcessLookupError:
                log.debug("horse_already_gone")

    def main_work_horse(self, job: RQJob, queue: Queue) -> None:
        self.die_with_parent()
        with self.app.app_context():
            # The parent's connections are the parent's: closing them here would end them there.
            for engine in db.engines.values():
                engine.dispose(close=False)
            super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()
        stop_on_sigterm()


def work(queue_name: str) -> None:
    """Serve the queue until SIGTERM or Ctrl-C; needs an application context."""
    if queue_name not in QUEUES:
        raise NotFound(f"There is no queue {queue_name}; choose one of {', '.join(QUEUES)}.", "unknown_queue")
    preload()
    while not QueueWorker.asked_to_stop:
        # Between two tries nobody has anything to finish.
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
        try:
            _make_worker(queue_name).work(logging_level="WARNING")
        except RedisError as error:
            log.warning("worker_without_queue_server", queue=queue_name, error=type(error).__name__)
        if not QueueWorker.asked_to_stop:
            time.sleep(PAUSE)


def preload() -> None:
    """Everything a job imports, before the first fork: a fork that imports it again takes half a second."""
    for job in Job:
        importlib.import_module(job.rsplit(".", 1)[0])


def _make_worker(queue_name: str) -> QueueWorker:
    # A connection of its own: RQ sets the time it waits on it to that of an idle worker.
    connection = Redis.from_url(current_app.config["REDIS_URL"], socket_connect_timeout=2)
    waiting = Queue(
        queue_name, connection=connection, serializer=JSONSerializer, job_class=BorderedJob, default_timeout=JOB_TIMEOUT
    )
    worker = QueueWorker(
        [waiting], connection=connection, serializer=JSONSerializer, job_class=BorderedJob, worker_ttl=WORKER_TTL,
        maintenance_interval=MAINTENANCE, job_monitoring_interval=MONITORING, log_job_description=False,
    )  # fmt: skip
    worker.app = current_app._get_current_object()  # type: ignore[attr-defined]
    worker.die_with_parent = die_with_parent(signal.SIGKILL)
    return worker
