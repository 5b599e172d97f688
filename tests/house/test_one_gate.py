"""One gate: in the whole product one place calls Channel.send, and what it takes can be made in one place only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CHANNELS = ("whatalker/channels/", "whatalker/sandbox/")
"""Channels delegate among themselves; the sandbox is the provider."""

OTHER_SENDS = {"whatalker/mail.py"}
"""Files whose `send` is none of a channel, each with its reason: letters to our own users go to a mail server."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted([*(ROOT / "whatalker").rglob("*.py"), *(ROOT / "extensions").rglob("*.py"), ROOT / "wsgi.py"]):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def calls_of(tree: ast.Module, name: str) -> list[int]:
    """Lines that call, pass on or look up something by this name: also `getattr(x, "send")`, `partial(x.send)`, `from y import send`."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == name:
            lines.append(node.lineno)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "methodcaller"):
            if any(isinstance(argument, ast.Constant) and argument.value == name for argument in node.args):
                lines.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and "channels" in (node.module or ""):
            lines += [node.lineno for alias in node.names if alias.name == name]
    return lines


def test_only_sending_calls_a_channel() -> None:
    found = {
        (file, line)
        for file, tree in trees()
        if not file.startswith(CHANNELS) and file not in OTHER_SENDS
        for line in calls_of(tree, "send")
    }
    callers = {file for file, _line in found}
    # The job hands an attempt to services/sending.py; that module is the one that calls the channel.
    assert callers == {"whatalker/services/sending.py", "whatalker/jobs/dispatch.py"}, sorted(found)
    job = next(tree for file, tree in trees() if file == "whatalker/jobs/dispatch.py")
    sends = [node for node in ast.walk(job) if isinstance(node, ast.Attribute) and node.attr == "send"]
    assert [ast.unparse(node) for node in sends] == ["sending.send"]
    gate = next(tree for file, tree in trees() if file == "whatalker/services/sending.py")
    sends = [node for node in ast.walk(gate) if isinstance(node, ast.Attribute) and node.attr == "send"]
    assert [ast.unparse(node) for node in sends] == ["channels.get(channel).send"]


def test_only_the_gate_makes_an_attempt() -> None:
    """Attempt is what sending.send() takes; whoever could make one could send without a decision."""
    makers = {
        file
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr) == "Attempt"
    }  # fmt: skip
    assert makers == {"whatalker/services/gating.py"}


def test_a_planted_caller_is_found() -> None:
    for planted in (
        "channels.get('whatsapp').send(a, b, c)",
        "getattr(channel, 'send')(a, b, c)",
        "call = partial(channel.send, a)",
        "from whatalker.channels.whatsapp.graph_calls import send",
    ):
        assert calls_of(ast.parse(planted), "send") == [1], planted
