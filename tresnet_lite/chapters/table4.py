"""Table 4: the ladder from ResNet50 to TResNet-M, a rung for each refinement: sizes, and
waterfalls.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from matplotlib.figure import Figure

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.bench import count_macs, count_parameters
from tresnet_lite.bench.memory import bytes_per_image
from tresnet_lite.model import TResNet
from tresnet_lite.paper import paper_table
from tresnet_lite.plots import GREEN, INK, SMALL, VERMILLION, WIDTH, drawing

if TYPE_CHECKING:
    import pandas as pd

SIZES = {
    "rung|refinement": "",
    "parameters, M|parameters": ".2f",
    "MACs, G|macs": ".2f",
    "kept, MB|kept": ".1f",
}
STEPS = {
    "refinement|network": "",
    "phase|phase": "",
    "paper, step|paper_step": "+.1%",
    "measured, step|step": "+.1%",
    "paper, so far|paper_ratio": ".3f",
    "measured, so far|ratio": ".3f",
}


def sizes() -> pd.DataFrame:
    """Counted for each rung: parameters (millions), MACs (thousand millions), and what training
    keeps an image.

    Columns: refinement, parameters, macs, kept (MB at 224 px in half precision).
    """
    import pandas as pd

    rows = []
    for refinement, config in ablation_ladder().items():
        with torch.device("meta"):
            network = TResNet(config)
        row = {"refinement": refinement, "parameters": count_parameters(network) / 1e6}
        row["macs"] = count_macs(network) / 1e9
        images = {"device": "meta", "dtype": torch.bfloat16}
        kept = bytes_per_image(
            network.bfloat16().train(), lambda n, im=images: torch.empty(n, 3, 224, 224, **im)
        )
        rows.append(row | {"kept": sum(kept.values()) / 1e6})
    return pd.DataFrame(rows)


def steps(table: pd.DataFrame) -> pd.DataFrame:
    """Lines of `tables.table4` with what each rung changes: paper_step and step, relative to the
    rung before.
    """
    changes = table.groupby(["run", "phase"], sort=False)[["paper", "measured"]].pct_change(
        fill_method=None
    )
    return table.assign(paper_step=changes["paper"], step=changes["measured"])


def accuracies() -> dict[str, float]:
    """Top-1 accuracy of each rung, per cent, as printed."""
    return paper_table(4).set_index("refinement")["top1"].to_dict()


def speeds(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """A run's lines of `tables.table4` as panels of `waterfall`: the paper's inference, then what
    was measured.
    """
    panels = {}
    for column, whose in (("paper_ratio", "paper"), ("ratio", "measured")):
        for phase, lines in table.groupby("phase", sort=False):
            found = lines.dropna(subset=column)
            if len(found) > 1:
                panels[f"{whose}, {phase}"] = dict(
                    zip(found["network"], found[column], strict=True)
                )
    return panels


@drawing
def waterfall(
    panels: Mapping[str, Mapping[str, float]], *, what: str, unit: str = ""
) -> tuple[Figure, str]:
    """For each panel the rungs from top to bottom: a bar from the rung before to this one, green
    up, red down.

    Args:
        panels: title → rung → value.
        what: the axis' label.
        unit: of the values, in the description; ratios have none.
    """
    rungs = list(dict.fromkeys(rung for values in panels.values() for rung in values))
    figure = Figure(
        figsize=(WIDTH, len(panels) * (0.4 + 0.27 * len(rungs)) + 0.4), layout="constrained"
    )
    every = [value for values in panels.values() for value in values.values()]
    room = 0.16 * (max(every) - min(every))
    told = []
    grid = figure.subplots(len(panels), sharex=True, squeeze=False).flat
    for axes, (title, values) in zip(grid, panels.items(), strict=True):
        first, *_ = values.values()
        axes.axvline(first, color=INK, linewidth=0.8, alpha=0.4)
        axes.plot(first, 0, "o", color=INK, markersize=5)
        for (_, before), (rung, value) in pairwise(values.items()):
            colour = GREEN if value >= before else VERMILLION
            place = rungs.index(rung)
            axes.barh(
                place,
                value - before,
                left=before,
                height=0.62,
                color=colour,
                alpha=0.6,
                edgecolor=colour,
            )
            axes.vlines(
                value, place, min(place + 1, len(rungs) - 1), color=INK, linewidth=0.6, alpha=0.5
            )
            axes.text(
                max(value, before),
                place,
                f"  {_change(before, value, unit)}",
                va="center",
                fontsize=SMALL - 1,
            )
        axes.set(
            title=title, yticks=range(len(rungs)), yticklabels=rungs, ylim=(len(rungs) - 0.5, -0.5)
        )
        axes.set_xlim(min(every) - room / 3, max(every) + 2.2 * room)
        axes.tick_params(left=False, axis="y", labelsize=SMALL)
        axes.spines["left"].set_visible(False)
        told.append(
            f"{title}: {', '.join(f'{rung} {value:.3g}{unit}' for rung, value in values.items())}"
        )
    figure.axes[-1].set_xlabel(what)
    return figure, f"{what}, rung by rung. {'; '.join(told)}."


def _change(before: float, after: float, unit: str) -> str:
    """Points for a percentage, per cent for a ratio."""
    return f"{after - before:+.1f}" if unit else f"{after / before - 1:+.1%}"
