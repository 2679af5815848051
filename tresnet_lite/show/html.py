"""Tables and other pieces of HTML, with the text that stands for them where there is none."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Html:
    """What a cell shows: HTML, and the text that stands for it where there is none."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def table(frame: pd.DataFrame, formats: Mapping[str, str], note: str = "") -> Html:
    """A table of the columns that `formats` names: "heading|column" → number format, as
    `report.markdown`.

    Numbers are set to the right, a missing value shows as a dash, and `note` stands below in small
    letters.
    """

    head, body = [], [[] for _ in range(len(frame))]
    for key, spec in formats.items():
        heading, column = key.split("|")
        side = "right" if pd.api.types.is_numeric_dtype(frame[column]) else "left"
        head.append(_cell("th", heading, side))
        for row, value in zip(body, frame[column], strict=True):
            row.append(_cell("td", "–" if pd.isna(value) else format(value, spec), side))
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in body)
    shown = (
        "<table"
        f' class="dataframe"><thead><tr>{"".join(head)}</tr></thead><tbody>{rows}</tbody></table>'
    )
    small = f'<p style="text-align:center"><small>{html.escape(note)}</small></p>' if note else ""
    return Html(shown + small, f"{markdown(frame, formats)}\n\n{note}".strip())


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="text-align:{side};padding:0.2em 0.6em">{html.escape(text)}</{tag}>'


def markdown(table: pd.DataFrame, formats: Mapping[str, str]) -> str:
    """A Markdown table of the columns that `formats` names ("heading|column" → number format)."""

    headings, columns = zip(*(key.split("|") for key in formats), strict=True)
    lines = [headings, ["---"] * len(headings)]
    for _, row in table.iterrows():
        cells = zip((row[c] for c in columns), formats.values(), strict=True)
        lines.append(["–" if pd.isna(value) else format(value, spec) for value, spec in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
