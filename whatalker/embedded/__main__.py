"""`python -m whatalker.embedded COMMAND…` runs a command beside private servers in a temporary folder, gone when it ends."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from whatalker.embedded import Servers


def main() -> int:
    """The exit code of the command, which finds the servers and throw-away secrets in its environment."""
    if len(sys.argv) < 2:
        print("usage: python -m whatalker.embedded COMMAND…", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="whatalker-") as folder:
        servers = Servers.start(Path(folder), durable=False)
        environment = {
            "ENVIRONMENT": "test",
            "DATABASE_URL": servers.database_url,
            "MIGRATION_DATABASE_URL": servers.migration_database_url,
            "REDIS_URL": servers.redis_url,
            "INSTANCE": folder,
            "PUBLIC_URL": "http://127.0.0.1",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "ENCRYPTION_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "WHATSAPP_APP_SECRET": secrets.token_hex(16),
            "WHATSAPP_VERIFY_TOKEN": secrets.token_hex(16),
        }
        try:
            return subprocess.run(sys.argv[1:], check=False, env=os.environ | environment).returncode
        finally:
            servers.stop()


if __name__ == "__main__":
    sys.exit(main())
