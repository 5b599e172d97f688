"""The admin in a real browser: accessible, inside the content security policy, and usable where it is narrow, dark or without scripts."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

from tests.admin.worlds import World
from tests.visiting import visit
from whatalker import admin
from whatalker import models as m

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine; apt-get install chromium")
STAFF_ONLY = ("webhook_calls",)


@pytest.fixture(scope="module")
def address(whole_app: Flask, world: World) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, whole_app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def opened(app: Flask, who: Any, chromium: Browser, address: str, **options: Any) -> BrowserContext:
    """A browser signed in as this person."""
    name = app.config["SESSION_COOKIE_NAME"]
    cookie = visit(app, who, reason=options.pop("reason", "")).get_cookie(name)
    assert cookie is not None
    context = chromium.new_context(**options)
    context.add_cookies([{"name": name, "value": cookie.value, "url": address}])
    return context


def pages(world: World) -> list[str]:
    rows = world.ours.rows
    listed = [f"/admin/{screen.address}/" for screen in admin.screens() if screen.address not in STAFF_ONLY]
    details = [
        f"/admin/{screen.address}/details/?id={rows[screen.of]}"
        for screen in admin.screens()
        if screen.address not in STAFF_ONLY
    ]
    return [
        "/admin/", *listed, *details, "/admin/connections/new/", "/admin/users/new/", "/admin/roles/new/", "/admin/labels/new/",
        f"/admin/canned_replies/edit/?id={rows[m.CannedReply]}", "/admin/labels/?search=nothing", "/admin/conversations/?status=resolved",
    ]  # fmt: skip


@pytest.mark.parametrize("look", [{"color_scheme": "light"}, {"color_scheme": "dark"}], ids=["light", "dark"])
def test_every_kind_of_page_is_accessible_and_keeps_to_the_policy(
    whole_app: Flask, world: World, address: str, chromium: Browser, look: dict[str, Any]
) -> None:
    context = opened(whole_app, world.ours.owner, chromium, address, viewport={"width": 1280, "height": 900}, **look)
    page, complaints = context.new_page(), []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    faults = []
    for path in pages(world):
        answer = page.goto(address + path)
        assert answer is not None and answer.status == 200, path
        assert page.locator("h1").count() == 1 and page.title().endswith("WhaTalker"), path
        for violation in Axe().run(page).response["violations"]:
            faults.append((path, violation["id"], violation["nodes"][0]["html"][:160]))
    assert not faults and not complaints
    context.close()


def test_staff_pages_are_accessible(whole_app: Flask, world: World, address: str, chromium: Browser) -> None:
    context = opened(whole_app, world.platform, chromium, address, reason="Ticket 4711")
    page = context.new_page()
    for path in ("/admin/", "/admin/webhook_calls/", f"/admin/webhook_calls/details/?id={world.call}", "/admin/organizations/",
                 f"/admin/organizations/details/?id={world.ours.organization.id}", "/admin/organizations/new/"):  # fmt: skip
        answer = page.goto(address + path)
        assert answer is not None and answer.status == 200
        assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []
    context.close()


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_sticks_out_where_it_is_narrow_and_the_menu_opens(
    whole_app: Flask, world: World, address: str, chromium: Browser, width: int
) -> None:
    context = opened(whole_app, world.ours.owner, chromium, address, viewport={"width": width, "height": 800})
    page = context.new_page()
    for path in pages(world):
        page.goto(address + path)
        assert overflow(page) <= 0, path
    menu, link = page.get_by_role("button", name="Menu"), page.get_by_role("link", name="Labels", exact=True)
    assert menu.get_attribute("aria-expanded") == "false" and not link.is_visible()
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    link.click()
    assert page.url.endswith("/admin/labels/")
    context.close()


def test_without_scripts_one_can_still_go_everywhere_and_save(
    whole_app: Flask, world: World, address: str, chromium: Browser
) -> None:
    context = opened(
        whole_app,
        world.ours.owner,
        chromium,
        address,
        viewport={"width": 390, "height": 800},
        java_script_enabled=False,
    )
    page = context.new_page()
    page.goto(f"{address}/admin/")
    page.get_by_role("link", name="Labels", exact=True).click()
    page.get_by_role("link", name="New label").first.click()
    page.get_by_label("Name").fill("Without scripts")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_text("Saved.").is_visible()
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete “Without scripts”").click()
    assert page.get_by_text("Deleted.").is_visible()
    context.close()


def test_choosing_all_rows_and_being_asked_before_something_is_stopped(
    whole_app: Flask, world: World, address: str, chromium: Browser
) -> None:
    context = opened(whole_app, world.ours.owner, chromium, address)
    page, asked = context.new_page(), []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.goto(f"{address}/admin/connections/")
    page.get_by_label("Choose all rows of this page").check()
    assert page.get_by_role("checkbox", name="Choose Number canaryours").is_checked()
    page.get_by_role("button", name="Stop sending").click()
    assert asked and page.url.endswith("/admin/connections/")
    context.close()
