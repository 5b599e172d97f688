"""What the sandbox is told at its start: flags first, then the environment, then values for a first try."""

import argparse
import os
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(slots=True)
class Settings:
    """One field per flag; the environment name is SANDBOX_ and the field in capitals."""

    port: int = 0
    state: Path | None = None
    callback: str = ""
    app_secret: str = "sandbox-app-secret"
    verify_token: str = "sandbox-verify-token"
    access_token: str = "sandbox-access-token"
    phone_number_id: str = "106540352242922"
    waba_id: str = "102290129340398"
    display_phone_number: str = "+1 555 078 3881"
    latency_ms: float = 0
    ledger_cap: int = 100_000


HELP = {
    "port": "port on 127.0.0.1 (0: any free one)",
    "state": "folder in which contacts, threads, media and the ledger survive a restart",
    "callback": "address of the product's webhook",
    "app_secret": "signs the webhooks; better given as SANDBOX_APP_SECRET",
    "verify_token": "for the handshake; better given as SANDBOX_VERIFY_TOKEN",
    "access_token": "the bearer token the product must show; better given as SANDBOX_ACCESS_TOKEN",
    "phone_number_id": "id of the business number",
    "waba_id": "id of the business account",
    "display_phone_number": "the business number as people write it",
    "latency_ms": "milliseconds every call takes at least",
    "ledger_cap": "most ledger entries kept in memory",
}
_TYPES = {"port": int, "state": Path, "latency_ms": float, "ledger_cap": int}


def read_settings(argv: list[str]) -> Settings:
    """Settings from flags and environment; argparse ends the process with a sentence on a bad flag."""
    parser = argparse.ArgumentParser(
        prog="python -m whatalker.sandbox",
        description="An emulator of the WhatsApp Cloud API and a phone to play with.",
    )
    defaults = Settings()
    for one in fields(Settings):
        flag = "--" + one.name.replace("_", "-")
        given = os.environ.get("SANDBOX_" + one.name.upper())
        default = given if given else getattr(defaults, one.name)
        parser.add_argument(flag, type=_TYPES.get(one.name, str), default=default, help=HELP[one.name])
    return Settings(**vars(parser.parse_args(argv)))
