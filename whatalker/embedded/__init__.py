"""A private PostgreSQL and Valkey in an instance folder, for the first run and the tests; its one rule: one folder, one owner.

Both are direct children of the process that starts them: they end with it, however it ends.
"""

from __future__ import annotations

import fcntl
from collections.abc import Collection
from pathlib import Path
from typing import IO

from whatalker.database_roles import LOGIN, OWNER, prepare_database
from whatalker.embedded.postgres import Postgres
from whatalker.embedded.valkey import Valkey
from whatalker.errors import Conflict
from whatalker.processes import Output

DATABASE = "whatalker"


def _to_log_files(instance: Path) -> Output:
    def open_log(name: str) -> IO[bytes]:
        folder = instance / "logs"
        folder.mkdir(exist_ok=True)
        return (folder / f"{name}.log").open("ab")

    return open_log


class Servers:
    """The two servers of one instance folder, started, prepared and answering."""

    def __init__(
        self, instance: Path, *, durable: bool = True, output: Output | None = None, without: Collection[str] = ()
    ) -> None:
        self.instance = instance.resolve()
        self._lock = self._own_folder()
        output = output or _to_log_files(self.instance)
        self.postgres = Postgres(self.instance, durable, output)
        self.valkey = Valkey(self.instance, durable, output)
        self.wanted = [one for one in (self.valkey, self.postgres) if one.name not in without]

    @classmethod
    def start(
        cls, instance: Path, *, durable: bool = True, output: Output | None = None, without: Collection[str] = ()
    ) -> Servers:
        """Both servers, up and prepared; call it from the main thread. Without `durable` a power cut may lose data: for tests.

        `output` says where a server's output goes (by default to `logs/` in the folder), `without` names those not to start.
        Conflict when another process has the folder's servers; Invalid, with what to do, when one cannot start.
        """
        servers = cls(instance, durable=durable, output=output, without=without)
        try:
            for server in servers.wanted:
                server.begin()
            for server in servers.wanted:
                server.wait()
            if servers.postgres in servers.wanted:
                prepare_database(servers.postgres.superuser, DATABASE)
        except BaseException:
            servers.stop()
            raise
        return servers

    def revive(self) -> list[str]:
        """Start again what has died, and say which."""
        dead = [one for one in self.wanted if one.process is None or one.process.poll() is not None]
        for server in dead:
            server.begin()
            server.wait()
        return [server.name for server in dead]

    def stop(self) -> None:
        """Stop both, data safe on disk, and let go of the folder."""
        self.postgres.stop()
        self.valkey.stop()
        self._lock.close()

    def add_database(self, name: str) -> tuple[str, str]:
        """Another prepared database on the same server: its DATABASE_URL and MIGRATION_DATABASE_URL."""
        prepare_database(self.postgres.superuser, name)
        return self.postgres.url(LOGIN, name), self.postgres.url(OWNER, name)

    @property
    def database_url(self) -> str:
        return self.postgres.url(LOGIN, DATABASE)

    @property
    def migration_database_url(self) -> str:
        return self.postgres.url(OWNER, DATABASE)

    @property
    def superuser_url(self) -> str:
        """For tests that make databases, never for the product."""
        return self.postgres.url("postgres", "postgres")

    @property
    def redis_url(self) -> str:
        return self.valkey.url

    @property
    def pids(self) -> dict[str, list[int]]:
        return {one.name: [one.process.pid] for one in self.wanted if one.process is not None}

    def _own_folder(self) -> IO[bytes]:
        self.instance.mkdir(parents=True, exist_ok=True)
        lock = (self.instance / "servers.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise Conflict(f"{self.instance} is already in use by another start of it.", "instance_in_use") from None
        return lock
