"""Drawings of the accuracy ablation: every network as a point, and gains with their intervals
beside the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.ablation import RESNET50
from tresnet_lite.findings.statistics import levels
from tresnet_lite.show.html import Html
from tresnet_lite.show.plots import BLUE, INK, SMALL, VERMILLION, WIDTH, drawing, pictures
from tresnet_lite.train.digits import Digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def examples(images: Digits, names: Sequence[str]) -> Html:
    """The first training image of each class, under the class's name."""
    shown = []
    for label, name in enumerate(names):
        image = images.images[images.labels == label][0].cpu()
        shown.append((name, image.expand(3, -1, -1).permute(1, 2, 0)))
    return pictures(
        shown, columns=4, description=f"An image of each class to train on: {', '.join(names)}."
    )


@drawing
def networks(run: pd.DataFrame) -> tuple[Figure, str]:
    """Accuracy of every network of one run of `accuracy_statistics.results`, rung by rung, with the
    means.
    """
    table = levels(run)
    figure = Figure(figsize=(WIDTH, 0.7 + 0.34 * len(table)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(table.itertuples()):
        values = run.loc[run["rung"] == row.rung, "top1"]
        axes.plot(
            values,
            [place] * len(values),
            "o",
            color=BLUE,
            alpha=0.45,
            markersize=6,
            markeredgewidth=0,
        )
        axes.vlines(row.mean, place - 0.3, place + 0.3, color=INK, linewidth=1.6)
    _rows(axes, table["rung"])
    axes.set_xlabel("top-1, % (bar: mean)", fontsize=SMALL + 1)
    told = ", ".join(
        f"{row.rung} {row.mean:.2f} % over {row.networks}" for row in table.itertuples()
    )
    return figure, f"Accuracy of each network on {run['data'].iloc[0]}. Means: {told}."


@drawing
def gains(table: pd.DataFrame) -> tuple[Figure, str]:
    """Lines of `accuracy_statistics.gains`: the measured gain with its interval, and the paper's on
    ImageNet.
    """
    parts = {
        "to the rung before": table.drop_duplicates("rung"),
        "to ResNet50": table[table["base"] == RESNET50],
    }
    parts = {title: lines for title, lines in parts.items() if len(lines)}
    height = sum(0.55 + 0.32 * len(lines) for lines in parts.values()) + 0.6
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    heights = [1 + len(lines) for lines in parts.values()]
    grid = figure.subplots(len(parts), 1, sharex=True, squeeze=False, height_ratios=heights).flat
    told = []
    for axes, (title, lines) in zip(grid, parts.items(), strict=True):
        axes.axvline(0, color=INK, linewidth=0.8, alpha=0.5)
        places = range(len(lines))
        above = [place - 0.14 for place in places]  # two marks on one place would hide each other
        axes.hlines(above, lines["low"], lines["high"], color=BLUE, linewidth=3, alpha=0.6)
        axes.plot(lines["gain"], above, "o", color=BLUE, label="measured, 95 %")
        hollow = {"color": VERMILLION, "fillstyle": "none", "markeredgewidth": 2, "markersize": 6}
        axes.plot(
            lines["paper_gain"],
            [place + 0.18 for place in places],
            "D",
            label="paper, ImageNet",
            **hollow,
        )
        _rows(axes, lines["rung"])
        axes.set_title(title)
        told += [
            f"{r.rung} {title}: {r.gain:+.2f} ({r.interval}), paper {r.paper_gain:+.1f}"
            for r in lines.itertuples()
        ]
    axes.set_xlabel("points of top-1 accuracy")
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, handletextpad=0.3
    )
    return figure, f"Gains in points with intervals. {'; '.join(told)}."


def _rows(axes: Axes, names: pd.Series) -> None:
    axes.set(yticks=range(len(names)), yticklabels=list(names), ylim=(len(names) - 0.5, -0.5))
    axes.tick_params(left=False, axis="y", labelsize=SMALL)
    axes.spines["left"].set_visible(False)
