"""Tables of runs, each with where it comes from."""

from __future__ import annotations

import html
from collections.abc import Callable

import pandas as pd

from tresnet_lite.show.html import Html, table

SPEEDS = ("network", "phase", "paper", "measured", "quartiles", "paper_ratio", "ratio")


def runs_table(frame: pd.DataFrame, *names: str) -> Html:
    """A table of the named columns for each run, below each other, each with where it comes from.

    Where not all of a run was measured, a last column says what was, and why the rest was not.
    """

    def of_run(lines: pd.DataFrame) -> Html:
        mixed = (lines["source"] != "measured").any()
        return table(lines, *names, *(["source"] if mixed else []))

    return each_run(frame, of_run)


def each_run(frame: pd.DataFrame, show: Callable[[pd.DataFrame], Html]) -> Html:
    """What `show` makes of each run's lines, below each other, each with where it comes from."""
    if frame.empty:
        return Html("<p>not attempted: no records</p>", "not attempted: no records")
    pieces = []
    for run, lines in frame.groupby("run", sort=False):
        piece = show(lines.reset_index(drop=True))
        source = f'<p style="text-align:center"><small>{html.escape(run)}</small></p>'
        pieces.append(Html(piece.html + source, f"{piece.text}\n\n{run}"))
    return Html("".join(p.html for p in pieces), "\n\n".join(p.text for p in pieces))
