"""What the forks of the supervisor do; its one rule: the application is loaded once, before the first fork, and touches nothing there."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


def load(environment: dict[str, str]) -> Any:
    """The application, in this environment, with everything its workers import. No thread or connection is begun by it."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import gunicorn.app.wsgiapp
    import gunicorn.workers.gthread  # noqa: F401 - loaded for the forks

    import whatalker.jobs.upkeep
    import whatalker.jobs.worker
    import wsgi

    whatalker.jobs.worker.preload()
    gc.freeze()  # what is loaded by now stays shared memory in the forks
    return wsgi.app


def prepare(app: Any, note: Callable[[dict[str, Any]], None]) -> None:
    """Migrate, and make what is missing of the demo; who may sign in is noted."""
    from flask_migrate import upgrade

    from whatalker.db import transaction
    from whatalker.services.seeding import seed_demo

    with app.app_context():
        upgrade(directory=str(ROOT / "migrations"))
        with transaction():
            sign_ins = seed_demo(app.config["DEMO"])
    note(sign_ins)


def serve(port: int) -> None:
    """Web pages. Each open page keeps one thread for its live stream; production gives the streams a process of their own."""
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--workers", "2"]
    sys.argv += ["--threads", "32", "--no-control-socket", "--graceful-timeout", "2", "--timeout", "60"]
    sys.argv += ["--log-level", "warning", "--logger-class", "whatalker.logs.GunicornLogger"]
    run()


def work(app: Any, queue: str) -> None:
    import whatalker.jobs.worker

    with app.app_context():
        whatalker.jobs.worker.work(queue)


def keep_up(app: Any) -> None:
    import whatalker.jobs.upkeep

    with app.app_context():
        whatalker.jobs.upkeep.run()
