"""A real Chromium against the real application on a port of its own."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page
from werkzeug.serving import make_server

from tests.visiting import visit
from whatalker.access import Actor

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    if CHROMIUM is None:
        pytest.skip("There is no Chromium on this machine.")
    return browser_type_launch_args | {"executable_path": CHROMIUM, "args": ARGUMENTS}


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Where the application listens while the test runs."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(5)


@pytest.fixture
def open_as(app: Flask, address: str, browser: Browser) -> Iterator[Callable[..., Page]]:
    """A page of a person who is signed in; anything the page complains about fails the test."""
    contexts, complaints = [], []

    def open_page(who: Actor, path: str = "/inbox", **options: Any) -> Page:
        context = browser.new_context(base_url=address, **options)
        cookies = visit(app, who)._cookies.values()  # type: ignore[attr-defined]
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address} for cookie in cookies])
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        page.goto(path)
        contexts.append(context)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
