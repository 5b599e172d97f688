"""`whatalker …` and `flask …`: a line or two over a service, a job or the launcher; its one rule: no work is done here."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import sys
from pathlib import Path

import click
from flask import Flask, current_app
from flask.cli import FlaskGroup
from sqlalchemy import select

from whatalker import create_app, queues
from whatalker.errors import Invalid, WhatalkerError

ROOT = Path(__file__).resolve().parent.parent


def _app() -> Flask:
    # `config` lies beside the package; a command started by its path finds it too.
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return create_app()


@click.group(cls=FlaskGroup, create_app=_app, add_version_option=False, load_dotenv=False)
def group() -> None:
    """WhaTalker: run it, prepare it, look after it. `flask db …` is here too, as `whatalker db …`."""


@group.command(
    "run",
    with_appcontext=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
@click.pass_context
def run_everything(context: click.Context) -> None:
    """Start everything for a first look or for development, as scripts/run does."""
    os.execv(sys.executable, [sys.executable, "-m", "whatalker.launcher", *context.args])  # noqa: S606 - no shell is the point


@group.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of findings.")
def doctor(as_json: bool) -> None:
    """Say what is configured, reachable and migrated, and what to do about what is not; exit 1 when something is wrong."""
    from whatalker.services.diagnosing import diagnose

    findings = diagnose()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    for finding in [] if as_json else findings:
        click.echo(f"{finding.state:<8} {finding.name:<20} {finding.says}")
        if finding.do:
            click.echo(f"{'':<8} {'':<20} -> {finding.do}")
    sys.exit(any(finding.state == "wrong" for finding in findings))


@group.command("work")
@click.argument("queue", type=click.Choice(queues.QUEUES))
def work(queue: str) -> None:
    """Serve one queue until told to stop; start as many as the hosts have room for."""
    importlib.import_module("whatalker.jobs.worker").work(queue)


@group.command("upkeep")
def upkeep() -> None:
    """Ring lost doorbells again and keep the schedule; of several, on any hosts, one is active and the others wait."""
    importlib.import_module("whatalker.jobs.upkeep").run()


@group.command("seed")
def seed() -> None:
    """Put in what is missing of the demo, people of every role and a number, and print who may sign in."""
    from whatalker.db import transaction
    from whatalker.services.seeding import seed_demo

    if not current_app.config["DEMO"]:
        raise Invalid("scripts/run seeds the demo, with secrets made for it; there are none here.", "no_demo_here")
    with transaction():
        sign_ins = seed_demo(current_app.config["DEMO"])
    click.echo(json.dumps(sign_ins, indent=1))


@group.command("init-database", with_appcontext=False)
@click.argument("server")
@click.option("--name", default="whatalker", show_default=True, help="Name of the database.")
def init_database(server: str, name: str) -> None:
    """Make the database, its roles and extensions; SERVER is a superuser's address, such as postgresql://postgres@HOST/postgres.

    Prints the settings that use them, with new passwords for the two roles that sign in and have none. May be run again.
    """
    from whatalker.database_roles import prepare_database, set_passwords

    prepare_database(server, name)
    for key, url in set_passwords(server, name).items():
        click.echo(f"{key}={url}")


@group.group("vault")
def vault_commands() -> None:
    """Provider secrets at rest."""


@vault_commands.command("rotate")
def rotate() -> None:
    """Encrypt every stored secret with the first of ENCRYPTION_KEYS; the older keys may be dropped after it."""
    from whatalker.db import session, transaction
    from whatalker.models import Organization
    from whatalker.services.resealing import reseal_secrets
    from whatalker.tenancy import across, as_organization

    with transaction(), across("vault rotate: the organizations whose secrets are encrypted again"):
        organizations = session.scalars(select(Organization.id)).all()
    count = 0
    for organization in organizations:
        with transaction(), as_organization(organization):
            count += reseal_secrets(organization)
    click.echo(f"{count} secrets of {len(organizations)} organizations are encrypted with the first key.")


def init_app(app: Flask) -> None:
    """The same commands under `flask`, but for those that flask has itself."""
    for name, command in group.commands.items():
        if name not in ("run", "shell", "routes", "db"):
            app.cli.add_command(command)


def main() -> None:
    """What the `whatalker` command calls: an error raised on purpose is one sentence and exit 1."""
    try:
        group(prog_name="whatalker")
    except WhatalkerError as error:
        click.echo(f"whatalker: {error.message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
