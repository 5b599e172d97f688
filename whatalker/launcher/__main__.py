"""`scripts/run`: prepares an instance, starts it, says where it is, and keeps it running until it is told to stop."""

from __future__ import annotations

import argparse
import functools
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from whatalker.embedded import Servers
from whatalker.errors import Invalid, WhatalkerError
from whatalker.launcher import crew, first_visitors
from whatalker.launcher.child_logs import say
from whatalker.launcher.crew import ROOT
from whatalker.launcher.instance_folder import InstanceFolder
from whatalker.launcher.supervisor import Child, Supervisor
from whatalker.processes import Fork, start_child

PATIENCE = 90
"""Seconds the web server may take until it says it is ready."""
DEMO = {
    "phone_number_id": "106540352242922",
    "waba_id": "102290129340398",
    "display_phone_number": "+1 555 078 3881",
}
"""The ids of Meta's own published examples, so that those can be posted to the demo as they are."""
QUEUES = ("interactive", "bulk", "intake", "default")


def read_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Starts WhaTalker with its servers, a WhatsApp sandbox, a phone to play with and demo data; Ctrl-C stops all of it.",
    )
    parser.add_argument(
        "--port", type=int, metavar="N", help="port of the web pages (default: the last one used, or 8000)"
    )
    parser.add_argument(
        "--instance",
        type=Path,
        default=ROOT / "instance",
        metavar="FOLDER",
        help="where data, secrets and logs are kept",
    )
    parser.add_argument("--fresh", action="store_true", help="throw away what the instance has kept and start over")
    parser.add_argument(
        "--quiet", action="store_true", help="do not show what the parts log (it is in FOLDER/logs all the same)"
    )
    return parser.parse_args(argv)


