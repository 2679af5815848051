"""Table 1: ResNet50 and its successors; multiply-accumulates against the time that they take."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from tresnet_lite.show.plots import BLUE, INK, SMALL, VERMILLION, WIDTH, drawing


@drawing
def proxy(lines: pd.DataFrame) -> tuple[Figure, str]:
    """For each network and phase what an image takes, ResNet50 = 1: MACs beside time, the paper's
    and a run's.

    Args:
        lines: of one run, as `per_mac` gives them.
    """
    phases = list(dict.fromkeys(lines["phase"]))
    names = list(dict.fromkeys(lines["network"]))
    figure = Figure(
        figsize=(WIDTH, len(phases) * (0.7 + 0.3 * len(names)) + 0.7), layout="constrained"
    )
    for axes, phase in zip(
        figure.subplots(len(phases), sharex=True, squeeze=False).flat, phases, strict=True
    ):
        rows = lines[lines["phase"] == phase].reset_index(drop=True)
        axes.axvline(1, color=INK, linewidth=0.8, alpha=0.5)
        axes.hlines(
            rows.index, rows["macs_ratio"], rows["paper_time"], color=INK, linewidth=0.8, alpha=0.5
        )
        axes.plot(
            rows["macs_ratio"],
            rows.index,
            "|",
            color=INK,
            markersize=13,
            markeredgewidth=2.5,
            label="MACs",
        )
        hollow = {"color": VERMILLION, "fillstyle": "none", "markeredgewidth": 2, "markersize": 8}
        axes.plot(rows["paper_time"], rows.index, "D", label="time, paper", **hollow)
        if rows["time"].notna().any():
            axes.hlines(
                rows.index, 1 / rows["ratio_q3"], 1 / rows["ratio_q1"], color=BLUE, linewidth=3
            )
            axes.plot(rows["time"], rows.index, "o", color=BLUE, label="time, measured")
        axes.set(
            title=phase,
            xscale="log",
            yticks=range(len(names)),
            yticklabels=names,
            ylim=(len(names) - 0.5, -0.5),
        )
        axes.set_xticks([0.125, 0.25, 0.5, 1, 2])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
    figure.axes[-1].set_xlabel("of one image, ResNet50 = 1", fontsize=SMALL + 1)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        *handles, loc="outside upper center", ncols=3, handletextpad=0.3, columnspacing=1.0
    )
    told = [
        f"{r.phase}, {r.network}: {r.macs_ratio:.2f} of the MACs in {r.paper_time:.2f} of the time"
        " (paper)" + (f", {r.time:.2f} (measured)" if r.time > 0 else "")
        for r in lines.itertuples()
    ]
    return figure, f"MACs and time of one image, ResNet50 = 1. {'; '.join(told)}."
