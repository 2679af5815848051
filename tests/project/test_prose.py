"""What is written by hand holds no measurement, and chapters open and close as readers expect."""

import re
from pathlib import Path

import nbformat
import pytest

from tresnet_lite.checkout import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[!.]*.ipynb"))
PAGES = sorted((ROOT / "book").glob("*.md"))

# A number with the unit of a speed, a time, a memory or a gain.
MEASUREMENT = re.compile(
    r"(?<![\w.,])\d[\d.,]*\s?(?:img/s|images? (?:a|per)"
    r" second|ms\b|µs\b|us\b|[MGT]i?B\b(?!/)|GFLOPS?\b|[TG]FLOP/s"
    r"|(?:×|x|times) (?:faster|slower|as fast|the speed)|(?:%|per ?cent) (?:faster|slower|of the"
    r" time|more speed))",
    re.IGNORECASE,
)
# Typed all the same: (file, the words) → why it is no measurement of ours.
ALLOWED = {
    (
        "how_to_run.md",
        "9 GB",
    ): "the size of torch, an order of magnitude; README.md says how it was found",
    ("03_inplace_abn.ipynb", "126 MB"): "arithmetic: TResNet-M's parameters, four bytes each",
    ("discrepancies.md", "480 img/s"): "quoted from the paper's Table 1",
    ("02_antialias.ipynb", "125 TFLOP/s"): "quoted from the V100's data sheet",
    ("04_block_selection.ipynb", "125 TFLOP/s"): "quoted from the V100's data sheet",
    ("11_table3.ipynb", "16 GB"): "a property of the paper's GPU",
    ("how_we_measure.md", "40 GiB"): "a setting: `suites.LARGE`",
    ("11_table3.ipynb", "16 GiB"): "a property of the paper's GPU",
}


def prose(path: Path) -> str:
    """The text that a person wrote: a page, or a notebook's Markdown; without what is rendered and
    without code.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def typed(path: Path) -> list[str]:
    return [
        found[0]
        for found in MEASUREMENT.finditer(prose(path))
        if (path.name, found[0]) not in ALLOWED
    ]


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_no_measurement_is_typed(path):
    assert typed(path) == []


def test_what_is_allowed_is_there():
    texts = {path.name: prose(path) for path in (*PAGES, *NOTEBOOKS)}
    assert [key for key in ALLOWED if key[1] not in texts[key[0]]] == []


@pytest.mark.parametrize(
    "sentence",
    [
        "It runs 730 img/s.",
        "2,930 images a second",
        "a step of 1.4 ms",
        "it keeps 47.5 MiB",
        "1.78× faster",
        "5 % slower",
    ],
)
def test_a_typed_measurement_is_found(tmp_path, sentence):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{sentence}\n")
    assert len(typed(page)) == 1


@pytest.mark.parametrize(
    "sentence",
    ["at 224 pixels", "90 % of the largest batch", "a 3×3 convolution", "[memory](x.py)"],
)
def test_a_setting_is_no_measurement(tmp_path, sentence):
    page = tmp_path / "page.md"
    page.write_text(sentence)
    assert typed(page) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_says_what_you_will_see_and_what_to_try(path):
    text = prose(path)
    opening = text.partition("\n## ")[0]
    assert all(words in opening for words in ("**You will see**", "**You need**", "**It takes**"))
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert {"Try it", "Exercises"} & set(headings[-3:]), headings


def cited() -> dict[str, set[str]]:
    """Address of an article that prose links to → the years that the links' texts name."""
    years: dict[str, set[str]] = {}
    link = re.compile(r"\[([^\]]*)\]\((https://(?:arxiv\.org/abs|doi\.org)/[^)]+)\)")
    for path in (*PAGES, *NOTEBOOKS):
        for words, address in link.findall(prose(path)):
            years.setdefault(address, set()).update(re.findall(r"\b\d{4}\b", words))
    return years


def test_the_bibliography_has_what_chapters_cite_with_its_year():
    entries = (ROOT / "book" / "references.bib").read_text(encoding="utf-8").split("\n@")
    fields = [
        dict(re.findall(r"^\s*(year|url)\s*=\s*\{(.+)\},$", entry, re.MULTILINE))
        for entry in entries
    ]
    found = {entry["url"]: entry["year"] for entry in fields}
    assert len(cited()) > 15
    wrong = {
        address: (years, found.get(address))
        for address, years in cited().items()
        if address not in found or years - {found[address]}
    }
    assert wrong == {}
