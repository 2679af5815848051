"""Table 5: the family at 224 and 448 pixels; what four times the pixels cost, and what they
give.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from tresnet_lite.findings.tables import PAPER_SIDE, PHASES
from tresnet_lite.paper import paper_table
from tresnet_lite.show.plots import BLUE, GREEN, INK, ORANGE, SMALL, VERMILLION, WIDTH, drawing

COLOURS = {"TResNet-M": BLUE, "TResNet-L": GREEN, "TResNet-XL": ORANGE}


@drawing
def trade(lines: pd.DataFrame) -> tuple[Figure, str]:
    """Accuracy (quoted) against speed, TResNet-M at 224 px = 1: from 224 to 448 pixels in one run,
    and the paper's.

    Args:
        lines: of one run of `tables.table5`.
    """

    top1 = paper_table(5).rename(columns={"model": "network"})
    rows = lines.merge(top1, on=["network", "resolution"])
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    told = []
    for axes, phase in zip(figure.subplots(2, 1, sharex=True), PHASES, strict=True):
        ours = rows[rows["phase"] == phase]
        base = ours.set_index(["network", "resolution"]).loc["TResNet-M", PAPER_SIDE]
        for network, pair in ours.groupby("network", sort=False):
            colour, pair = COLOURS[network], pair.sort_values("resolution")
            at = pair["measured"] / base["measured"]
            axes.plot(at, pair["top1"], "-", color=colour, linewidth=2, alpha=0.6)
            sizes = zip(at, pair["top1"], pair["resolution"], strict=True)
            for x, y, side in sizes:
                axes.plot(x, y, "o" if side == PAPER_SIDE else "s", color=colour, markersize=7)
            printed = pair["paper"] / base["paper"]
            axes.plot(
                printed,
                pair["top1"],
                "D",
                color=VERMILLION,
                fillstyle="none",
                markeredgewidth=2,
                markersize=9,
            )
            if pd.notna(at).all():
                told.append(
                    f"{phase}, {network}: {at.iloc[0]:.2f} at 224 px, {at.iloc[1]:.2f} at 448 px"
                )
        axes.set(title=phase, xscale="log", ylabel="top-1, % (quoted)")
        axes.set_xticks([0.0625, 0.125, 0.25, 0.5, 1], ["1/16", "1/8", "1/4", "1/2", "1"])
        axes.set(xlim=(0.05, 1.3), ylim=(80.3, 84.8))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.grid(color=INK, alpha=0.15)
    figure.axes[-1].set_xlabel(
        "speed, TResNet-M at 224 px = 1 (right is faster)", fontsize=SMALL + 1
    )
    axes = figure.axes[0]
    for network, colour in COLOURS.items():
        axes.plot([], [], "-", color=colour, linewidth=2, label=network)
    axes.plot(
        [], [], "D", color=VERMILLION, fillstyle="none", markeredgewidth=2, label="paper, 224 px"
    )
    axes.plot([], [], "o", color=INK, label="ours, 224 px")
    axes.plot([], [], "s", color=INK, label="ours, 448 px")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, handletextpad=0.4
    )
    return (
        figure,
        (
            "Accuracy against speed, TResNet-M at 224 px = 1."
            f" {'; '.join(told) or 'Nothing was measured'}."
        ),
    )
