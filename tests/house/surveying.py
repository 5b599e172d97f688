"""The house rules as functions over a folder of source: each answers the breaches it finds, so that a planted one can be seen found."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LONGEST_FILE, LONGEST_FUNCTION = 400, 50
BELOW_THE_FACES = ("services", "access.py", "policies", "models", "channels")
NOT_A_NAME = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "managers", "core", "misc", "base_utils"})
SHARED_NAMES = frozenset({"__init__", "__main__", "conftest"})
BORDERS = ("jobs/border.py", "jobs/intake.py", "extending/")
"""Where `except Exception` may stand: around a job, around one stored call inside the job that reads many, around an extension."""


def modules(root: Path) -> Iterator[tuple[Path, str, ast.Module]]:
    """Every module under the folder: its path from there, its text and its tree."""
    for path in sorted(root.rglob("*.py")):
        if "__pycache__" not in path.parts:
            text = path.read_text()
            yield path.relative_to(root), text, ast.parse(text)


def names_used_twice(root: Path) -> list[str]:
    places = defaultdict(list)
    for path, _, _ in modules(root):
        if path.stem not in SHARED_NAMES:
            places[path.stem].append(str(path))
    twice = [f"{name}: {', '.join(paths)}" for name, paths in places.items() if len(paths) > 1]
    return twice + [f"{path}: {path.stem} says nothing" for path, _, _ in modules(root) if path.stem in NOT_A_NAME]


def too_long(root: Path) -> list[str]:
    found = []
    for path, text, tree in modules(root):
        if (lines := text.count("\n")) > LONGEST_FILE:
            found.append(f"{path}: {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    found.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    for path in sorted(root.rglob("*")):
        if path.suffix in (".html", ".css", ".js", ".txt") and (lines := path.read_text().count("\n")) > LONGEST_FILE:
            found.append(f"{path.relative_to(root)}: {lines} lines")
    return found


def without_docstring(root: Path) -> list[str]:
    return [str(path) for path, text, tree in modules(root) if text.strip() and not ast.get_docstring(tree)]


def knows_the_face(root: Path) -> list[str]:
    """Below the faces nobody commits, rolls back, opens a transaction, or knows the request and who is signed in."""
    found = []
    for path, _, tree in modules(root):
        if not str(path).startswith(BELOW_THE_FACES):
            continue
        for node in ast.walk(tree):
            place = f"{path}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("commit", "rollback"):
                found.append(f"{place} calls {node.func.attr}()")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "transaction":
                found.append(f"{place} opens a transaction")
            if isinstance(node, ast.ImportFrom) and node.module in ("flask", "flask_login", "flask_security"):
                for name in node.names:
                    if name.name in ("request", "session", "g", "current_user", "url_for", "flash", "abort", "redirect"):
                        found.append(f"{place} imports {name.name}")
            if isinstance(node, ast.ImportFrom) and node.module == "whatalker.db":
                found.extend(f"{place} imports transaction" for name in node.names if name.name == "transaction")
    return found


def catches_everything(root: Path) -> list[str]:
    """`except Exception` away from the two borders; what only cleans up and raises again is not one."""
    found = []
    for path, _, tree in modules(root):
        if str(path).startswith(BORDERS):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {kind.id for kind in caught if isinstance(kind, ast.Name)}
            again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if (node.type is None or names & {"Exception", "BaseException"}) and not again:
                found.append(f"{path}:{node.lineno}")
    return found


def asks_the_identity_map(root: Path) -> list[str]:
    """session.get() answers from memory what visibility and row-level security would not show."""
    found = []
    for path, _, tree in modules(root):
        if path.parts[0] == "sandbox":
            continue  # it has no database, and its requests have a query string
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in ("get", "get_one", "get_or_404"):
                continue
            owner = ast.unparse(node.func.value)
            if owner in ("session", "db.session", "session()", "session.registry()") or owner.endswith(".query"):
                found.append(f"{path}:{node.lineno} {ast.unparse(node.func)}")
    return found


def sends_by_itself(root: Path) -> list[str]:
    """Whoever calls a channel's send() besides services/sending.py goes around the gate."""
    found = []
    for path, text, tree in modules(root):
        if str(path) in ("services/sending.py",) or str(path).startswith(("channels/", "sandbox/")):
            continue
        channels_here = "channels" in text
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "send" and channels_here:
                if (called := ast.unparse(node.func)) != "sending.send":
                    found.append(f"{path}:{node.lineno} {called}")
    return found


def unused(words: list[str], root: Path, owner: str) -> list[str]:
    """Members of a closed list that nothing but their own module mentions, by name (`P.X`, `Event.X`) or by value."""
    elsewhere = "\n".join(text for path, text, _ in modules(root) if str(path) != owner)
    elsewhere += "\n".join(path.read_text() for path in root.rglob("*.html"))
    return [word for word in words if not re.search(rf"\b{re.escape(word)}\b", elsewhere)]


def patches_our_own(root: Path) -> list[str]:
    """Tests that replace a part of ours by a mock prove nothing about the part."""
    found = []
    for path, _, tree in modules(root):
        for node in ast.walk(tree):
            module = node.module if isinstance(node, ast.ImportFrom) else ""
            names = {name.name for name in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
            if module in ("unittest.mock", "mock") or names & {"mock", "unittest.mock", "pytest_mock"}:
                found.append(f"{path}:{node.lineno} imports a mock")
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "monkeypatch.setattr" and node.args:
                target = ast.unparse(node.args[0])
                if "whatalker" in target:
                    found.append(f"{path}:{node.lineno} replaces {target}")
    return found


FOREIGN = re.compile(
    r"copyright \(c\)|@license|licensed under the|permission is hereby granted|all rights reserved|sourceMappingURL|jQuery v\d|Bootstrap v\d",
    re.IGNORECASE,
)
KNOWN_DATA = {
    "tests/channels/whatsapp-business-api.yaml": "the provider's published description, which requests are checked against",
    "requirements.txt": "hashes", "requirements-dev.txt": "hashes",
}  # fmt: skip


def not_ours(root: Path, tracked: list[str]) -> list[str]:
    """Files that somebody else wrote: minified, with a licence header, in a vendor folder, or too large to be written by hand."""
    found = []
    for name in tracked:
        path = root / name
        if name in KNOWN_DATA or not path.is_file():
            continue
        if re.search(r"(^|/)(vendor|node_modules|third_party)/|\.min\.(js|css)$", name):
            found.append(f"{name}: a vendor's file")
            continue
        data = path.read_bytes()
        if len(data) > 300_000 and path.suffix not in (".png", ".jpg", ".webp"):
            found.append(f"{name}: {len(data)} bytes")
        if path.suffix in (".py", ".js", ".css", ".html", ".svg", ".toml") and not name.startswith("tests/house/"):
            if said := FOREIGN.search(data.decode(errors="replace")):
                found.append(f"{name}: says {said[0]!r}")
    return found
