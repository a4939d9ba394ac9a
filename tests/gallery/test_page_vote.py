"""Voting in a real browser: by click and keyboard, without a violation of axe's rules, on a phone too."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.gallery.site import Site
from tests.support.chromium import running_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context = browser.new_context(base_url=site.address, viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()


def test_pairs_are_answered_by_click_and_key_until_there_is_a_wall_of_what_one_likes(page: Page) -> None:
    page.goto("/vote")
    choices = page.locator(".choice img")
    expect(choices).to_have_count(2, timeout=30_000)
    page.get_by_label("What I like").check()
    expect(page.get_by_role("heading", name="Which do you like?")).to_be_visible(timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it fits a phone"
    assert not Axe().run(page).response["violations"]
    wall = page.get_by_role("link", name="A wall of what you like")
    for number in range(1, 25):
        before = choices.first.get_attribute("src")
        if number % 2:
            page.keyboard.press("2" if number == 1 else "ArrowRight")
        else:
            page.get_by_role("button", name="The left one").click()
            page.get_by_role("heading", level=1).focus()
        expect(page.get_by_text(f"{number} answered.")).to_be_visible(timeout=30_000)
        expect(choices.first).not_to_have_attribute("src", before or "", timeout=30_000)
        if wall.count():
            break
    wall.click()
    expect(page.locator(".liked img")).to_have_count(24, timeout=60_000)
    expect(page.get_by_text(re.compile(r"differ from one another by \d+ %"))).to_be_visible()
    assert not Axe().run(page).response["violations"]
