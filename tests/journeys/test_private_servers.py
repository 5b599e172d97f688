"""The embedded PostgreSQL and Valkey: private, prepared, never two on one folder, and never left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from whatalker.database_roles import prepare_database
from whatalker.embedded import Servers
from whatalker.errors import Conflict, Invalid
from whatalker.processes import is_running, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
START = "import pathlib, sys; from whatalker.embedded import Servers; s = Servers.start(pathlib.Path(sys.argv[1])); print(s.pids, flush=True); input()"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="whatalker-servers-") as made:
        yield Path(made)


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")


def test_the_products_role_owns_nothing_and_cannot_step_around_row_level_security(servers: Servers) -> None:
    with psycopg.connect(libpq(servers.database_url)) as connection:
        asked = "select rolsuper, rolbypassrls, rolinherit, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user"
        assert connection.execute(asked).fetchone() == (False,) * 5
        assert connection.execute("set local role whatalker_app").statusmessage == "SET"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("set role whatalker_owner")


def test_a_superuser_among_the_roles_is_refused(servers: Servers) -> None:
    servers.add_database("refused")
    with psycopg.connect(servers.postgres.superuser, autocommit=True) as connection:
        connection.execute("alter role whatalker_login bypassrls")
        try:
            with pytest.raises(Invalid, match="whatalker_login could step around row-level security"):
                prepare_database(servers.postgres.superuser, "refused")
        finally:
            connection.execute("alter role whatalker_login nobypassrls")


def test_sockets_and_passwords_are_private(servers: Servers) -> None:
    assert stat.S_IMODE((servers.postgres.socket_folder / ".s.PGSQL.5432").stat().st_mode) == 0o700
    for name in ("address.json", "valkey.conf"):
        assert stat.S_IMODE((servers.valkey.data / name).stat().st_mode) == 0o600
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=servers.valkey.port) as stranger:
        stranger.ping()


def test_a_folder_has_one_owner(servers: Servers) -> None:
    with pytest.raises(Conflict, match="already in use"):
        Servers.start(servers.instance)


def test_data_survives_the_killing_of_both_servers(folder: Path) -> None:
    running = Servers.start(folder)
    try:
        with psycopg.connect(libpq(running.migration_database_url)) as connection:
            connection.execute("create table kept (word text)")
            connection.execute("insert into kept values ('ñandú')")
        with redis.Redis.from_url(running.redis_url) as client:
            client.set("kept", "yes")
            wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, 3)
        for pids in running.pids.values():
            os.kill(pids[0], signal.SIGKILL)
        assert wait_until(lambda: not any(is_running(pid) for pids in running.pids.values() for pid in pids), 5)
        assert running.revive() == ["valkey", "postgres"]
        with psycopg.connect(libpq(running.migration_database_url)) as connection:
            assert connection.execute("select upper(word) from kept").fetchone() == ("ÑANDÚ",)
        with redis.Redis.from_url(running.redis_url) as client:
            assert client.get("kept") == b"yes"
    finally:
        running.stop()


def test_a_killed_parent_takes_its_servers_along_and_the_folder_starts_again(folder: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", START, folder], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    line = parent.stdout.readline()
    pids = [int(word) for word in line.replace("[", " ").replace("]", " ").split() if word.isdigit()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    running = Servers.start(folder)
    try:
        assert not any(is_running(pid) for pid in pids)
    finally:
        running.stop()


def test_a_long_path_still_gets_a_socket(folder: Path) -> None:
    running = Servers.start(folder / ("long" * 20) / ("longer" * 10), durable=False)
    try:
        psycopg.connect(libpq(running.database_url)).close()
        assert stat.S_IMODE(running.postgres.socket_folder.stat().st_mode) == 0o700
    finally:
        running.stop()
    assert not running.postgres.socket_folder.exists()


def test_data_of_another_postgresql_is_not_touched(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(Invalid, match="made by PostgreSQL 15"):
        Servers.start(folder)


def test_init_database_gives_each_role_its_password_once(servers: Servers) -> None:
    command = [sys.executable, "-m", "whatalker.cli", "init-database", servers.postgres.superuser, "--name", "initialised"]
    outputs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout for _ in range(2)]
    first, second = (dict(line.split("=", 1) for line in output.splitlines()) for output in outputs)
    assert set(first) == {"DATABASE_URL", "MIGRATION_DATABASE_URL"}
    psycopg.connect(first["DATABASE_URL"]).close()
    psycopg.connect(first["MIGRATION_DATABASE_URL"]).close()
    assert all(":ITS_PASSWORD@" in url for url in second.values())
