"""Table 1: ResNet50 and its successors; multiply-accumulates against the time that they take."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from tresnet_lite.bench import count_macs, count_parameters
from tresnet_lite.bench.networks import build
from tresnet_lite.bench.suites import EFFICIENTNETS
from tresnet_lite.paper import paper_table
from tresnet_lite.plots import BLUE, INK, SMALL, VERMILLION, WIDTH, drawing
from tresnet_lite.tables import MODELS, PAPER_SIDE

if TYPE_CHECKING:
    import pandas as pd

SIZES = {
    "network|network": "",
    "pixels|resolution": "d",
    "parameters, M|parameters": ".1f",
    "MACs, G|macs": ".2f",
    "paper, G|paper_macs": ".1f",
    "top-1, % (paper)|top1": ".1f",
}
PER_MAC = {
    "network|network": "",
    "phase|phase": "",
    "MACs, ResNet50 = 1|macs_ratio": ".2f",
    "time (paper)|paper_time": ".2f",
    "time (ours)|time": ".2f",
    "speed per MAC (paper)|paper_per_mac": ".2f",
    "speed per MAC (ours)|per_mac": ".2f",
}


@cache
def sizes() -> pd.DataFrame:
    """Counted for each network at its own resolution: parameters (millions), MACs (thousand
    millions); and quoted.

    Columns: network, model, resolution, parameters, macs, paper_macs, top1.
    """
    import pandas as pd

    rows = []
    for printed in paper_table(1).to_dict("records"):
        model = MODELS[printed["model"]]
        side = EFFICIENTNETS.get(model, PAPER_SIDE)
        with torch.device("meta"):
            network = build(model)
        row = {"network": printed["model"], "model": model, "resolution": side}
        row |= {
            "parameters": count_parameters(network) / 1e6,
            "macs": count_macs(network, (3, side, side)) / 1e9,
        }
        rows.append(row | {"paper_macs": printed["flops_g"], "top1": printed["top1"]})
    return pd.DataFrame(rows)


def per_mac(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of `tables.table1` with what an image takes, ResNet50 = 1: MACs and time; and speed for
    each MAC.

    Added columns: macs_ratio (counted), paper_time, time, paper_per_mac, per_mac.
    """
    counted = sizes().set_index("network")["macs"]
    macs = table["network"].map(counted / counted["ResNet50"])
    added = {"macs_ratio": macs, "paper_time": 1 / table["paper_ratio"], "time": 1 / table["ratio"]}
    return table.assign(
        **added, paper_per_mac=macs * table["paper_ratio"], per_mac=macs * table["ratio"]
    )


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
