"""The phone page in a browser: a visitor plays a contact, and everything arrives without a reload."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from .conftest import NUMBER, SHEENA, Product, Sandbox
from .test_sandbox_sending import BUTTONS, LIST

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="Chromium is not installed: apt-get install chromium"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def phone(chromium: Browser, sandbox: Sandbox) -> Iterator[Page]:
    """The phone page; anything the console complains of fails the test."""
    made = chromium.new_page(viewport={"width": 1200, "height": 860})
    complaints: list[str] = []
    made.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.goto(f"{sandbox.url}/phone")
    yield made
    made.close()
    assert complaints == []


def begin(phone: Page) -> None:
    phone.get_by_role("main").get_by_role("button", name="Begin as Sheena Nelson").click()
    expect(phone.get_by_role("heading", name="Sheena Nelson’s phone")).to_be_visible()


def test_a_visitor_writes_and_sees_the_ticks_change(phone: Page, sandbox: Sandbox, product: Product) -> None:
    begin(phone)
    phone.get_by_label("Message", exact=True).fill("Are you *open*?")
    phone.keyboard.press("Enter")
    mine = phone.locator(".item.mine")
    expect(mine).to_contain_text("Are you open?")
    expect(mine.locator(".tick.delivered")).to_be_visible()
    said = product.messages()[0]
    assert said["text"]["body"] == "Are you *open*?" and said["from"] == SHEENA
    read = {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": said["id"],
        "typing_indicator": {"type": "text"},
    }
    sandbox.call("POST", f"/v23.0/{NUMBER}/messages", read)
    expect(mine.locator(".tick.read")).to_be_visible()
    expect(phone.locator("#chat-note")).to_have_text("typing…")
    sandbox.text("Until <b>six</b>")
    expect(phone.locator(".item:not(.mine)")).to_contain_text("Until <b>six</b>")


def test_a_visitor_taps_buttons_and_rows(phone: Page, sandbox: Sandbox, product: Product) -> None:
    begin(phone)
    sandbox.says()
    sandbox.send(type="interactive", interactive=BUTTONS)
    sandbox.send(type="interactive", interactive=LIST)
    phone.locator("#log").get_by_role("button", name="Yes").click()
    expect(phone.locator("#log").get_by_role("button", name="Yes")).to_be_disabled()
    phone.locator("#log").get_by_role("button", name="Open", exact=True).click()
    phone.get_by_label("Row 3").check()
    phone.get_by_role("dialog").get_by_role("button", name="Send").click()
    expect(phone.locator(".item.mine").last).to_contain_text("Row 3")
    assert sandbox.quiet()
    tapped = [message["interactive"] for message in product.messages() if message["type"] == "interactive"]
    assert [one["type"] for one in tapped] == ["button_reply", "list_reply"]
    assert tapped[1]["list_reply"]["id"] == "r3"


def test_a_visitor_quotes_reacts_and_sends_a_place_with_the_keyboard(
    phone: Page, sandbox: Sandbox, product: Product
) -> None:
    begin(phone)
    sandbox.says()
    sandbox.text("Where are you?")
    more = phone.locator(".item:not(.mine)").get_by_role("button", name="Reply or react")
    more.focus()
    phone.keyboard.press("Enter")
    phone.get_by_role("button", name="React 👍").press("Enter")
    expect(phone.locator(".reactions")).to_have_text("👍")
    more.press("Enter")
    phone.keyboard.press("Enter")
    phone.keyboard.type("Here")
    phone.keyboard.press("Enter")
    expect(phone.locator(".item.mine .quoted")).to_contain_text("Where are you?")
    phone.get_by_role("button", name="Attach").press("Enter")
    phone.get_by_role("button", name="Location").press("Enter")
    phone.get_by_role("dialog").get_by_role("button", name="Send").press("Enter")
    expect(phone.locator(".card")).to_contain_text("Philz Coffee")
    assert sandbox.quiet()
    kinds = [message["type"] for message in product.messages()]
    assert kinds == ["text", "reaction", "text", "location"]


def test_the_phones_habits_reach_the_product(phone: Page, sandbox: Sandbox, product: Product) -> None:
    begin(phone)
    phone.get_by_role("switch", name="Reads automatically").uncheck()
    phone.get_by_role("switch", name="Stop marketing").check()
    sandbox.says()
    wamid = sandbox.text().json["messages"][0]["id"]
    expect(phone.locator(".item:not(.mine)")).to_be_visible()
    assert sandbox.quiet()
    assert product.changes("user_preferences")[0]["user_preferences"][0]["value"] == "stop"
    assert [status["status"] for status in product.statuses(wamid)] == ["sent", "delivered"]
    phone.get_by_role("button", name="Read all now").click()
    expect(phone.locator(".person .count")).to_have_count(0)
    assert sandbox.quiet()
    assert product.statuses(wamid)[-1]["status"] == "read"


@pytest.mark.parametrize("width", [320, 390, 820, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_is_accessible(chromium: Browser, sandbox: Sandbox, width: int, scheme: str) -> None:
    sandbox.control("POST", "phone/contacts", {"wa_id": SHEENA, "name": "Sheena Nelson"})
    sandbox.says("A" * 200)
    sandbox.send(type="interactive", interactive=LIST)
    page = chromium.new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{sandbox.url}/phone")
    page.locator(".person").click()
    expect(page.get_by_role("button", name="Open", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.close()
