"""Who may import whom: the floor plan of pyproject.toml, kept, and seen to catch each kind of climbing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LINT = Path(sys.executable).parent / "lint-imports"


def _lint(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(LINT), "--no-cache", *more], cwd=folder, capture_output=True, text=True, check=False)


def test_the_floors_are_kept() -> None:
    found = _lint(ROOT)
    assert found.returncode == 0, found.stdout


BREACHES = {
    "a service imports a face": ("services/planted_one.py", "from whatalker import web"),
    "a face imports the other face": ("web/planted_one.py", "from whatalker import admin"),
    "a model imports a service": ("models/planted_one.py", "from whatalker.services import auditing"),
    "a channel imports a model": ("channels/planted_one.py", "from whatalker.models import Message"),
    "a policy imports a model": ("policies/planted_one.py", "from whatalker.models import Message"),
    "a policy does I/O": ("policies/planted_one.py", "import aiohttp"),
    "the sandbox imports something of ours": ("sandbox/planted_one.py", "from whatalker import errors"),
    "something of ours imports the sandbox": ("web/planted_one.py", "from whatalker.sandbox import graph"),
    "the ground imports a model": ("events.py", "from whatalker.models import Message"),
    "errors imports anything": ("errors.py", "from whatalker import db"),
    "a module stands on no floor": ("planted_attic.py", ""),
    "a service knows who is signed in": ("services/planted_one.py", "import flask_login"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_planted_climb_is_caught(breach: str, tmp_path: Path) -> None:
    """The same floor plan over empty rooms of the same names, with one wrong import in it."""
    package = tmp_path / "whatalker"
    for room in sorted((ROOT / "whatalker").iterdir()):
        if room.name.startswith("__"):
            continue
        if room.is_dir() and (room / "__init__.py").exists():
            (package / room.name).mkdir(parents=True)
            (package / room.name / "__init__.py").write_text("")
        elif room.suffix == ".py":
            package.mkdir(exist_ok=True)
            (package / room.name).write_text("")
    (package / "__init__.py").write_text("")
    (package / "sandbox" / "graph.py").write_text("")
    (package / "services" / "auditing.py").write_text("")
    plan = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (tmp_path / ".importlinter").write_text(_as_ini(plan))
    clean = _lint(tmp_path, "--config", ".importlinter")
    assert clean.returncode == 0, clean.stdout + clean.stderr
    path, line = BREACHES[breach]
    (package / path).write_text(line + "\n")
    assert _lint(tmp_path, "--config", ".importlinter").returncode != 0


def _as_ini(plan: dict) -> str:
    """The floor plan of pyproject.toml for a folder without a pyproject.toml; the empty rooms need no exceptions."""
    lines = ["[importlinter]", f"root_package = {plan['root_package']}", "include_external_packages = True"]
    for contract in plan["contracts"]:
        lines.append(f"[importlinter:contract:{contract['id']}]")
        for key, value in contract.items():
            if key in ("id", "ignore_imports"):
                continue
            text = "\n    ".join(["", *value]) if isinstance(value, list) else str(value)
            lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"
