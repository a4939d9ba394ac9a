"""Claims and dialogs in a real browser: by mouse, keyboard and touch."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.gallery.site import Site, Visitor
from tests.support.chromium import running_browser
from unikat.key_file import read_keys
from unikat.owner_key import public_of

WHERE = "c.style=ink&c.subject=sea"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, claiming_site: Site, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A large screen in the light, a phone in the dark; what the browser complains of fails the test."""
    is_phone = request.param == "dark"
    context = browser.new_context(
        base_url=claiming_site.address,
        viewport={"width": 390, "height": 780} if is_phone else {"width": 1200, "height": 800},
        has_touch=True,
        is_mobile=is_phone,
        color_scheme=request.param,
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(f"the browser's own dialog: {dialog.message}"))
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def seeds() -> Iterator[int]:
    """Each test claims works of its own."""
    return iter(range(200, 300))


def check(page: Page) -> None:
    """It fits the screen, and breaks no rule of axe-core."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [(each["id"], each["nodes"][0]["html"]) for each in Axe().run(page).response["violations"]] == []


def on_work(page: Page, seed: int) -> Locator:
    """The page of an unclaimed work; what leads to a claim."""
    page.goto(f"/work?model=tiny@1&seed={seed}&index=0&{WHERE}")
    button = page.get_by_role("button", name="Claim this work")
    expect(button).to_be_visible()
    return button


def test_a_work_is_claimed_with_a_key_that_is_made_in_the_browser(page: Page, seeds: Iterator[int]) -> None:
    seed = next(seeds)
    on_work(page, seed).tap()
    dialog = page.get_by_role("dialog", name="Claim this work")
    dialog.get_by_label("Title").fill("Sea at night")
    dialog.get_by_label("By", exact=True).fill("Anna Müller")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Make a key").tap()
    assert download.value.suggested_filename == "anna-muller.key"
    file = download.value.path()
    file.chmod(0o600)
    ((name, secret),) = read_keys(file).items()
    public = dialog.get_by_label("Public key of the owner")
    expect(public).to_have_value(public_of(secret).hex())
    assert name == "anna-muller"
    expect(dialog.get_by_role("status")).to_contain_text("anna-muller.key is saved")
    check(page)
    dialog.get_by_role("button", name="Claim it").tap()
    heading = page.get_by_role("heading", name="Certificate")
    expect(heading).to_be_focused()
    facts = page.get_by_role("region", name="Certificate")
    for text in ("Sea at night", "Anna Müller", public_of(secret).hex(), "of the log art.example/log"):
        expect(facts).to_contain_text(text)
    check(page)
    with page.expect_download() as certificate:
        page.get_by_role("link", name="Download certificate").tap()
    assert re.fullmatch(r"[0-9a-f]{16}\.json", certificate.value.suggested_filename)
    digest = page.locator(".facts code").last.text_content()
    page.goto(f"/claimed/{digest}")
    expect(page).to_have_url(re.compile(f"/work.*seed={seed}&"))
    expect(heading).to_be_visible()


def test_a_claim_that_is_refused_shows_what_stands_against_it(
    page: Page, claiming_site: Site, seeds: Iterator[int]
) -> None:
    seed = next(seeds)
    anna = Visitor(claiming_site).enter()
    button = on_work(page, seed)
    link = f"model=tiny@1&seed={seed}&index=0&{WHERE}"
    claim = {"link": link, "title": "Mine", "creator": "Anna", "owner_key": public_of(b"a" * 32).hex()}
    made = anna.json("POST", "/api/claims", claim)["work"]
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Claim this work")
    expect(dialog.get_by_label("Title")).to_be_focused()
    dialog.get_by_label("By", exact=True).fill("Bela")
    dialog.get_by_label("Public key of the owner").fill("seven")
    page.keyboard.press("Enter")
    wrong = dialog.locator('[data-field="owner_key"] .wrong')
    expect(wrong).to_contain_text("64 hex digits")
    dialog.get_by_label("Public key of the owner").fill(public_of(b"b" * 32).hex())
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text(f"It is claimed already.Mine by Anna, entry {made['entry']}")
    expect(wrong).to_have_count(0)
    check(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Certificate")).to_be_focused()
    expect(page.get_by_role("region", name="Certificate")).to_contain_text("Anna")
    on_near = page.get_by_role("button", name="Claim this work")
    page.goto(f"/work?{link}&truncation=0.8001")
    on_near.tap()
    expect(dialog.get_by_label("By", exact=True)).to_have_value("Bela")
    dialog.get_by_role("button", name="Claim it").tap()
    expect(dialog.get_by_role("alert")).to_contain_text("Nobody could tell it from a work that is claimed already.")
    dialog.get_by_role("link", name="Mine").tap()
    expect(dialog).to_have_count(0)
    expect(page).to_have_url(re.compile(re.escape(f"/work?{link.replace('&index', '&index')}")))
    expect(page.get_by_role("heading", name="Certificate")).to_be_visible()


def test_a_picture_is_verified_by_the_registry(page: Page, claiming_site: Site, seeds: Iterator[int]) -> None:
    visitor = Visitor(claiming_site).enter()
    work = visitor.json("GET", f"/api/work?model=tiny@1&seed={next(seeds)}&index=0&{WHERE}")
    claim = {"link": work["link"], "title": "Harbour", "creator": "Anna", "owner_key": public_of(b"a" * 32).hex()}
    visitor.json("POST", "/api/claims", claim)
    page.goto("/verify")
    picture = visitor.ask("GET", work["image"])[1]
    page.locator("input[type=file]").set_input_files({"name": "work.png", "mimeType": "image/png", "buffer": picture})
    expect(page.locator(".verdict")).to_contain_text("every pixel is the same")
    for name in ("Certificate", "Works that look most like it"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    check(page)
    page.get_by_role("link", name="Harbour").first.tap()
    expect(page).to_have_url(re.compile(re.escape(work["link"])))


def test_dialogs_are_left_by_escape_and_give_the_focus_back(page: Page, seeds: Iterator[int]) -> None:
    page.goto(f"/work?model=tiny@1&seed={next(seeds)}&index=0&{WHERE}")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("button", name="Kept")).to_be_visible()
    album = page.get_by_label("Add to album")
    album.focus()
    album.select_option("New album…")
    dialog = page.get_by_role("dialog", name="A new album")
    expect(dialog.get_by_label("Title")).to_be_focused()
    check(page)
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(album).to_be_focused()
    album.select_option("New album…")
    page.keyboard.type("Night")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_have_text("Added to the album.")
    page.get_by_role("link", name="Albums").click()
    page.get_by_role("link", name="Night").click()
    page.get_by_role("button", name="Rename").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Title")).to_have_value("Night")
    page.keyboard.type("Day")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Day")
    delete = page.get_by_role("button", name="Delete")
    delete.click()
    sure = page.get_by_role("dialog", name="Delete “Day”?")
    check(page)
    sure.get_by_role("button", name="Cancel").click()
    expect(delete).to_be_focused()
    delete.click()
    expect(sure.get_by_role("button", name="Cancel")).to_be_focused()
    page.go_back()
    expect(sure).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Day")
    delete.click()
    sure.get_by_role("button", name="Delete the album").click()
    expect(page).to_have_url(re.compile("/albums$"))


def test_a_wall_leads_to_one_of_what_a_visitor_likes(page: Page) -> None:
    page.goto(f"/?model=tiny&seed=7&{WHERE}")
    tile = page.locator(".tile").first
    expect(tile.get_by_role("link")).to_be_visible()
    taste = page.get_by_role("link", name="More like what you like")
    expect(taste).to_have_count(0)
    tile.get_by_role("link").focus()
    page.keyboard.press("f")
    expect(taste).to_be_visible()
    check(page)
    taste.click()
    expect(page).to_have_url(re.compile(r"/taste\?model=tiny&c\.style=ink&c\.subject=sea"))
    expect(page.locator(".lead")).to_contain_text("About ten answers are enough")
    check(page)
    page.get_by_role("link", name="Answer pairs").click()
    expect(page).to_have_url(re.compile("/vote$"))
    page.go_back()
    page.go_back()
    expect(tile.locator(".favourite")).to_have_attribute("aria-pressed", "true")
    page.locator(".tile a").nth(1).click()
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("button", name="Kept")).to_be_visible()
    page.go_back()
    expect(page.locator(".tile .favourite").nth(1)).to_have_attribute("aria-pressed", "true")
