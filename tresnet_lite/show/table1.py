"""Table 1: ResNet50 and its successors; multiply-accumulates against the time that they take."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.show.marks import intervals, paper_marks, plain_ticks, rows
from tresnet_lite.show.plots import charts, drawing, legend_above
from tresnet_lite.show.style import INK, SMALL


@drawing
def proxy(lines: pd.DataFrame) -> tuple[Figure, str]:
    """For each network and phase, ResNet50 = 1: MACs per image, and the time beside them.

    The time is the paper's and, where there is one, a run's, with its quartiles.

    Args:
        lines: of one run, as `macs_and_time` gives them.
    """
    phases, names = lines["phase"].unique(), lines["network"].unique()
    figure, panels = charts(len(phases), len(phases) * (0.7 + 0.3 * len(names)) + 0.7)
    for axes, phase in zip(panels, phases, strict=True):
        part = lines[lines["phase"] == phase].reset_index(drop=True)
        places, macs = part.index, part["macs_ratio"]
        axes.set(title=phase, xscale="log")
        rows(axes, names, reference=1)
        axes.hlines(places, macs, part["paper_time"], color=INK, linewidth=0.8, alpha=0.5)
        bar = {"color": INK, "markersize": 13, "markeredgewidth": 2.5}
        axes.plot(macs, places, "|", label="MACs", **bar)
        paper_marks(axes, part["paper_time"], places, label="time, paper")
        if part["time"].notna().any():
            quartiles = 1 / part["ratio_high"], 1 / part["ratio_low"]
            intervals(axes, places, part["time"], *quartiles, label="time, measured")
        plain_ticks(axes.xaxis, [0.125, 0.25, 0.5, 1, 2])
    panels[-1].set_xlabel("of one image, ResNet50 = 1", fontsize=SMALL + 1)
    legend_above(figure, ncols=3, columnspacing=1.0)
    clauses = [
        f"{r.phase}, {r.network}: {r.macs_ratio:.2f} of the MACs in {r.paper_time:.2f} of the time"
        " (paper)" + (f", {r.time:.2f} (measured)" if r.time > 0 else "")
        for r in lines.itertuples()
    ]
    intro = "MACs and time per image of each network, relative to ResNet50."
    return figure, f"{intro} {'; '.join(clauses)}."
