"""With the reader's check taken away, what a stranger's record says is text on every page."""

import dataclasses
import html
import json
import re

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from payloads import PAYLOADS
from planted import speed

from tresnet_lite.bench.where import stages
from tresnet_lite.book import claims_page, explorer, landing, measured_speeds, network_map
from tresnet_lite.book.figures import numbered_figure
from tresnet_lite.claims import ledger as claims
from tresnet_lite.findings.landscape import landscape
from tresnet_lite.model import create_model
from tresnet_lite.records import text
from tresnet_lite.show import html as tables
from tresnet_lite.show import plots
from tresnet_lite.show.text import as_html, as_json, as_markdown

pytestmark = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)


@pytest.fixture(autouse=True)
def unguarded(monkeypatch):
    monkeypatch.setattr(text, "check_text", lambda field, text: None)


def networks(payload):
    names = ("tresnet_m", "resnet50")
    return [
        speed("table3", name, phase, 90.0, device=payload, dtype=payload)
        for name in names
        for phase in ("training", "inference")
    ]


def written(payload):
    """The payload as it can be seen, in one line."""
    return " ".join(text.printable(payload).split())


def assert_harmless(page):
    """Nothing of a payload is markup, in HTML and in MyST."""
    page = page.replace("\\\\", "")  # a backslash that is left escapes what follows it
    assert "{{" not in page and not re.search(r"(?<!\\)\{(%|download|literalinclude|include)", page)
    assert all("{raw} html" in line for line in re.findall("(?m)^[`:]{3}{.*", page))
    for tag in re.findall("<[^>]*>", page):
        assert not re.search("img|onerror|onmouseover|<!--", re.sub('="[^"]*"', "", tag))
    assert all(c.isprintable() or c == "\n" for c in page)


def test_the_claims(payload, monkeypatch):
    kinds = [f"{kind}{end}" for kind in claims.EVIDENCE for end in ("_figures", "_source")]
    texts = ("id", "section", "sentence", "why", "paper", "ours", "label", *kinds)
    row = dict.fromkeys(texts, payload)
    row |= {"verdict": "differs", "device": payload, "kind": "speed"}
    row |= dict.fromkeys(claims.EVIDENCE, "holds")
    monkeypatch.setattr(claims_page, "judging", lambda claim: None)
    page = claims_page.claims_page(pd.DataFrame([row]))
    assert_harmless(page)
    assert page.count("<script") == 1 and "<img" not in page
    assert page.count("```") == 6  # no text ends a block of HTML
    shown = MarkdownIt("commonmark").render(page)
    seen = " ".join(html.unescape(re.sub("<[^>]*>", "", shown)).split())
    seen = " ".join(html.unescape(seen).split())
    # all of it, as it was written
    assert seen.count(" ".join(text.printable(payload).split())) >= len(texts) - 2


def test_the_ledger_tells_the_device(payload):
    records = tuple(networks(payload))
    frame = claims.ledger(records)
    measured = frame[frame["label"] == records[0].label]
    assert set(measured["device"]) <= {payload}
    assert set(frame[frame["label"] == ""]["device"]) == {""}


def test_the_landing_page(payload, monkeypatch):
    few = pd.DataFrame({"id": ["a"], "verdict": ["does not hold here"], "device": [payload]})
    for module in (landing, measured_speeds):
        monkeypatch.setattr(module, "ledger", lambda records: few)
    records = networks(payload)
    measured, _, sentence = measured_speeds.landing_measured(records).partition("\n\n")
    for page in (landing.landing_numbers(records), measured):
        assert_harmless(page)
        assert "<script" not in page and "\n\n" not in page
    assert "<figure" in measured and "0 of 1 verdicts" in sentence


def test_the_network_map(payload):
    where = {"suite": "micro", "case": "stages", "metric": "time", "device": payload}
    template = speed(model="tresnet_m", phase="training", median=1.0, dtype=payload, **where)
    names = stages(create_model("tresnet_m"))
    records = [dataclasses.replace(template, part=name) for name in names]
    assert network_map.time_records(records)
    page = network_map.linked_map(records)
    assert_harmless(page)
    assert "<script" not in page and as_html(records[0].label) in page


def test_the_explorer(payload):
    page = explorer.explorer(landscape(networks(payload)))
    assert_harmless(page)
    assert page.count("<script") == 3 and page.count("```") == 2
    data = re.search(r'id="explorer-data">(.*?)</script>', page, re.DOTALL)[1]
    rows = json.loads(data)["rows"]
    assert any(text.printable(payload) in row[0] for row in rows)
    offered = {html.unescape(value) for value in re.findall('option value="([^"]*)"', page)}
    assert {row[0] for row in rows} <= offered  # else the script would show none of them
    table = explorer.speeds_file(landscape(networks(payload)))
    assert all(c.isprintable() or c == "\n" for c in table)


def test_a_drawing(payload):
    rows = [("training", 1.2, payload, 1.1, 1.0, 1.2)]
    columns = ["phase", "paper_ratio", "name", "ratio", "ratio_low", "ratio_high"]
    svg = plots.ratios(pd.DataFrame(rows, columns=columns), base=payload, description=payload).html
    page = numbered_figure(svg, "1.1")
    assert_harmless(page)
    assert "<script" not in page and "mathdefault" not in page


def test_a_table(payload):
    frame = pd.DataFrame({"name": [payload], "label": [payload]})
    assert_harmless(tables.table(frame, "name", "label", note=payload).html)
    page = tables.markdown(frame, "name", "label", headings={"name": payload})
    assert_harmless(page)


def test_escaped_text_reads_as_it_was_written(payload):
    line = written(payload)
    for shown in (as_html(line), as_markdown(line)):
        rendered = MarkdownIt("commonmark").enable("table").renderInline(shown)
        assert html.unescape(rendered) == line
    assert json.loads(as_json({"a": payload})) == {"a": payload}
