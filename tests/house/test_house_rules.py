"""The rules of the house, each seen to hold and each seen to catch a breach planted in a small tree."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import surveying

ROOT = Path(__file__).parent.parent.parent
OURS, TESTS = ROOT / "whatalker", ROOT / "tests"
LONG_FUNCTION = "def f():\n" + "    x = 1\n" * 51

Rule = Callable[[Path], list[str]]
RULES: dict[str, tuple[Rule, Path, dict[str, str]]] = {
    "module names are unique": (surveying.names_used_twice, OURS, {"web/thing.py": "", "admin/thing.py": ""}),
    "module names say something": (surveying.names_used_twice, OURS, {"web/helpers.py": ""}),
    "test files have unique names": (surveying.names_used_twice, TESTS, {"a/test_x.py": "", "b/test_x.py": ""}),
    "files are short": (surveying.too_long, OURS, {"web/a.py": "x = 1\n" * 401}),
    "functions are short": (surveying.too_long, OURS, {"web/a.py": LONG_FUNCTION}),
    "templates and scripts are short": (surveying.too_long, OURS, {"web/a.js": "x\n" * 401}),
    "tests are short": (surveying.too_long, TESTS, {"a/test_x.py": LONG_FUNCTION}),
    "modules say what they are for": (surveying.without_docstring, OURS, {"web/a.py": "x = 1\n"}),
    "tests say what they are for": (surveying.without_docstring, TESTS, {"a/test_x.py": "x = 1\n"}),
    "services never commit": (surveying.knows_the_face, OURS, {"services/a.py": "session.commit()\n"}),
    "services open no transaction": (surveying.knows_the_face, OURS, {"services/a.py": "with transaction(): pass\n"}),
    "services know no request": (surveying.knows_the_face, OURS, {"services/a.py": "from flask import request\n"}),
    "services know no current user": (surveying.knows_the_face, OURS, {"services/a.py": "from flask_login import current_user\n"}),
    "errors are caught by name": (surveying.catches_everything, OURS, {"web/a.py": "try:\n    f()\nexcept Exception:\n    pass\n"}),
    "a bare except is none": (surveying.catches_everything, OURS, {"web/a.py": "try:\n    f()\nexcept:\n    pass\n"}),
    "session.get is not used": (surveying.asks_the_identity_map, OURS, {"services/a.py": "session.get(User, id)\n"}),
    "db.session.get is not used": (surveying.asks_the_identity_map, OURS, {"services/a.py": "db.session.get(User, id)\n"}),
    "query.get is not used": (surveying.asks_the_identity_map, OURS, {"services/a.py": "User.query.get(1)\n"}),
    "only sending sends": (surveying.sends_by_itself, OURS, {"services/a.py": "import channels\nchannels.get('x').send(a)\n"}),
    "nothing of ours is mocked": (surveying.patches_our_own, TESTS, {"a/test_x.py": "from unittest.mock import patch\n"}),
    "nothing of ours is replaced": (surveying.patches_our_own, TESTS, {"a/test_x.py": "monkeypatch.setattr('whatalker.db.now', f)\n"}),
}  # fmt: skip


SURVEYS = {(rule, where) for rule, where, _ in RULES.values()}


@pytest.mark.parametrize(("rule", "where"), sorted(SURVEYS, key=str), ids=lambda part: getattr(part, "__name__", None) or part.name)
def test_the_house_keeps_its_rules(rule: Rule, where: Path) -> None:
    assert rule(where) == []


@pytest.mark.parametrize("name", RULES)
def test_a_planted_breach_is_found(name: str, tmp_path: Path) -> None:
    rule, _, planted = RULES[name]
    for path, text in planted.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert rule(tmp_path) != []


def test_what_cleans_up_and_raises_again_is_no_breach(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("try:\n    f()\nexcept BaseException:\n    g()\n    raise\n")
    assert surveying.catches_everything(tmp_path) == []


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.split("\n")


def test_no_file_in_the_repository_is_somebody_elses() -> None:
    assert surveying.not_ours(ROOT, [name for name in _tracked() if name]) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("web/static/jquery.min.js", "x"), ("vendor/x.py", "x"), ("a.js", "/*! Copyright (c) somebody */"), ("a.css", "y" * 300_001),
     ("b.js", "//# sourceMappingURL=b.js.map")],
)  # fmt: skip
def test_somebody_elses_file_is_found(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    assert surveying.not_ours(tmp_path, [name]) != []


TOP_LEVEL = {
    "whatalker", "extensions", "migrations", "scripts", "tests", "docs", "wsgi.py", "config.py", "pyproject.toml", "README.md",
    "requirements.txt", "requirements-dev.txt",
}  # fmt: skip


def test_the_top_of_the_repository_is_the_list_and_nothing_else() -> None:
    top = {name.split("/")[0] for name in _tracked() if name and not name.startswith(".")}
    assert top - TOP_LEVEL == set()
