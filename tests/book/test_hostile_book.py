"""A whole book made from hostile records, the reader's check taken away, in a browser: nothing
runs, nothing is fetched, and all of it is text.
"""

import dataclasses
import os
import re

import pytest
from book_site import Watched, chromium, link_checkout, served
from helpers import PROVENANCE
from payloads import PAYLOADS
from planted import speed

from tresnet_lite.bench.where import stages
from tresnet_lite.book import build
from tresnet_lite.book.project import Project
from tresnet_lite.model import create_model
from tresnet_lite.records import Failure, append, store, text

pytestmark = pytest.mark.skipif(
    not os.environ.get("CI"), reason="it builds a book of its own, a minute: in CI, or with CI=true"
)
EVERYTHING = " ~ ".join(PAYLOADS.values())
# What an element may not have, whatever a record says.
ALIVE = r"""() => [...document.querySelectorAll("*")].flatMap((element) =>
  [...element.attributes]
    .filter((a) => (/^on/i.test(a.name) ? /alert|ran/ : /^\s*javascript:/i).test(a.value))
    .map((a) => `${element.tagName} ${a.name}=${a.value}`))"""
# Of characters that cannot be seen MathJax has some, and soft hyphens break words.
UNSEEN = r"""() => [...document.body.innerText]
  .filter((c) => /[\p{Cc}\p{Cf}]/u.test(c) && !/[\n\t\u00ad\u2061-\u2064]/.test(c))
  .map((c) => c.codePointAt(0).toString(16))"""


def hostile_records():
    """Every payload as a device and its settings; then a device that is all of them."""
    for payload in (*PAYLOADS.values(), EVERYTHING):
        for model in ("tresnet_m", "resnet50"):
            for phase in ("training", "inference"):
                record = speed("table3", model, phase, 90.0, dtype=payload)
                texts = ("device", "cpu", "torch", "python", "system", "commit", "command")
                here = dataclasses.replace(PROVENANCE, **dict.fromkeys(texts, payload))
                yield dataclasses.replace(record, provenance=here)
    where = {"case": "stages", "metric": "time", "device": EVERYTHING, "dtype": EVERYTHING}
    step = speed("micro", "tresnet_m", "training", 1.0, **where)
    for name in stages(create_model("tresnet_m")):
        yield dataclasses.replace(step, part=name)
    names = {name: EVERYTHING for name in ("model", "error", "message", "point")}
    yield Failure("table3", "networks", phase="training", provenance=step.provenance, **names)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    link_checkout(folder / "checkout")
    project = Project(folder / "checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "check_text", lambda field, value: None)
        patch.setenv(store.VARIABLE, str(folder / "records.jsonl"))
        append(folder / "records.jsonl", *hostile_records())
        assert build.build_book(project, "smoke"), (project.build / "book.log").read_text()[-2000:]
    return project.index.parent


@pytest.fixture(scope="module")
def window(html):
    program = chromium()
    from playwright.sync_api import sync_playwright

    with served(html) as address, sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, args=options)
        watched = Watched(browser.new_context(), address)
        watched.page.on("dialog", lambda box: (watched.faults.append("alert"), box.dismiss()))
        yield watched
        browser.close()


@pytest.fixture
def look(window):
    """A function that opens a page and looks that nothing of a record is alive in it."""

    def opened(name):
        window.faults.clear()
        page = window.open(name)
        assert_dead(window)
        return page

    return opened


def assert_dead(window):
    assert window.faults == []
    assert window.page.title() != "ran"
    assert window.page.evaluate(ALIVE) == []
    assert window.page.evaluate(UNSEEN) == []


def letters(shown):
    """Letters and digits: Sphinx makes typographic signs of some others."""
    return re.sub(r"[\W_]", "", text.printable(shown))


@pytest.mark.parametrize("name", ["claims", "intro", "map", "explorer"])
def test_a_page_made_from_records_is_text(look, name):
    page = look(f"book/{name}.html")
    assert page.locator("mjx-merror").count() == 0
    seen = letters(page.locator("body").inner_text())
    for payload in PAYLOADS.values() if name == "claims" else ():
        assert letters(payload) in seen


def test_every_page_is_text(look, html):
    pages = [path.relative_to(html).as_posix() for path in html.glob("[!_]*/*.html")]
    assert len(pages) > 20
    for name in pages:
        look(name)


def test_the_explorer_shows_every_device_as_text(look, window):
    """Chosen, and pointed at: plotly reads tags and formulas in its texts."""
    page = look("book/explorer.html")
    page.wait_for_selector("#explorer-chart .scatterlayer .point")
    places = page.locator("#explorer-place option")
    assert places.count() > len(PAYLOADS)
    for number in range(places.count()):
        page.select_option("#explorer-place", index=number)
        point = page.locator("#explorer-chart .scatterlayer .point").first
        point.wait_for()
        point.hover(force=True)
        page.wait_for_selector("#explorer-chart .hoverlayer text")
        assert page.locator("#explorer-points tr").count() > 1
        assert page.locator("#explorer-chart a, .explorer mjx-container").count() == 0
        assert_dead(window)
