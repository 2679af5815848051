"""Table 3: the family's speed and largest batch, and what share of it is Inplace-ABN's."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tresnet_lite.findings.tables import LARGEST_BATCH
from tresnet_lite.show.marks import paper_marks, rows
from tresnet_lite.show.plots import chart, drawing, legend_above
from tresnet_lite.show.style import BLUE, GREEN, ORANGE, PAPER, SKY, SMALL

FACTOR_COLOURS = {"architecture": ORANGE, "Inplace-ABN": GREEN, "lean": SKY}


@drawing
def batches(counted: pd.DataFrame, measured: pd.DataFrame) -> tuple[Figure, str]:
    """Largest batches, ResNet50's = 1: a bar for each counted factor, the paper's, and a run's own.

    Args:
        counted: as `batch_factors` gives it.
        measured: the lines of one run of `tables.table3`.
    """
    counted = counted[counted["network"] != "ResNet50"].reset_index(drop=True)
    ours = measured[measured["phase"] == LARGEST_BATCH].set_index("network")["ratio"]
    ours = ours[ours > 0]  # without those that were not measured
    figure, axes = chart(0.95 * len(counted) + 1.5)
    rows(axes, counted["network"], reference=1)
    clauses = []
    for row in counted.itertuples():
        ends = pairwise((1.0, row.architecture, row.counted, row.lean_ratio))
        bars = zip((-0.25, 0, 0.25), ends, FACTOR_COLOURS.values(), strict=True)
        for offset, (start, end), colour in bars:
            place, bar = row.Index + offset, {"height": 0.22, "color": colour, "alpha": 0.6}
            axes.barh(place, end - start, left=start, **bar)
        clause = (
            f"{row.network}: paper {row.paper_ratio:.2f}, architecture {row.architecture:.2f},"
            f" with Inplace-ABN {row.counted:.2f}, lean {row.lean_ratio:.2f}"
        )
        if row.network in ours:
            axes.plot(ours[row.network], row.Index + 0.25, "o", color=BLUE, markersize=7)
            clause += f"; this run {ours[row.network]:.2f}"
        clauses.append(clause)
    paper_marks(axes, counted["paper_ratio"], counted.index)
    axes.set_xlabel("largest batch, ResNet50 = 1", fontsize=SMALL + 1)
    run = {"marker": "o", "color": BLUE, "linestyle": "none", "label": "this run (lean)"}
    handles = [
        *(Patch(color=colour, alpha=0.6, label=name) for name, colour in FACTOR_COLOURS.items()),
        Line2D([], [], label="paper", **PAPER),
        Line2D([], [], **run),
    ]
    legend_above(figure, handles, loc="outside upper left", columnspacing=1.2)
    intro = "Largest batches relative to ResNet50's, and the factors behind them."
    return figure, f"{intro} {'; '.join(clauses)}."
