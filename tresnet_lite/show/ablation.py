"""Drawings of the accuracy ablation: every network as a point, and gains beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.ablation import RESNET50
from tresnet_lite.findings.statistics import levels
from tresnet_lite.show.html import Html
from tresnet_lite.show.marks import intervals, paper_marks, rows
from tresnet_lite.show.plots import chart, charts, drawing, legend_above, pictures
from tresnet_lite.show.style import BLUE, INK, SMALL
from tresnet_lite.train.digits import Digits


def examples(images: Digits, names: Sequence[str]) -> Html:
    """The first training image of each class, under the class's name."""
    first = [images.images[images.labels == label][0].cpu() for label in range(len(names))]
    colours = [image.expand(3, -1, -1).permute(1, 2, 0) for image in first]  # (H, W, 3)
    description = f"One training image per class. The classes are {', '.join(names)}."
    return pictures(list(zip(names, colours, strict=True)), columns=4, description=description)


@drawing
def network_accuracies(run: pd.DataFrame) -> tuple[Figure, str]:
    """Rung by rung, the accuracy of every network as a point, and their mean as a bar.

    Args:
        run: one run of `statistics.results`.
    """
    table = levels(run)
    figure, axes = chart(0.7 + 0.34 * len(table))
    rows(axes, table["rung"], size=SMALL)
    for place, row in enumerate(table.itertuples()):
        values = run.loc[run["rung"] == row.rung, "top1"]
        point = {"color": BLUE, "alpha": 0.45, "markersize": 6, "markeredgewidth": 0}
        axes.plot(values, [place] * len(values), "o", **point)
        axes.vlines(row.mean, place - 0.3, place + 0.3, color=INK, linewidth=1.6)
    axes.set_xlabel("top-1, % (bar: mean)", fontsize=SMALL + 1)
    means = [f"{row.rung} {row.mean:.2f} % over {row.networks}" for row in table.itertuples()]
    data = run["data"].iloc[0]
    intro = f"Accuracy of each network on {data}, and the mean of each rung."
    return figure, f"{intro} Means: {', '.join(means)}."


@drawing
def gain_intervals(table: pd.DataFrame) -> tuple[Figure, str]:
    """Each rung's gain with its interval, and the paper's on ImageNet below it.

    One panel is for gains over the rung before, one for those over ResNet50.

    Args:
        table: lines of `statistics.gains`.
    """
    parts = {
        "to the rung before": table.drop_duplicates("rung"),
        "to ResNet50": table[table["base"] == RESNET50],
    }
    parts = {title: part for title, part in parts.items() if len(part)}
    height = sum(0.55 + 0.32 * len(part) for part in parts.values()) + 0.6
    heights = [1 + len(part) for part in parts.values()]
    figure, panels = charts(len(parts), height, heights=heights)
    clauses = []
    for axes, (title, part) in zip(panels, parts.items(), strict=True):
        axes.set_title(title)
        rows(axes, part["rung"], reference=0, size=SMALL)
        places = np.arange(len(part))  # two marks on one place would hide each other
        limits = part["low"], part["high"]
        intervals(
            axes, places - 0.14, part["gain"], *limits, label="measured, 95 % together", alpha=0.6
        )
        paper_marks(axes, part["paper_gain"], places + 0.18, label="paper, ImageNet", size=6)
        clauses += [
            f"{r.rung} {title}: {r.gain:+.2f} ({r.interval}), paper {r.paper_gain:+.1f}"
            for r in part.itertuples()
        ]
    panels[-1].set_xlabel("points of top-1 accuracy")
    legend_above(figure)
    intro = "Gain of each refinement in points, with simultaneous 95 % intervals."
    return figure, f"{intro} {'; '.join(clauses)}."