class Instance:
    """One running copy of everything."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.folder = InstanceFolder(options.instance)
        if self.folder.end_leftovers():
            say("An earlier start was killed; what it had left running has been ended.")
        if options.fresh:
            self.folder.start_over()
        self.web_port, self.sandbox_port = self.folder.choose_ports(options.port)
        self.web = f"http://127.0.0.1:{self.web_port}"
        self.sandbox = f"http://127.0.0.1:{self.sandbox_port}"
        self.secrets = self.folder.secrets()
        self.supervisor = Supervisor(self.folder.path / "logs", options.quiet)
        self.supervisor.changed = self._note
        self.environment: dict[str, str] = {}
        self.ready = False

    def start(self) -> None:
        """Everything, in the order in which each needs the other; Invalid when a part does not come up."""
        began = time.monotonic()
        without = {name for name, key in (("postgres", "DATABASE_URL"), ("valkey", "REDIS_URL")) if os.environ.get(key)}
        servers = Servers.start(self.folder.path, output=self.supervisor.output, without=without)
        self.supervisor.keep(servers)
        self.environment = self._environment(servers, without)
        self.folder.write_environment("environment.env", self._addresses())
        self._note()
        self.supervisor.start(Child("sandbox", self._start_sandbox, stage=2))
        app = crew.load(self.environment)
        note = functools.partial(self.folder.write_json, "sign_ins.json")
        if not self.supervisor.run_once(Child("prepare", _forked("prepare", lambda: crew.prepare(app, note)), stage=1)):
            if self.supervisor.stopping:
                return
            raise Invalid(f"The database could not be prepared; {self.folder.path / 'logs' / 'prepare.log'} says why.")
        for role, call in self._crew(app).items():
            self.supervisor.start(Child(role, _forked(role, call), stage=1))
        self._wait(self._web_is_ready, PATIENCE, "web")
        self._wait(self._sandbox_is_ready, 20, "sandbox")
        self._wait(self._workers_listen, 30, "work:default")
        if not self.supervisor.stopping:
            first_visitors.write(self.sandbox_port)
        if not self.supervisor.stopping:
            self.ready = True
            self._note()
            say(self._welcome(time.monotonic() - began))

    def _environment(self, servers: Servers, without: set[str]) -> dict[str, str]:
        """What every child gets: the secrets kept, what the caller has set, and where this instance is."""
        given = {key: value for key, value in os.environ.items() if value and key != "PYTHONDONTWRITEBYTECODE"}
        values = self.secrets | given
        if "postgres" not in without:
            values |= {"DATABASE_URL": servers.database_url, "MIGRATION_DATABASE_URL": servers.migration_database_url}
        if "valkey" not in without:
            values["REDIS_URL"] = servers.redis_url
        values.setdefault("MIGRATION_DATABASE_URL", values["DATABASE_URL"])
        values |= {"ENVIRONMENT": "development", "INSTANCE": str(self.folder.path), "PUBLIC_URL": self.web}
        values |= {"SANDBOX_URL": self.sandbox, "FLASK_APP": "wsgi.py", "PYTHONUNBUFFERED": "1"}
        # Where the web processes add up what they count; it must be empty when the first of them starts.
        counts = self.folder.path / "metrics"
        shutil.rmtree(counts, ignore_errors=True)
        counts.mkdir(parents=True)
        values["PROMETHEUS_MULTIPROC_DIR"] = str(counts)
        values.setdefault("WHATSAPP_API_BASE", f"{self.sandbox}/v23.0")
        values |= {f"DEMO_{name.upper()}": value for name, value in DEMO.items()}
        return values

    def _addresses(self) -> dict[str, str]:
        names = (
            "DATABASE_URL",
            "MIGRATION_DATABASE_URL",
            "REDIS_URL",
            "PUBLIC_URL",
            "SANDBOX_URL",
            "WHATSAPP_API_BASE",
        )
        return {name: self.environment[name] for name in names}

    def _crew(self, app: Any) -> dict[str, Callable[[], None]]:
        """Who is kept running, and what each does."""
        workers = {f"work:{name}": functools.partial(crew.work, app, name) for name in QUEUES}
        return {"web": lambda: crew.serve(self.web_port), **workers, "upkeep": lambda: crew.keep_up(app)}

    def _start_sandbox(self, output: int) -> subprocess.Popen[bytes]:
        """A program of its own, which knows nothing of ours but where to send its webhooks."""
        command = [sys.executable, "-m", "whatalker.sandbox", "--port", str(self.sandbox_port)]
        command += ["--state", str(self.folder.path / "sandbox"), "--callback", f"{self.web}/callbacks/whatsapp"]
        told = {
            "SANDBOX_APP_SECRET": self.environment["WHATSAPP_APP_SECRET"],
            "SANDBOX_VERIFY_TOKEN": self.environment["WHATSAPP_VERIFY_TOKEN"],
            "SANDBOX_ACCESS_TOKEN": self.environment["DEMO_ACCESS_TOKEN"],
            "SANDBOX_PHONE_NUMBER_ID": DEMO["phone_number_id"],
            "SANDBOX_WABA_ID": DEMO["waba_id"],
            "SANDBOX_DISPLAY_PHONE_NUMBER": DEMO["display_phone_number"],
        }
        return start_child(command, output, ends_on=signal.SIGTERM, cwd=ROOT, env=self.environment | told)

    def _wait(self, is_there: Callable[[], bool], seconds: float, role: str) -> None:
        """Go on supervising until it is there; Invalid when a part keeps crashing or takes too long."""
        end = time.monotonic() + seconds
        while not self.supervisor.stopping and not is_there():
            crashed = next((child.role for child in self.supervisor.children if child.crashes >= 3), "")
            if crashed or time.monotonic() > end:
                role = crashed or role
                log = self.folder.path / "logs" / f"{role.replace(':', '-')}.log"
                raise Invalid(
                    f"{role} did not come up {'(it keeps crashing)' if crashed else f'in {seconds:.0f} seconds'}; {log} says why."
                )
            self.supervisor.turn(0.1)

    def _web_is_ready(self) -> bool:
        return bool(_ask(self.web_port, "/readyz").get("ready"))

    def _sandbox_is_ready(self) -> bool:
        return bool(_ask(self.sandbox_port, "/healthz").get("ok"))

    def _workers_listen(self) -> bool:
        """Whether each worker has put itself on the list of its queue, so that the first message finds all awake."""
        wanted = {pid for role, pids in self.supervisor.pids.items() if role.startswith("work:") for pid in pids}
        try:
            with redis.Redis.from_url(self.environment["REDIS_URL"], socket_timeout=2) as server:
                listed = [server.hget(key, "pid") for key in server.smembers("rq:workers")]
        except redis.RedisError:
            return False
        return wanted <= {int(pid) for pid in listed if pid}

    def _note(self) -> None:
        """Say in run.json what runs and how to reach it; only once all of it answers is the file there."""
        pids = self.supervisor.pids
        self.folder.remember_groups([pid for role, group in pids.items() if role != "supervisor" for pid in group])
        if not self.ready:
            return
        self.folder.write_json(
            "run.json",
            {
                "web": self.web,
                "sandbox": self.sandbox,
                "phone": f"{self.sandbox}/phone",
                "graph_api": f"{self.sandbox}/v23.0",
                "callback": f"{self.web}/callbacks/whatsapp",
                "sign_ins": self._sign_ins(),
                "phone_number_id": DEMO["phone_number_id"],
                "waba_id": DEMO["waba_id"],
                "access_token": self.environment["DEMO_ACCESS_TOKEN"],
                "app_secret": self.environment["WHATSAPP_APP_SECRET"],
                "verify_token": self.environment["WHATSAPP_VERIFY_TOKEN"],
                "pids": pids,
            },
        )

    def _sign_ins(self) -> dict[str, dict[str, str]]:
        """Who may sign in, as the seed noted it."""
        return self.folder.read_json("sign_ins.json")

    def _welcome(self, seconds: float) -> str:
        people = self._sign_ins()
        width = max((len(str(person.get("email", ""))) for person in people.values()), default=0)
        lines = ["", f"WhaTalker is running (ready in {seconds:.1f} s).", ""]
        lines += [
            f"  Inbox   {self.web}/inbox",
            f"  Admin   {self.web}/admin",
            f"  Phone   {self.sandbox}/phone   (play the contact here)",
            "",
        ]
        if people:
            lines.append("  Sign in as")
        for role, person in people.items():
            code = f"   two-factor secret {person['totp_secret']}" if person.get("totp_secret") else ""
            lines.append(
                f"    {person.get('email', ''):<{width}}  {person.get('password', '')}   {role.replace('_', ' ')}{code}"
            )
        return "\n".join(
            [*lines, "", f"  Data, logs and run.json: {self.folder.path}", "  Ctrl-C stops everything.", ""]
        )

    def close(self) -> None:
        """Stop everything and take back what said that it runs."""
        self.ready = False
        self.supervisor.changed = lambda: None
        self.folder.remove("run.json", "environment.env")
        self.supervisor.stop()
        self.folder.remove("groups.json")


def _forked(role: str, call: Callable[[], None]) -> Callable[[int], Fork]:
    return lambda output: Fork(role, call, output, signal.SIGTERM)


def _ask(port: int, path: str) -> dict[str, Any]:
    """The JSON object that answers there; empty when none does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", path)
        found = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return found if isinstance(found, dict) else {}


def main(argv: list[str]) -> int:
    """0 after a stop that was asked for, 1 with one sentence when it could not start."""
    options = read_arguments(argv)
    instance = None
    try:
        if os.environ.get("ENVIRONMENT") == "production":
            raise Invalid(
                "scripts/run is for a first look and for development; docs/production.md says how to run in production."
            )
        instance = Instance(options)
        instance.start()
        while not instance.supervisor.stopping:
            instance.supervisor.turn(60)
        say("Stopping…")
    except WhatalkerError as error:
        print(f"scripts/run: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(
            f"scripts/run: {error.strerror or error}{where}; is the instance folder yours to write to, and the disk not full?",
            file=sys.stderr,
        )
        return 1
    finally:
        if instance is not None:
            instance.close()
    say("Everything has stopped; the data is kept.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
