"""Tables of runs, each with where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from tresnet_lite.findings.tables import LARGEST_BATCH
from tresnet_lite.show.html import Html, table
from tresnet_lite.show.text import as_html

# Columns of `runs_table`: of speeds, and of `batch_lines`.
SPEEDS = ("network", "phase", "paper", "measured", "quartiles", "paper_ratio", "ratio")
BATCHES = ("network", "max_batch", "largest_batch", "paper_ratio", "batch_ratio")


def runs_table(frame: pd.DataFrame, *names: str, headings: Mapping[str, str] | None = None) -> Html:
    """A `table` of each run's lines, below each other, each with where it comes from.

    Where not all of a run was measured, a last column says what was, and why the rest was not.
    """

    def of_run(lines: pd.DataFrame) -> Html:
        mixed = (lines["source"] != "measured").any()
        return table(lines, *names, *(["source"] if mixed else []), headings=headings)

    return each_run(frame, of_run)


def accuracy_table(lines: pd.DataFrame) -> Html:
    """A `table` of the lines of `accuracy.beside_paper`.

    Where nothing was measured, the columns of measurements give way to a note that says why.
    """
    columns = ["network", "resolution", "protocol", "paper_top1", "timm_top1"]
    if lines["measured_top1"].isna().all():
        return table(lines, *columns, note="; ".join(dict.fromkeys(lines["source"])))
    return table(lines, *columns, "measured_top1", "interval", "top5", "source")


def batch_lines(frame: pd.DataFrame) -> pd.DataFrame:
    """The lines about the largest batch, with names of their own for the numbers."""
    names = {"paper": "max_batch", "measured": "largest_batch", "ratio": "batch_ratio"}
    return frame[frame["phase"] == LARGEST_BATCH].rename(columns=names)


def each_run(frame: pd.DataFrame, show: Callable[[pd.DataFrame], Html]) -> Html:
    """What `show` makes of each run's lines, below each other, each with where it comes from."""
    if frame.empty:
        return Html("<p>not attempted: no records</p>", "not attempted: no records")
    pieces = []
    for run, lines in frame.groupby("run", sort=False):
        piece = show(lines.reset_index(drop=True))
        source = f'<p style="text-align:center"><small>{as_html(run)}</small></p>'
        pieces.append(Html(piece.html + source, f"{piece.text}\n\n{run}"))
    return Html("".join(p.html for p in pieces), "\n\n".join(p.text for p in pieces))
