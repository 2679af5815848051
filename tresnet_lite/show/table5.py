"""Table 5: the family at 224 and 448 pixels: what four times the pixels cost and give."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.findings.tables import PAPER_SIDE
from tresnet_lite.paper import paper_table
from tresnet_lite.records.records import PHASES
from tresnet_lite.show.marks import accuracy_axes, paper_marks
from tresnet_lite.show.plots import charts, drawing, legend_above, speed_label
from tresnet_lite.show.style import BLUE, GREEN, INK, ORANGE

NETWORK_COLOURS = {"TResNet-M": BLUE, "TResNet-L": GREEN, "TResNet-XL": ORANGE}
SIDE_MARKERS = {PAPER_SIDE: "o", 2 * PAPER_SIDE: "s"}


@drawing
def trade(lines: pd.DataFrame) -> tuple[Figure, str]:
    """Accuracy (quoted) against speed, from 224 to 448 pixels: one run's, and the paper's.

    Speeds are ratios to TResNet-M's at 224 px.

    Args:
        lines: of one run of `tables.table5`.
    """
    top1 = paper_table(5).rename(columns={"model": "network"})
    lines = lines.merge(top1, on=["network", "resolution"])
    figure, panels = charts(2, 5.6)
    clauses = []
    for axes, phase in zip(panels, PHASES, strict=True):
        part = lines[lines["phase"] == phase]
        base = part.set_index(["network", "resolution"]).loc["TResNet-M", PAPER_SIDE]
        for network, pair in part.groupby("network", sort=False):
            pair = pair.sort_values("resolution")
            speeds = pair["measured"] / base["measured"]
            colour = NETWORK_COLOURS[network]
            axes.plot(speeds, pair["top1"], "-", color=colour, linewidth=2, alpha=0.6)
            for x, y, side in zip(speeds, pair["top1"], pair["resolution"], strict=True):
                axes.plot(x, y, SIDE_MARKERS[side], color=colour, markersize=7)
            paper_marks(axes, pair["paper"] / base["paper"], pair["top1"], label="", size=9)
            if speeds.notna().all():
                small, large = speeds
                clauses.append(f"{phase}, {network}: {small:.2f} at 224 px, {large:.2f} at 448 px")
        axes.set_title(phase)
        accuracy_axes(axes, [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], xlim=(0.05, 1.3), ylim=(80.3, 84.8))
    speed_label(figure, "TResNet-M at 224 px")
    for network, colour in NETWORK_COLOURS.items():
        panels[0].plot([], [], "-", color=colour, linewidth=2, label=network)
    paper_marks(panels[0], [], [], label="paper, 224 px")
    for side, marker in SIDE_MARKERS.items():
        panels[0].plot([], [], marker, color=INK, label=f"ours, {side} px")
    legend_above(figure)
    intro = "Accuracy against speed at 224 and 448 px, relative to TResNet-M at 224 px."
    return figure, f"{intro} {'; '.join(clauses) or 'Nothing was measured'}."
