"""Works that come of others, in a real browser: by mouse, keyboard and touch."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.gallery.site import Site
from tests.support.chromium import running_browser

WORK = "/work?model=tiny@1&seed=7&index=3&c.style=ink&c.subject=sea"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A large screen in the light, a phone in the dark; what the browser complains of fails the test."""
    is_phone = request.param == "dark"
    context = browser.new_context(
        base_url=site.address,
        viewport={"width": 390, "height": 780} if is_phone else {"width": 1200, "height": 800},
        has_touch=True,
        is_mobile=is_phone,
        color_scheme=request.param,
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


def check(page: Page) -> None:
    """It fits the screen, and breaks no rule of axe-core."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [(each["id"], each["nodes"][0]["html"]) for each in Axe().run(page).response["violations"]] == []


def test_a_work_is_varied_and_a_variation_is_kept_and_opened(page: Page) -> None:
    page.goto(WORK)
    page.get_by_text("Vary", exact=True).tap()
    tiles = page.locator(".wide .tile a")
    expect(tiles).to_have_count(12)
    before = tiles.first.get_attribute("href") or ""
    page.get_by_label("Radius").press("ArrowRight")
    expect(tiles.first).not_to_have_attribute("href", before)
    expect(page.locator(".row-tools output")).to_have_text("0.35")
    check(page)
    page.get_by_role("button", name="Draw others").focus()
    page.keyboard.press("Tab")
    expect(tiles.first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("f")
    expect(page.locator(".tile:focus-within .favourite")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"recipe=.*7:3\*0\.93"))
    expect(page.get_by_role("button", name="Kept")).to_be_visible()


def keep(page: Page, query: str) -> str:
    """Make a work a favourite; its link."""
    page.goto(f"/work?{query}")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("button", name="Kept")).to_be_visible()
    return query


def test_a_favourite_is_crossed_with_another_and_the_child_says_what_it_comes_of(page: Page) -> None:
    keep(page, "model=tiny@1&seed=9&index=0&c.style=oil&c.subject=sea")
    page.goto(WORK)
    page.get_by_text("Cross with…").focus()
    page.keyboard.press("Enter")
    page.get_by_alt_text("Cross with").tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("A cross of two works")
    expect(page.locator(".tile a")).to_have_count(6)
    page.get_by_label("Share of the second").fill("0.25")
    expect(page).to_have_url(re.compile("share=0.25"))
    expect(page.locator(".child figcaption")).to_contain_text(re.compile(r"Ink \d\d % and oil \d\d %"))
    check(page)
    page.get_by_role("link", name="Open this work").click()
    parents = page.locator(".lineage a")
    expect(parents).to_have_count(2)
    expect(parents.first).to_contain_text("seed 7, number 3")
    expect(parents.first.locator("img")).to_have_attribute("src", re.compile("/image/"))
    check(page)
    parents.first.tap()
    expect(page).to_have_url(re.compile("seed=7&index=3"))


def test_a_favourite_that_is_dragged_onto_another_is_crossed_with_it(page: Page) -> None:
    for seed in (7, 9):
        keep(page, f"model=tiny@1&seed={seed}&index=0&c.style=ink&c.subject=sea")
    page.get_by_role("link", name="Favourites").click()
    page.locator(".tile").nth(0).drag_to(page.locator(".tile").nth(1))
    expect(page).to_have_url(re.compile(r"/cross\?one=.*seed%3D9.*&other=.*seed%3D7"))
    expect(page.locator(".crossing figure")).to_have_count(3)


def test_a_work_is_moved_along_directions_and_back_while_one_watches(page: Page) -> None:
    page.goto(WORK)
    page.get_by_text("Change it").tap()
    image = page.locator("img.exact")
    before = image.get_attribute("src")
    first = page.get_by_label("Direction 1")
    first.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"recipe=7:3,shift:1\*1\.2&"))
    expect(page.locator(".lineage")).to_contain_text("moved 1.2 along direction 1")
    page.get_by_label("Direction 2").fill("-2")
    expect(page).to_have_url(re.compile(r"shift:1\*1\.2,shift:2\*-2"))
    assert image.get_attribute("src") != before
    check(page)
    first.fill("0")
    page.get_by_label("Direction 2").fill("0")
    expect(image).to_have_attribute("src", before or "")


def test_a_walk_between_favourites_plays_is_scrubbed_and_saved(page: Page) -> None:
    for seed in (7, 9):
        keep(page, f"model=tiny@1&seed={seed}&index=0&c.style=ink&c.subject=sea")
    page.get_by_role("link", name="Favourites").click()
    page.get_by_role("link", name="Walk between them").click()
    choices = page.locator(".choose")
    choices.nth(1).tap()
    choices.nth(0).focus()
    page.keyboard.press("Space")
    expect(choices.nth(0)).to_contain_text("2")
    frame = page.locator(".film output")
    expect(frame).to_have_text("48 of 48", timeout=30_000)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.get_by_label("Frame", exact=True).press("ArrowLeft")
    expect(frame).to_have_text("47 of 48")
    check(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as WebP").click()
    assert download.value.path().read_bytes()[8:12] == b"WEBP"
    page.get_by_role("link", name="Open this frame").click()
    expect(page.locator(".lineage a")).to_have_count(2)
