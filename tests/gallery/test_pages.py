"""The pages in a real browser: by mouse, keyboard and touch, in the light and in the dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.gallery.site import Site
from tests.support.chromium import running_browser

FULL = 48  # works of the first part of a wall
TILE = ".wall .tile a"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page of a visitor of its own; what the browser complains of fails the test."""
    context = browser.new_context(base_url=site.address, viewport={"width": 1200, "height": 800})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None
    )
    yield opened
    context.close()
    assert complaints == []


def on_wall(page: Page, query: str = "model=tiny&seed=7") -> None:
    page.goto(f"/?{query}")
    expect(page.locator(TILE).nth(FULL - 1)).to_be_attached(timeout=30_000)


def ids(page: Page) -> list[str]:
    addresses: list[str] = page.locator(".wall .tile img").evaluate_all("all => all.map(each => each.src)")
    return [re.findall(r"/image/([0-9a-f]{16})\.png", address)[0] for address in addresses]


def test_a_wall_is_chosen_by_chips_and_blended_by_sliders(page: Page) -> None:
    on_wall(page)
    before = page.locator(".tile").nth(5).bounding_box()
    page.get_by_role("button", name="ink").click()
    expect(page).to_have_url(re.compile(r"c\.style=ink"))
    expect(page.locator(TILE).nth(FULL - 1)).to_be_attached(timeout=30_000)
    assert page.locator(".tile").nth(5).bounding_box() == before, "nothing moves"
    assert page.locator(".sliders input").count() == 0
    page.get_by_role("button", name="oil").click()
    page.get_by_label("Share of ink").fill("0.25")
    expect(page.locator(".sliders output").first).to_have_text("20 %")
    expect(page).to_have_url(re.compile(r"c\.style=ink:0\.25,oil:1"))
    expect(page.locator(TILE).first).to_have_attribute("href", re.compile("ink:0.2,oil:0.8"), timeout=30_000)
    expect(page.locator(TILE).nth(FULL - 1)).to_be_attached(timeout=30_000)
    shown = ids(page)[:FULL]
    page.reload()
    expect(page.locator(TILE).nth(FULL - 1)).to_be_attached(timeout=30_000)
    assert ids(page)[:FULL] == shown, "the same address, the same wall"


def test_what_is_wrong_is_said_at_its_control(page: Page) -> None:
    on_wall(page)
    page.get_by_label("Seed").fill("seven")
    page.get_by_label("Seed").press("Enter")
    wrong = page.locator('[data-field="seed"] .wrong')
    expect(wrong).to_contain_text("whole number")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Enter")
    expect(wrong).to_have_count(0)
    page.goto("/?model=tiny&seed=7&c.style=inc")
    expect(page.locator('[data-field="c.style"] .wrong')).to_contain_text('did you mean "ink"')


def test_a_wall_that_is_cut_off_goes_on_and_no_work_is_there_twice(page: Page, site: Site) -> None:
    page.goto("/?model=slow&seed=7")
    expect(page.locator(TILE).nth(3)).to_be_attached(timeout=30_000)
    site.stop()
    held = page.locator(TILE).count()
    site.start()
    expect(page.locator(TILE).nth(FULL - 1)).to_be_attached(timeout=60_000)
    found = ids(page)
    assert held < FULL
    assert len(set(found)) == len(found)
    numbers = [
        int(re.findall(r"index=(\d+)", each)[0]) for each in page.locator(TILE).evaluate_all("a => a.map(e => e.href)")
    ]
    assert numbers == list(range(len(numbers)))


def test_by_keyboard_alone_a_work_is_found_kept_opened_and_left_again(page: Page) -> None:
    on_wall(page)
    first = page.locator(TILE).first
    page.get_by_label("Seed").focus()
    page.keyboard.press("Tab")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("f")
    focused = page.locator(":focus")
    expect(page.locator(".tile:focus-within .favourite")).to_have_attribute("aria-pressed", "true")
    address = focused.get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(re.escape(address or "")))
    expect(page.get_by_role("button", name="Kept")).to_be_visible()
    page.go_back()
    expect(page.locator(f'a[href="{address}"]')).to_be_focused()
    page.get_by_role("link", name="Favourites").click()
    expect(page.locator(TILE)).to_have_count(1)


