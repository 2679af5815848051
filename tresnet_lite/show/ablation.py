"""Drawings of the accuracy ablation: its images, and every gain beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tresnet_lite.ablation import RESNET50, ablation_ladder
from tresnet_lite.findings.statistics import gains, printed_gains
from tresnet_lite.show.html import Html
from tresnet_lite.show.marks import intervals, paper_marks, rows
from tresnet_lite.show.plots import charts, drawing, legend_above, pictures
from tresnet_lite.show.style import SERIES_COLOURS, SMALL
from tresnet_lite.train.digits import Digits


def examples(images: Digits, names: Sequence[str]) -> Html:
    """The first training image of each class, under the class's name."""
    first = [images.images[images.labels == label][0].cpu() for label in range(len(names))]
    colours = [image.expand(3, -1, -1).permute(1, 2, 0) for image in first]  # (H, W, 3)
    description = f"One training image per class. The classes are {', '.join(names)}."
    return pictures(list(zip(names, colours, strict=True)), columns=4, description=description)


@drawing
def forest(trained: pd.DataFrame, held_out: Mapping[str, int]) -> tuple[Figure, str]:
    """Each rung's gain in every run, with both intervals, beside the paper's on ImageNet.

    One panel is for gains over the rung before, one for those over ResNet50.

    Args:
        trained: as `statistics.results` gives it.
        held_out: set of images → how many are held out.
    """
    runs = [
        (_short(name), gains(run, held_out.get(run["data"].iloc[0])))
        for name, run in trained.groupby("run", sort=False)
    ]
    rungs, printed = list(ablation_ladder()), printed_gains()
    parts = {
        "over the rung before": list(pairwise(rungs)),
        "over ResNet50": [(RESNET50, rung) for rung in rungs if rung != RESNET50],
    }
    lanes = len(runs) + 1  # of a row; the paper's is the first
    height = len(parts) * (0.6 + (0.14 + 0.16 * lanes) * (len(rungs) - 1)) + 0.22 * lanes + 0.8
    figure, panels = charts(len(parts), height)
    clauses = []
    for axes, (title, pairs) in zip(panels, parts.items(), strict=True):
        axes.set_title(title)
        rows(axes, [rung for _, rung in pairs], reference=0, size=SMALL)
        places = np.arange(len(pairs)) - 0.28
        paper = [printed[pair] for pair in pairs]
        paper_marks(axes, paper, places, label="paper, ImageNet", size=6)
        for lane, (name, table) in enumerate(runs, 1):
            part = table.set_index(["base", "rung"]).reindex(pairs)
            lines = places + 0.56 * lane / max(lanes - 1, 1)
            look = (SERIES_COLOURS[(lane - 1) % len(SERIES_COLOURS)], "o")
            axes.hlines(lines, part["wide_low"], part["wide_high"], color=look[0], linewidth=1)
            limits = part["low"], part["high"]
            intervals(axes, lines, part["gain"], *limits, label=name, look=look, alpha=0.6)
            clauses += [
                f"{name}, {r.Index[1]} {title}: {r.gain:+.2f} ({_intervals(r)})"
                for r in part.dropna(subset="gain").itertuples()
            ]
        clauses += [f"paper, {b} {title}: {printed[a, b]:+.1f}" for a, b in pairs]
    panels[-1].set_xlabel("points of top-1 accuracy")
    panels[-1].locator_params(axis="x", nbins=6)
    legend_above(figure, ncols=1)
    intro = (
        "Gain of each refinement in points, with simultaneous 95 % intervals: thick over seeds,"
        " thin over other held-out images too."
    )
    return figure, f"{intro} {'; '.join(clauses)}."


def _intervals(row: object) -> str:
    """Over seeds, and where it is known over other held-out images too."""
    if math.isnan(row.wide_low):
        return row.interval
    return f"{row.interval}; with other images {row.wide_low:+.2f} to {row.wide_high:+.2f}"


def _short(run: str) -> str:
    """A run's images and how long it trained: "digits, 8 epochs"."""
    return run.partition(" in batches")[0]
