"""What the README shows of the book: a picture and five numbers first, then verdicts and sizes."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from urllib.parse import urljoin

import pandas as pd

from tresnet_lite.book import design
from tresnet_lite.book.chapters import book_address
from tresnet_lite.book.landing import numbers
from tresnet_lite.claims.ledger import ledger, sums
from tresnet_lite.claims.verdict import BY_COUNTING, DIFFERS, REPRODUCED
from tresnet_lite.findings.sizes import model_sizes
from tresnet_lite.records import store
from tresnet_lite.show.html import markdown
from tresnet_lite.show.text import as_html, as_markdown

SIZE_COLUMNS = ("model", "parameters_m", "without_classifier", "paper_parameters")
SIZE_COLUMNS += ("macs", "paper_macs")
JUDGED = (REPRODUCED, DIFFERS)
VERDICT_COLUMNS = ("sentence", "asserted", "ours", "verdict")
PICTURES = {  # page → the file in the checkout
    scheme: Path("book", "static", f"design_{scheme}.svg") for scheme in design.INKS
}
# So narrow, in pixels and in letters, that the table stands beside the picture
PICTURE_WIDTH, LETTERS, SMALL_LETTERS = 340, 42, 58


def pictures() -> dict[Path, str]:
    """The files that the README shows: place in the checkout → SVG."""
    return {place: design.picture(scheme) for scheme, place in PICTURES.items()}


def first_screen() -> str:
    """The picture for light and dark pages, the way to the book, and the five numbers."""
    alt = as_html(design.description(design.pairs()))
    picture = (
        f'<a href="{urljoin(book_address(), "book/intro.html#fig-0-2")}"><picture>\n'
        f'  <source media="(prefers-color-scheme: dark)" srcset="{PICTURES["dark"].as_posix()}">\n'
        f'  <img align="right" width="{PICTURE_WIDTH}" src="{PICTURES["light"].as_posix()}"\n'
        f'   alt="{alt}">\n</picture></a>'
    )
    book = f"**[Read the book]({book_address()})**: every claim of the paper, judged."
    lines = ["| | Does it hold on GPUs? |", "| --- | --- |"]
    for number in numbers(store.committed()):
        page = urljoin(f"{book_address()}book/", number.page)
        small = _lines(f"{number.beside}; {number.source}", SMALL_LETTERS)
        what = f"[{_lines(number.what, LETTERS)}]({page})<br><sub>{small}</sub>"
        lines.append(f"| **{as_markdown(number.ours)}** | {what} |")
    return "\n\n".join([picture, book, "\n".join(lines)])


def _lines(text: str, letters: int) -> str:
    """Text in Markdown, in lines of so many letters, as a table sets a cell in one."""
    return "<br>".join(map(as_markdown, textwrap.wrap(text, letters)))


def results() -> str:
    """The paper's speeds judged on GPUs, all verdicts counted, sizes."""
    records = store.committed()
    rows = ledger(records)
    parts = []
    for device in sorted({r.provenance.device for r in records if r.provenance.cuda}):
        parts += _of_gpu(device, rows[rows["device"] == device])
    parts.append("\n".join(f"- {as_markdown(line)}" for line in sums(rows)))
    sources = f"At 224 px. Ours, this package's ResNet50 included: {BY_COUNTING}. "
    sources += "Paper: quoted (Tables 1 and 2)."
    return "\n\n".join([*parts, markdown(model_sizes(), *SIZE_COLUMNS), sources])


def _of_gpu(device: str, rows: pd.DataFrame) -> list[str]:
    """A GPU's verdicts on the paper's claims, and where the numbers come from."""
    judged = rows[rows["verdict"].isin(JUDGED)]
    judged = judged.rename(columns={"paper": "asserted"})
    counts = Counter(rows["verdict"])
    left = ", ".join(f"{count} {word}" for word, count in counts.items() if word not in JUDGED)
    sources = "Ratios with their intervals, of 95 % where three processes or more timed both; "
    sources += f"{', '.join(sorted(set(rows['label'])))}. "
    sources += f"Other claims about its speed: {left}."
    title = f"**What the paper says of speed, on the {device}:**"
    return [title, markdown(judged, *VERDICT_COLUMNS), sources] if len(judged) else []
