"""Tables and other pieces of HTML, with the text that stands for them where there is none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import pandas as pd

from tresnet_lite.records.text import printable
from tresnet_lite.show.columns import AS_BEFORE, AS_THE_SLOWEST, COLUMNS
from tresnet_lite.show.text import as_html, as_markdown

MISSING = "–"


@dataclass(frozen=True)
class Html:
    """What a cell shows: HTML, and the text that stands for it where there is none."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def table(
    frame: pd.DataFrame, *names: str, headings: Mapping[str, str] | None = None, note: str = ""
) -> Html:
    """A table of a frame's columns, with their headings, units and formats in `COLUMNS`.

    Numbers are set to the right, and a missing value shows as a dash. A frame with q1 and q3 has a
    column "quartiles" as well.

    Args:
        names: of the columns, in the order shown.
        headings: name → what this table says in place of the column's own heading.
        note: stands below the table in small letters.

    Raises:
        ValueError: a name that is not in `COLUMNS`, or not in the frame.
    """
    columns = _columns(frame, names, headings or {})
    head = "".join(_cell("th", column.title, column.style) for column in columns)
    cells = [[_cell("td", text, column.style) for text in column.texts] for column in columns]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
    grid = f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    small = f'<p style="text-align:center"><small>{as_html(note)}</small></p>' if note else ""
    return Html(grid + small, f"{_markdown(columns, printable)}\n\n{note}".strip())


def markdown(frame: pd.DataFrame, *names: str, headings: Mapping[str, str] | None = None) -> str:
    """The same table in Markdown."""
    return _markdown(_columns(frame, names, headings or {}), as_markdown)


class _Column(NamedTuple):
    title: str
    style: str
    texts: list[str]


def _columns(
    frame: pd.DataFrame, names: Collection[str], headings: Mapping[str, str]
) -> list[_Column]:
    if "quartiles" not in frame and {"q1", "q3"} <= set(frame):
        frame = frame.assign(quartiles=list(zip(frame["q1"], frame["q3"], strict=True)))
    _check(names, COLUMNS, "no column of tables is called {}: tresnet_lite/show/columns.py has {}")
    _check(names, frame, "this table has no column {}: it has {}")
    _check(headings, names, "a heading is given for {}, which is not shown: there are {}")
    columns, number_format = [], ""
    for name in names:
        heading, (unit, rule) = COLUMNS[name]
        if rule == AS_THE_SLOWEST:
            number_format = _speed_format(frame, names)
        elif rule != AS_BEFORE:
            number_format = rule
        title = ", ".join(filter(None, (headings.get(name, heading), unit)))
        texts = [_text(value, number_format) for value in frame[name]]
        columns.append(_Column(title, _style(frame[name], rule), texts))
    return columns


def _check(names: Collection[str], known: Collection[str], message: str) -> None:
    for name in names:
        if name not in known:
            nearest = get_close_matches(name, list(known), n=3, cutoff=0.0)
            raise ValueError(message.format(repr(name), ", ".join(map(repr, nearest)) or "none"))


def _speed_format(frame: pd.DataFrame, names: Collection[str]) -> str:
    """Of all speeds that a table shows, by the slowest."""
    speeds = [name for name in names if COLUMNS[name].quantity.format == AS_THE_SLOWEST]
    return ",.0f" if frame[speeds].min(axis=None) >= 100 else ",.2f"


def _text(value: object, number_format: str) -> str:
    if isinstance(value, tuple):
        low, high = value
        return MISSING if pd.isna(low) else f"{low:{number_format}}–{high:{number_format}}"
    if isinstance(value, str):
        return value
    return MISSING if pd.isna(value) else format(value, number_format)


def _style(values: pd.Series, rule: str) -> str:
    if rule == AS_BEFORE:
        return "text-align:left;white-space:nowrap"
    return f"text-align:{'right' if pd.api.types.is_numeric_dtype(values) else 'left'}"


def _cell(tag: str, text: str, style: str) -> str:
    return f'<{tag} style="{style};padding:0.2em 0.6em">{as_html(text)}</{tag}>'


def _markdown(columns: list[_Column], escape: Callable[[str], str]) -> str:
    lines = [[escape(column.title) for column in columns], ["---"] * len(columns)]
    lines += zip(*(map(escape, column.texts) for column in columns), strict=True)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
