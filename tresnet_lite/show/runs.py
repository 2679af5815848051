"""Tables of runs, each with where it comes from."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

import pandas as pd

from tresnet_lite.show.html import Html, table

# Columns for `shown`.
SPEED = "speed"  # in place of a number format: with as many digits as the run's speeds need


SPEEDS = {
    "network|network": "",
    "phase|phase": "",
    "paper, img/s|paper": ",.0f",
    "measured, img/s|measured": SPEED,
    "quartiles|quartiles": "",
    "paper, ratio|paper_ratio": ".3f",
    "measured, ratio|ratio": ".3f",
}


BATCHES = {
    "network|network": "",
    "paper|paper": ",.0f",
    "ours|measured": ",.0f",
    "paper, ratio|paper_ratio": ".3f",
    "ours, ratio|ratio": ".3f",
}


def shown(frame: pd.DataFrame, formats: Mapping[str, str]) -> Html:
    """The runs' tables below each other, each with where it comes from.

    `formats` is as `notebook.table` takes it, and may name the column "quartiles". Where all of a
    run was measured nothing more is said; else a last column tells what of it was, and why the rest
    was not.
    """

    def one(part: pd.DataFrame) -> Html:
        number = ",.0f" if part["measured"].min() >= 100 else ",.2f"
        between = zip(part["q1"], part["q3"], strict=True)
        spread = [f"{low:{number}}–{high:{number}}" if low > 0 else None for low, high in between]
        columns = {key: number if spec == SPEED else spec for key, spec in formats.items()}
        mixed = (part["source"] != "measured").any()
        return table(
            part.assign(quartiles=spread), columns | ({"source|source": ""} if mixed else {})
        )

    return each_run(frame, one)


def each_run(frame: pd.DataFrame, show: Callable[[pd.DataFrame], Html]) -> Html:
    """What `show` makes of each run's lines, below each other, each with its source."""

    if frame.empty:
        return Html("<p>not attempted: no records</p>", "not attempted: no records")
    drawn, told = [], []
    for run, part in frame.groupby("run", sort=False):
        one = show(part.reset_index(drop=True))
        drawn.append(
            f'{one.html}<p style="text-align:center"><small>{html.escape(run)}</small></p>'
        )
        told.append(f"{one.text}\n\n{run}")
    return Html("".join(drawn), "\n\n".join(told))
