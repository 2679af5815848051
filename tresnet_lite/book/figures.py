"""Drawings become figures of the book: numbered, captioned, linked to the code that drew them."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tresnet_lite.book.chapters import ROOT, source_link
from tresnet_lite.show.text import as_html

if TYPE_CHECKING:
    import nbformat

DRAWING = re.compile(r"<svg [^>]*aria-label=.*?</svg>", re.DOTALL)


def number_figures(notebook: nbformat.NotebookNode, chapter: int, root: Path = ROOT) -> int:
    """Make a figure, numbered "chapter.1" on, of each drawing among the outputs; how many."""
    count = 0

    def numbered(drawing: re.Match) -> str:
        nonlocal count
        count += 1
        return numbered_figure(drawing[0], f"{chapter}.{count}", root)

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = DRAWING.sub(numbered, data["text/html"])
    return count


def numbered_figure(svg: str, number: str, root: Path = ROOT) -> str:
    """A drawing with its caption, the first sentence of its description.

    So the first sentence of a description is written as a caption: what is seen, on one or two
    lines. The anchor of figure "1.2" is `fig-1-2`. There are no blank lines, where Markdown would
    end.
    """
    anchor = f"fig-{number.replace('.', '-')}"
    description = html.unescape(re.search(r'aria-label="([^"]*)"', svg)[1])
    caption = re.split(r"(?<=\.) ", description, maxsplit=1)[0].rstrip(".")
    caption = caption[:1].upper() + caption[1:]
    source = re.search(r' data-code="([^"#]+)(?:#L(\d+))?"', svg)
    code = ""
    if source and (root / source[1]).exists():
        link = source_link(source[1], root, line=int(source[2] or 0) or None)
        code = f' <a href="{link}" aria-label="The code that drew Figure {number}">Code</a>'
    text = f'<a href="#{anchor}">Figure {number}</a>. {as_html(caption)}.{code}'
    whole = f'<figure class="drawing" id="{anchor}">{svg}<figcaption>{text}</figcaption></figure>'
    return re.sub(r"\n\s*\n", "\n", whole)
