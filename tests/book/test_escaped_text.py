"""Escaped text, as the book's own parser and a spreadsheet's reader see it."""

import csv
import html
import io
import random
import re

import pytest
import yaml
from planted import speed

from tresnet_lite.book import explorer
from tresnet_lite.checkout import ROOT
from tresnet_lite.findings.landscape import landscape
from tresnet_lite.show.text import as_cell, as_html, as_markdown

PIECES = [*"ab1 _*`~$\\<>&;#[](){}|^@!:/.+-='\"?%é", "http://", "www.", "x.com", "a@b.co", "&amp;"]
PIECES += [
    "```",
    ":::",
    "[^1]",
    "{ref}",
    "10. ",
    "[ ] ",
    "<b>",
    "(x)=",
    "---",
    "+++",
    "$$",
    "![",
    "<!--",
]
AT_THE_START = [
    "-",
    "+",
    "%",
    "% x",
    "---",
    "+++",
    "10. x",
    "1) x",
    "(x)=",
    ":::",
    "===",
    "# x",
    "x #",
]
PLACES = {"{}": {"p"}, "## {}": {"h2"}, "- {}: y": {"ul", "li"}, "*x*{}": {"p", "em"}}


@pytest.fixture(scope="module")
def render():
    """Markdown → HTML, with the extensions that the book has."""
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    extensions = set(settings["parse"]["myst_enable_extensions"])
    assert {"linkify", "dollarmath"} <= extensions  # which make the most of a text
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML).render


def texts(number):
    draw = random.Random(number)
    return ["".join(draw.choices(PIECES, k=draw.randint(1, 7))).strip() or "x" for _ in range(300)]


@pytest.mark.parametrize("place", PLACES)
def test_a_text_is_a_text_wherever_it_stands(place, render):
    for text in [*AT_THE_START, *texts(1), *texts(2)]:
        page = render(place.format(as_markdown(text)))
        seen = html.unescape(re.sub("<[^>]*>", "", page))
        written = place.format(text).removeprefix("## ").removeprefix("- ").replace("*x*", "x")
        assert " ".join(seen.split()) == " ".join(written.split()), text
        assert set(re.findall(r"<(\w+)", page)) == PLACES[place], text


def test_html_in_a_page_is_a_text_too(render):
    for text in texts(3):
        page = render(f'x <span title="{as_html(text)}">{as_html(text)}</span> y')
        shown = re.fullmatch(r'<p>x <span title="([^"]*)">(.*)</span> y</p>\s*', page)
        assert shown and "<" not in shown[2], text
        assert [html.unescape(part) for part in shown.groups()] == [text, text]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+1", "@SUM(A1)", "a;=1", "a; =1", "\N{FULLWIDTH EQUALS SIGN}1"]
)
def test_no_cell_is_a_formula(text):
    names = ("tresnet_m", "resnet50")
    records = [speed("table3", name, "inference", 90.0, device=text) for name in names]
    rows = csv.reader(io.StringIO(explorer.speeds_file(landscape(records))))
    cells = [part for row in rows for cell in row for part in cell.split(";")]
    assert any(text.strip()[-1] in cell and "'" in cell for cell in cells)
    assert not [cell for cell in cells if re.match(r"\s*[=+@\-\uff1d\uff0b\uff0d\uff20]\D", cell)]


def test_other_cells_stay_as_they_are():
    for text in ("RTX 4090, torch 2.4.0", "a-b", "a = b; c", "–", ""):
        assert as_cell(text) == text