def test_a_works_page_says_what_it_is_and_enlarges_by_whole_pixels(page: Page) -> None:
    page.goto("/work?model=tiny&seed=7&index=3&c.style=ink:0.5,oil:0.5")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ink 50 % and oil 50 %")
    image = page.locator("img.exact")
    box = image.bounding_box()
    assert box is not None
    assert box["width"] % 16 == 0
    page.get_by_role("button", name="Smaller").click()
    assert (image.bounding_box() or box)["width"] == box["width"] - 16
    with page.expect_download() as download:
        page.get_by_role("button", name="WEBP").click()
    assert re.fullmatch(r"tiny-1-[0-9a-f]{16}\.webp", download.value.suggested_filename)
    page.get_by_label("with Content Credentials").check()
    page.get_by_role("button", name="PNG").click()
    expect(page.locator(".downloads .problem")).to_contain_text("no key")


def test_a_works_conditions_are_changed_under_the_hand_and_the_latest_wish_wins(page: Page) -> None:
    page.goto("/work?model=slow&seed=7&index=3&c.style=ink&c.subject=sea")
    page.get_by_text("Change it").click()
    page.get_by_role("button", name="oil").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ink 50 % and oil 50 %")
    share = page.get_by_label("Share of oil")
    share.evaluate(
        """(slider) => {
          for (let step = 1; step <= 20; step += 1) {
            slider.value = String(step / 20);
            slider.dispatchEvent(new Event("input", { bubbles: true }));
          }
          slider.value = "0.25";
          slider.dispatchEvent(new Event("input", { bubbles: true }));
        }"""
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("Ink 80 % and oil 20 %")
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ink 80 % and oil 20 %")
    expect(page).to_have_url(re.compile("ink:0.8,oil:0.2"))


def test_an_album_whose_works_could_not_be_put_into_it_is_gone_on_with(page: Page) -> None:
    on_wall(page)
    page.locator(".tile").first.hover()
    page.locator(".tile .favourite").first.click()
    page.get_by_role("link", name="Favourites").click()
    page.get_by_role("button", name="Put all into a new album").click()
    page.route("**/api/albums/*/works", lambda route: route.abort(), times=1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").locator(".problem")).to_be_visible()
    page.get_by_role("button", name="Make the album").click()
    expect(page.get_by_text("Album of 1 work")).to_be_visible()
    page.get_by_role("link", name="Albums").click()
    expect(page.locator(".covers li")).to_have_count(1)


def test_an_album_is_made_exported_and_hung(page: Page) -> None:
    on_wall(page)
    for number in (0, 1):
        page.locator(".tile").nth(number).hover()
        page.locator(".tile .favourite").nth(number).click()
    page.get_by_role("link", name="Favourites").click()
    page.get_by_role("button", name="Put all into a new album").click()
    page.get_by_role("dialog").get_by_label("Title").fill("Two works")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Two works")
    with page.expect_download() as download:
        page.get_by_role("link", name="Contact sheet").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    with page.expect_response(lambda answer: "/api/work?" in answer.url) as fresh:
        page.get_by_role("link", name="Hang the exhibition").click()
    plate = page.locator(".plate")
    expect(plate).to_contain_text("1 of 2")
    expect(plate.get_by_alt_text("QR code")).to_be_visible()
    address = fresh.value.json()["image"]  # the page loads the image once it knows the fresh work
    page.wait_for_function("image => performance.getEntriesByName(new URL(image, location).href).length", arg=address)
    page.keyboard.press("ArrowRight")
    expect(plate).to_contain_text("Drawn just now")
    page.keyboard.press("ArrowRight")
    expect(plate).to_contain_text("2 of 2")
    page.get_by_role("link", name="Leave").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete the album").click()
    expect(page).to_have_url(re.compile("/albums$"))


def test_works_are_compared_and_a_link_shows_another_visitor_the_same(page: Page, browser: Browser) -> None:
    on_wall(page)
    page.locator(TILE).first.focus()
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    page.get_by_role("link", name="Compare (2)").click()
    expect(page.locator(".beside figure")).to_have_count(2)
    expect(page.locator("tr.differs")).not_to_have_count(0)
    shown = page.locator(".beside img").evaluate_all("all => all.map(each => each.src)")
    other = browser.new_page()
    other.goto(page.url)
    expect(other.locator(".beside figure")).to_have_count(2)
    assert other.locator(".beside img").evaluate_all("all => all.map(each => each.src)") == shown
    other.close()


def test_a_picture_that_is_dropped_on_any_page_is_verified(page: Page, site: Site, tmp_path: Path) -> None:
    on_wall(page)
    address = page.locator(".tile img").first.get_attribute("src") or ""
    page.evaluate(
        """async (address) => {
          const dataTransfer = new DataTransfer();
          const picture = await (await fetch(address)).blob();
          dataTransfer.items.add(new File([picture], "work.png", { type: "image/png" }));
          const drop = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer });
          document.querySelector("h1").dispatchEvent(drop);
        }""",
        address,
    )
    expect(page.locator(".verdict")).to_contain_text("it was drawn by Unikat")
    page.get_by_role("link", name="Draw it again").click()
    expect(page.locator("img.exact")).to_have_attribute("src", re.compile(ids_of(address)))
    page.goto("/verify")
    (tmp_path / "text.png").write_text("no picture")
    page.locator("input[type=file]").set_input_files(tmp_path / "text.png")
    expect(page.locator(".problem")).to_contain_text("PNG, WebP or JPEG")


def ids_of(address: str) -> str:
    found: list[str] = re.findall(r"[0-9a-f]{16}", address)
    return found[0]


def test_on_a_phone_by_touch(browser: Browser, site: Site) -> None:
    phone = browser.new_context(
        base_url=site.address,
        viewport={"width": 390, "height": 780},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
    )
    page = phone.new_page()
    on_wall(page)
    assert page.locator("details.panel").get_attribute("open") is None
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator(".tile .favourite").first.tap()
    expect(page.locator(".tile .favourite").first).to_have_attribute("aria-pressed", "true")
    page.locator(TILE).nth(1).tap()
    expect(page.get_by_role("button", name="Keep")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.close()


def test_more_works_come_on_scrolling_and_a_wall_ends(page: Page) -> None:
    on_wall(page)
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".tile").nth(2 * FULL)).to_be_attached(timeout=30_000)
    page.goto("/work?model=tiny&seed=7&index=0")
    page.get_by_role("link", name="Number 1 →").click()
    expect(page).to_have_url(re.compile("index=1"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(browser: Browser, site: Site, scheme: str) -> None:
    context = browser.new_context(base_url=site.address, color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    on_wall(page, "model=slow&seed=7&c.style=ink:0.5,oil:0.5")
    works = [each.partition("?")[2] for each in page.locator(TILE).evaluate_all("a => a.slice(0, 2).map(e => e.href)")]
    assert broken(page) == []
    page.locator(TILE).first.focus()
    page.keyboard.press("f")
    expect(page.locator(".status.shown")).to_be_visible()
    compare = "/compare?" + "&".join(f"w={work.replace('&', '%26').replace('#', '%23')}" for work in works)
    for address in (f"/work?{works[0]}", "/favourites", "/albums", compare, "/verify"):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert broken(page) == [], address
    context.close()


def broken(page: Page) -> list[tuple[str, list[str]]]:
    """Rules of axe-core that a page breaks, and where."""
    found = Axe().run(page).response
    assert len(found["passes"]) > 10, "the rules were looked at"
    return [(each["id"], [node["html"][:120] for node in each["nodes"][:3]]) for each in found["violations"]]
