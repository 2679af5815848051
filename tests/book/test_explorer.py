"""The explorer's page holds the points that there are, and works in a browser without a network."""

import csv
import io
import json
import re
import shutil

import pytest
from planted import speed

from tresnet_lite.book import explorer
from tresnet_lite.checkout import ROOT
from tresnet_lite.findings.landscape import landscape
from tresnet_lite.records import text

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)


@pytest.fixture(scope="module")
def points():
    """Everything quoted, and two measured points of a device whose name could break a page."""
    device = '</script><b>"GPU" & Sons'
    speeds = (("resnet50", 100.0), ("tresnet_m", 90.0))
    with pytest.MonkeyPatch.context() as patch:  # a reader refuses such a name
        patch.setattr(text, "check_text", lambda field, text: None)
        return landscape(
            [speed("table3", m, "training", v, spread=0.1, device=device) for m, v in speeds]
        )


def data(page: str) -> dict:
    return json.loads(re.search(r'id="explorer-data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_holds_every_point(points):
    held = data(explorer.explorer(points))
    assert len(held["rows"]) == len(points)
    for row, point in zip(held["rows"], points.itertuples(), strict=True):
        named = dict(zip(held["columns"], row, strict=True))
        assert (named["network"], named["source"], named["kind"]) == (
            point.network,
            point.source,
            point.kind,
        )
        assert named["speed"] == pytest.approx(point.speed) and named["top1"] == point.top1
        assert (named["q1"] is None) == (point.kind == "quoted")
    assert held["first"][0] in {row[0] for row in held["rows"]}


def test_nothing_of_a_record_can_end_the_page(points):
    page = explorer.explorer(points)
    assert page.count("</script>") == 3 and '<b>"GPU"' not in page
    # nothing is fetched; SVG names its own language
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_the_file_holds_the_same(points):
    rows = list(csv.DictReader(io.StringIO(explorer.speeds_file(points))))
    assert len(rows) == len(points) and float(rows[0]["speed"]) == points["speed"].iloc[0]


def test_choices_are_labelled(points):
    page = explorer.explorer(points)
    for name in (*explorer.CHOICES, "scale"):
        assert f'<label for="explorer-{name}">' in page and f'<select id="explorer-{name}"' in page


@pytest.fixture
def browser_page(points, tmp_path):
    """The page's own HTML with its scripts beside it, opened in a browser without a network."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    raw = re.search(r"```\{raw\} html\n(.*?)\n```", explorer.explorer(points), re.DOTALL)[1]
    (tmp_path / "book").mkdir()
    head = (
        '<!doctype html><html lang="en" data-theme="light"><meta'
        ' charset="utf-8"><title>Explorer</title>'
    )
    head += '<link rel="stylesheet" href="../_static/custom.css">'
    (tmp_path / "book" / "explorer.html").write_text(
        f"{head}<body><main>{raw}</main>", encoding="utf-8"
    )
    shutil.copytree(ROOT / "book" / "static", tmp_path / "_static")
    for place, source in explorer.assets(tmp_path, []).items():
        shutil.copy(source, tmp_path / "_static" / place.name)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_context(offline=True, viewport={"width": 390, "height": 800}).new_page()
        page.troubles = []
        page.on(
            "console",
            lambda message: page.troubles.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: page.troubles.append(str(error)))
        page.on("requestfailed", lambda request: page.troubles.append(request.url))
        page.goto((tmp_path / "book" / "explorer.html").as_uri())
        page.wait_for_selector("#explorer-chart .scatterlayer .point")
        yield page
        browser.close()


def test_the_chart_follows_the_choices(browser_page, points):
    page = browser_page

    def shown() -> int:
        return page.locator("#explorer-chart .scatterlayer .point").count()

    assert shown() == page.locator("#explorer-points tbody tr").count() == 19
    assert not page.locator("#explorer-static").is_visible()
    place = next(p for p in explorer.places(points)["place"] if p.endswith("(measured)"))
    page.select_option("#explorer-place", place)
    assert shown() == 2 and page.locator("#explorer-phase").input_value() == "training"
    assert page.locator("#explorer-phase").is_disabled()  # it was measured in no other
    page.select_option("#explorer-scale", "ratio")
    assert "0.900" in page.locator("#explorer-points").inner_text()
    assert page.evaluate("document.getElementById('explorer-chart').data.at(-1).y.length") >= 1

    page.select_option("#explorer-place", "RTX 3090, torch 1.12 (quoted, timm)")
    page.select_option("#explorer-memory_format", "channels_last")
    slow = page.locator("#explorer-points tr", has_text="TResNet-M").inner_text()
    assert "0.191" in slow and "nhwc" in slow

    axis = "getComputedStyle(document.querySelector('#explorer-chart .xtick text')).fill"
    light = page.evaluate(axis)
    page.evaluate(
        "document.body.style.color = 'rgb(240, 240, 240)'; document.documentElement.dataset.theme ="
        " 'dark'"
    )
    page.wait_for_function(f"{axis} === 'rgb(240, 240, 240)'")
    assert light != "rgb(240, 240, 240)"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.troubles == []


def test_choices_answer_to_the_keyboard(browser_page):
    page = browser_page
    page.locator("#explorer-compile").focus()
    before = page.locator("#explorer-points").inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.type("c")  # compiled
    page.keyboard.press("Tab")
    assert page.locator("#explorer-points").inner_text() != before
    assert page.troubles == []


def test_the_page_is_accessible(browser_page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(browser_page, context="#explorer").response["violations"]
    assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in found] == []
