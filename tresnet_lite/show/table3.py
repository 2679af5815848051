"""Table 3: the family's speed and largest batch; what of the batch is Inplace-ABN, and what the
architecture.
"""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tresnet_lite.findings.tables import BATCH
from tresnet_lite.show.plots import BLUE, GREEN, INK, ORANGE, SKY, SMALL, VERMILLION, WIDTH, drawing

STEPS = {"architecture": ORANGE, "Inplace-ABN": GREEN, "lean": SKY}


@drawing
def batches(counted: pd.DataFrame, measured: pd.DataFrame) -> tuple[Figure, str]:
    """Largest batches as ratios to ResNet50's: what counting makes of each factor, the paper's, and
    a run's own.

    Args:
        counted: as `factors` gives it.
        measured: the lines of one run of `tables.table3`.
    """
    rows = counted[counted["network"] != "ResNet50"].reset_index(drop=True)
    ours = measured[measured["phase"] == BATCH].set_index("network")["ratio"]
    figure = Figure(figsize=(WIDTH, 0.95 * len(rows) + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
    hollow = {
        "color": VERMILLION,
        "fillstyle": "none",
        "markeredgewidth": 2,
        "markersize": 8,
        "linestyle": "none",
    }
    for row in rows.itertuples():
        ends = (1.0, row.architecture, row.counted, row.lean_ratio)
        for place, (start, end), colour in zip(
            (-0.25, 0, 0.25), pairwise(ends), STEPS.values(), strict=True
        ):
            axes.barh(
                row.Index + place, end - start, left=start, height=0.22, color=colour, alpha=0.6
            )
        axes.plot(row.paper_ratio, row.Index, "D", **hollow)
        if ours.get(row.network, 0) > 0:
            axes.plot(ours[row.network], row.Index + 0.25, "o", color=BLUE, markersize=7)
    names = list(rows["network"])
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.set_xlabel("largest batch, ResNet50 = 1", fontsize=SMALL + 1)
    axes.tick_params(left=False)
    axes.spines["left"].set_visible(False)
    handles = [Patch(color=colour, alpha=0.6, label=name) for name, colour in STEPS.items()]
    handles.append(Line2D([], [], marker="D", label="paper", **hollow))
    handles.append(
        Line2D([], [], marker="o", color=BLUE, linestyle="none", label="this run (lean)")
    )
    figure.legend(
        handles=handles, loc="outside upper left", ncols=2, handletextpad=0.4, columnspacing=1.2
    )
    told = [
        f"{r.network}: paper {r.paper_ratio:.2f}, architecture {r.architecture:.2f},"
        f" with Inplace-ABN {r.counted:.2f}, lean {r.lean_ratio:.2f}"
        + (f"; this run {ours[r.network]:.2f}" if ours.get(r.network, 0) > 0 else "")
        for r in rows.itertuples()
    ]
    return figure, f"Largest batches over ResNet50's. {'; '.join(told)}."
