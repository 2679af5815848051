"""The built book in a browser without a network: it opens, reads, searches, and can be used by
everyone.
"""

from pathlib import Path

import pytest
from book_site import Watched, build_once, chromium, served

MAIN = (
    "book/intro.html",
    "book/map.html",
    "book/claims.html",
    "book/explorer.html",
    "notebooks/01_stem.html",
)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
FITS = f"document.documentElement.scrollWidth <= {PHONE['width']}"
LANDING = 1_500_000  # bytes, before images
# Preloading would have axe fetch the theme's style sheets by paths that it gets wrong.
AXE = {
    "preload": False,
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21aa"],
}


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> Path:
    return build_once(tmp_path_factory)


@pytest.fixture(scope="module")
def pages(html) -> list[str]:
    """Every page but the landing page's redirection."""
    names = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    return [name for name in names if name != "index.html" and not name.startswith("_static")]


@pytest.fixture(scope="module")
def browser():
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def base(html):
    with served(html) as address:
        yield address


@pytest.fixture
def look(browser, base):
    """A function that opens a window: its size, its colours."""
    windows = []

    def opened(size: dict = DESK, colours: str = "light") -> Watched:
        windows.append(browser.new_context(viewport=size, color_scheme=colours))
        return Watched(windows[-1], base)

    yield opened
    for window in windows:
        window.close()


def test_every_page_opens_without_a_network_and_fits_a_phone(look, pages):
    window = look(PHONE)
    assert len(pages) > 20
    for name in pages:
        page = window.open(name)
        assert page.title()
        assert page.locator("mjx-merror").count() == 0, name
        page.wait_for_function(FITS)  # once fonts and formulas have settled
    assert window.faults == []


def test_formulas_are_set(look):
    page = look().open("notebooks/01_stem.html")
    formulas = page.locator("span.math, div.math")
    assert formulas.count() > 5
    assert (
        page.locator("span.math mjx-container, div.math mjx-container").count() >= formulas.count()
    )


def test_the_theme_toggles(look):
    page = look().open("book/intro.html")
    colour = "getComputedStyle(document.body).backgroundColor"
    seen = {}
    for _ in range(3):  # light, dark, as the system has it
        page.locator(".theme-switch-button:visible").first.click()
        seen[page.evaluate("document.documentElement.dataset.theme")] = page.evaluate(colour)
    assert set(seen) == {"light", "dark"} and seen["light"] != seen["dark"]


def test_search_finds_the_blur(look):
    window = look()
    page = window.open("search.html?q=blur")
    page.wait_for_selector("#search-results ul.search li a")
    found = page.locator("#search-results ul.search li a").evaluate_all(
        "links => links.map(a => a.href)"
    )
    assert any("02_antialias" in address for address in found)
    assert window.faults == []


def test_the_map_opens_chapters_by_keyboard(look):
    page = look().open("book/map.html")
    page.locator("svg.map a").first.focus()
    assert page.evaluate("document.activeElement.closest('svg.map') !== null")
    page.keyboard.press("Tab")  # from the part to its first button
    assert "SpaceToDepth" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/notebooks/01_stem.html")


def test_the_map_opens_chapters_by_click(look):
    page = look().open("book/map.html")
    page.locator("svg.map a", has_text="stage 3").locator("text.name").click()
    page.wait_for_url("**/notebooks/04_block_selection.html")


def test_the_landing_pages_drawing_opens_chapters(look):
    page = look().open("book/intro.html")
    page.locator("svg.map a", has_text="SpaceToDepth").locator("rect").click()
    page.wait_for_url("**/notebooks/01_stem.html")


def test_a_wide_table_scrolls_in_its_box_and_takes_the_keyboard(look):
    page = look(PHONE).open("book/discrepancies.html")
    box = page.locator(".table-box").first
    page.wait_for_function("document.querySelector('.table-box').getAttribute('tabindex') === '0'")
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.table-box').scrollLeft > 0")


def test_the_landing_page_is_small(look):
    window = look()
    window.open("book/intro.html")
    pictures = (".png", ".jpg", ".svg", ".ico")
    size = sum(
        n
        for address, n in window.loaded.items()
        if not address.partition("?")[0].endswith(pictures)
    )
    assert 50_000 < size < LANDING


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_serious(look, colours):
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for name in MAIN:
        page = look(colours=colours).open(name)
        for fault in Axe().run(page, options=AXE).response["violations"]:
            if fault["impact"] in ("serious", "critical"):
                found += [f"{name}: {fault['id']}: {node['html'][:120]}" for node in fault["nodes"]]
    assert found == []
